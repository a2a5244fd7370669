"""What a step does on the Python side, said so that `compile` can repeat it.

A compiled step is replayed without running its Python. Numbers that change from step to step (a learning
rate, a step count, a seed) are made with `live_scalar`, which evaluates its getter anew at each replay;
`on_replay` repeats changes of Python state. Both happen in the order of the capture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.core.dtype import DType
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, constant


def live_scalar(getter: Callable[[], float | int], dtype: DType, device: Any) -> Any:
    """Return a 0-d tensor of the number `getter()`, asked again at each replay of a compiled step."""
    capture = MODE.get().capture
    if capture is not None:
        return capture.live_scalar(getter, spec((), dtype), device)
    return constant(getter(), spec((), dtype), device)


def on_replay(change: Callable[[], None]) -> None:
    """Make a change of Python state now, and again at each replay of the step being compiled."""
    capture = MODE.get().capture
    if capture is not None:
        capture.on_replay(change)
    change()


def guard(getter: Callable[[], Any]) -> None:
    """Trace the step being compiled anew whenever the hashable value of `getter()` has changed."""
    capture = MODE.get().capture
    if capture is not None:
        capture.guard(getter)


def clear_grad(x: Any) -> None:
    """Drop the gradient of `x`, now and at each replay of the step being compiled."""
    capture = MODE.get().capture
    if capture is not None:
        capture.note_grad(x, cleared=True)
    x._grad = None
