"""What a step does on the Python side, said so that `compile` can repeat it.

A compiled step is replayed without running its Python. Numbers that change from step to step (a learning
rate, a step count, a seed) are made with `live_scalar`, which evaluates its getter anew at each replay;
`on_replay` repeats changes of Python state. Both happen in the order of the capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tabgrad.core.dtype import DType
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, constant


def capturing() -> Any:
    """Return the capture in progress, None where there is none or it has been given up."""
    capture = MODE.get().capture
    return capture if capture is not None and capture.active else None


def live_scalar(getter: Callable[[], float | int], dtype: DType, device: Any) -> Any:
    """Return a 0-d tensor of the number `getter()`, asked again at each replay of a compiled step."""
    capture = MODE.get().capture
    if capture is not None:
        return capture.live_scalar(getter, spec((), dtype), device)
    return constant(getter(), spec((), dtype), device)


def on_replay(
    change: Callable[[], None], counts: dict[str, Any] | None = None, follows: bool = False
) -> None:
    """Make a change of Python state now, and again at each replay of the step being compiled.

    Where there turns out to be no room for the step, what it changes in the dict `counts` is taken back, and
    then a change that only `follows` such dicts is made once more.
    """
    capture = MODE.get().capture
    if capture is not None:
        capture.on_replay(change, counts, follows)
    change()


def on_failure(undo: Callable[[], None]) -> None:
    """Have `undo` called where there turns out to be no room for the step that is being captured."""
    capture = MODE.get().capture
    if capture is not None:
        capture.undo.append(undo)


def guard(getter: Callable[[], Any]) -> None:
    """Trace the step being compiled anew whenever the hashable value of `getter()` has changed."""
    capture = MODE.get().capture
    if capture is not None:
        capture.guard(getter)


def depend(*values: Any, on: str) -> None:
    """Trace the step being compiled anew whenever the items of these lists and dicts have changed."""
    capture = MODE.get().capture
    if capture is not None:
        for value in values:
            capture.depend(value, on)


def refuse(reason: str) -> None:
    """Have the call being compiled run as it is each time: a replay would not repeat what it does here."""
    capture = MODE.get().capture
    if capture is not None:
        capture.refuse(reason)


def look_at_grads(tensors: Iterable[Any]) -> None:
    """Trace the step being compiled anew whenever one of these tensors gets a gradient, or loses it."""
    capture = MODE.get().capture
    if capture is not None:
        for x in tensors:
            capture.note_grad(x)


def adopt(x: Any) -> None:
    """Have a constant tensor, made for the state of the step being compiled, count as there before it."""
    capture = MODE.get().capture
    if capture is not None:
        capture.adopt(x)


def clear_grad(x: Any) -> None:
    """Drop the gradient of `x`, now and at each replay of the step being compiled."""
    capture = MODE.get().capture
    if capture is not None:
        capture.note_grad(x, cleared=True)
    x._grad = None


def gradients_of(optimizer: Any) -> list[Any]:
    """Return the gradients that an optimizer's parameters have.

    Of its groups a step being compiled that asks here depends on nothing else: learning rates may change.
    """
    grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
    return [grad for grad in grads if grad is not None]
