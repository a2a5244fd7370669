"""The `ctx` of a Function, and checks of what its forward did with its arguments.

Forward may return its arguments as they are, or change them in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.trace import MODE, Box, Interpreter, Mode, using, wrap
from tabgrad.transforms.node import is_leaf
from tabgrad.transforms.saving import frozen


class FunctionCtx:
    """The `ctx` that carries values from a Function's forward to its backward; it takes any attribute."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._to_save: tuple[Any, ...] = ()
        self._for_forward: tuple[Any, ...] = ()
        self._loaded: tuple[Any, ...] | None = None
        self._dirty: tuple[Any, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Save inputs and outputs (or None) for `saved_tensors`; call it once."""
        self._to_save = _only_tensors("save_for_backward", tensors)

    def save_for_forward(self, *tensors: Any) -> None:
        """Save inputs and outputs (or None) for the `saved_tensors` of `jvp`; call it once."""
        self._for_forward = _only_tensors("save_for_forward", tensors)

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward has changed in place; they must be among the outputs."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether backward and jvp get zeros (the default) or None for a missing gradient or tangent."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The saved tensors, in the order they were saved."""
        return self._to_save if self._loaded is None else self._loaded


def _only_tensors(name: str, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    for t in tensors:
        if t is not None and not isinstance(t, Box):
            raise TypeError(
                f"{name}: expected tensors or None, got {type(t).__name__}; "
                "set other things as attributes of ctx"
            )
    return tensors


def fresh(y: Any, args: list[Any], ctx: FunctionCtx, mode: Mode) -> Any:
    """Make an output a tensor of its own; for an input that is returned this is a view, as in PyTorch."""
    if not isinstance(y, Box) or any(y is d for d in ctx._dirty):
        return y
    if any(y is a for a in args):
        new = _same(y, mode)
    elif hasattr(y.alias, "made") and y.node is None:
        new = y
    elif y.node is not None or y.tracked:
        new = wrap(y.value, y.spec, y.device, y.owner)
    else:
        return y
    new.node, new.tracked = None, False
    if hasattr(new.alias, "made"):
        new.alias.made = "function"
    if new is not y:
        ctx._constant = tuple([new if c is y else c for c in ctx._constant])
        ctx._to_save = tuple(
            [new if s is y and not any(s is a for a in args) else s for s in ctx._to_save]
        )
    return new


def _same(x: Any, mode: Mode) -> Any:
    """Make a new tensor that shares the values of `x`."""
    if not mode.grad and x.owner is None:
        return x.detach()
    with using(mode.replace(grad=True)):
        y = x.view_as(x)
    return y if y.owner is x.owner else wrap(x.value, x.spec, x.device, x.owner)


def leaves_of(
    args: Sequence[Any], below: Sequence[Any], owner: Interpreter | None
) -> list[tuple[Any, Any, Any]]:
    """Find the leaves of the level `owner` among `args`, and views of leaves, with their present values."""
    found = []
    for a, low in zip(args, below, strict=True):
        if not isinstance(a, Box) or a.owner is not owner or not a.tracked:
            continue
        base = getattr(a.alias, "base", a)
        if is_leaf(a) or (base.tracked and is_leaf(base)):
            found.append((a, low, frozen(low)))
    return found


def check_leaves(ctx: FunctionCtx, before: Sequence[tuple[Any, Any, Any]]) -> None:
    """Restore a leaf that requires grad and that forward changed, and raise GradientError."""
    for x, low, value in before:
        if any(x is d for d in ctx._dirty):
            with using(MODE.get().replace(grad=False)):
                low.copy_(value)
            what = "a leaf" if is_leaf(x) else "a view of a leaf"
            been = "has been" if is_leaf(x) else "is being"
            raise GradientError(
                f"{what} Variable that requires grad {been} used in an in-place operation. "
                "Call the Function on a clone()"
            )


def rebase(dirty: Sequence[Any]) -> None:
    """Hand on what forward wrote to `dirty`, below the recording level, to their bases and views."""
    for x in dirty:
        x._version += x.owner is not None
        if x.alias is not None:
            x.alias.rebase(x)
