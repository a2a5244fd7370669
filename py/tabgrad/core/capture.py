"""How code tells `compile` which Python-side effects and dependencies a captured step has.

A compiled step is replayed without running its Python. Numbers that change from step to step (a learning
rate, a step count, a seed) are made with `live_scalar`, which calls its getter again at each replay.
`on_replay` repeats changes of Python state. Replays do both in the order of the capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import DType
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, Box, constant, filled

if TYPE_CHECKING:
    from tabgrad.compiler.capture import Capture
    from tabgrad.hosts.devices import Device
    from tabgrad.optim import Optimizer
    from tabgrad.tensor import Tensor


def capturing() -> Capture | None:
    """Return the capture in progress; None if there is none, or if it was given up."""
    capture = MODE.get().capture
    return capture if capture is not None and capture.active else None


def live_scalar(
    getter: Callable[[], float | int], dtype: DType, device: Device,
    moves: dict[str, Any] | None = None,
) -> Tensor:  # fmt: skip
    """Return a 0-d tensor of the number `getter()`, which each replay of a compiled step calls again.

    `moves` is what the getter changes, and has its old items again if the replay raises.
    """
    if (capture := MODE.get().capture) is not None:
        return capture.live_scalar(getter, spec((), dtype), device, moves)
    # two that happen to be equal now share no node where plans are known by their graph
    make = constant if device.recorder is None else filled
    return make(getter(), spec((), dtype), device)


def on_replay(
    change: Callable[[], None], counts: dict[str, Any] | None = None, follows: bool = False,
    moves: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Make a change of Python state now, and again at each replay of the step being compiled.

    If the device runs out of memory for the step, the dict `counts` gets its old items back; if a replay
    raises, `moves` too. A change that only `follows` from such dicts is then made once more.
    """
    if (capture := MODE.get().capture) is not None:
        capture.on_replay(change, counts, follows, moves)
    change()


def on_failure(undo: Callable[[], None]) -> None:
    """Call `undo` if the device runs out of memory for the step that is being captured."""
    if (capture := MODE.get().capture) is not None:
        capture.undo.append(undo)


def guard(getter: Callable[[], object]) -> None:
    """Retrace the step being compiled whenever the value of `getter()` has changed."""
    if (capture := MODE.get().capture) is not None:
        capture.guard(getter)


def depend(*values: object, on: str) -> None:
    """Retrace the step being compiled whenever the items of these lists and dicts have changed."""
    if (capture := MODE.get().capture) is not None:
        for value in values:
            capture.depend(value, on)


def refuse(reason: str) -> None:
    """Give up compiling the current call, for a reason: a replay would not repeat what happens here."""
    if (capture := MODE.get().capture) is not None:
        capture.refuse(reason)


def look_at_grads(tensors: Iterable[Tensor]) -> None:
    """Retrace the step being compiled whenever one of these tensors gains or loses its gradient."""
    if (capture := MODE.get().capture) is not None:
        for x in tensors:
            capture.note_grad(x)


def adopt(x: Tensor) -> None:
    """Treat a constant tensor, made as state of the step being compiled, as if it existed before the step."""
    if (capture := MODE.get().capture) is not None:
        capture.adopt(x)


def clear_grad(x: Box) -> None:
    """Drop the gradient of `x`, now and at each replay of the step being compiled."""
    if (capture := MODE.get().capture) is not None:
        capture.note_grad(x, cleared=True)
    x._grad = None


def gradients_of(optimizer: Optimizer) -> list[Tensor]:
    """Return the gradients that an optimizer's parameters have.

    A step being compiled that reads them here depends on no option of the groups: learning rates may change.
    """
    grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
    return [grad for grad in grads if grad is not None]
