"""What a Function's forward did with its arguments: returned them as they are, or changed them in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.trace import MODE, Box, Mode, using, wrap
from tabgrad.transforms.node import is_leaf
from tabgrad.transforms.saving import frozen


def fresh(y: Any, args: list[Any], ctx: Any, mode: Mode) -> Any:
    """Return an output as a tensor of its own: an input that is returned is a view of it, as in PyTorch."""
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
    """Return a new tensor that shares the values of `x`."""
    if not mode.grad and x.owner is None:
        return x.detach()
    with using(mode.replace(grad=True)):
        y = x.view_as(x)
    return y if y.owner is x.owner else wrap(x.value, x.spec, x.device, x.owner)


def leaves_of(args: Sequence[Any], below: Sequence[Any], owner: Any) -> list[tuple[Any, Any, Any]]:
    """Return the leaves of the level `owner` among `args`, and views of such, with their present values."""
    found = []
    for a, low in zip(args, below, strict=True):
        if not isinstance(a, Box) or a.owner is not owner or not a.tracked:
            continue
        base = getattr(a.alias, "base", a)
        if is_leaf(a) or (base.tracked and is_leaf(base)):
            found.append((a, low, frozen(low)))
    return found


def check_leaves(ctx: Any, before: Sequence[tuple[Any, Any, Any]]) -> None:
    """Raise GradientError, with its values as they were, where forward changed a leaf that requires grad."""
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
    """Hand on what forward wrote to `dirty`, below where it was recorded: to their bases and views."""
    for x in dirty:
        x._version += x.owner is not None
        if x.alias is not None:
            x.alias.rebase(x)
