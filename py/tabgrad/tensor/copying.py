"""`copy.deepcopy` of tensors: those that share memory share the memory of their copies, as in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core.trace import MODE
from tabgrad.tensor import aliasing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tabgrad.tensor.tensor import Tensor

    Wrap = Callable[..., Tensor]


def copied(x: Tensor, memo: dict[int, Any], wrap: Wrap, usual: Any) -> Tensor:
    """Return a copy of a leaf, which shares its memory with the copies of those that `x` shares it with.

    `wrap` makes a tensor of a class; `usual` is Tensor.__deepcopy__. Classes that have another, such as
    Parameter, share nothing with what is copied beside them, as in PyTorch.
    """
    its = x.alias
    plain = MODE.get().capture is None and x.owner is None
    if plain and its.__class__ is aliasing.Storage:
        # a storage is no object of the program, so its number is free in `memo`
        first = memo.get(id(its))
        found = _alone(x, wrap) if first is None else _as(aliasing.detach(first), x, wrap)
        memo.setdefault(id(its), found)
    elif plain and its.__class__ is aliasing.View and _follows(x, its.base, usual):
        base = its.base.__deepcopy__(memo)
        found = _as(aliasing.View.along(base, its.steps), x, wrap)
    else:
        found = _alone(x, wrap)
    found.tracked = x.tracked
    return found


def _follows(x: Tensor, base: Tensor, usual: Any) -> bool:
    """Return whether `x`, a view of `base`, becomes a view of its copy; one of other signs doesn't."""
    itself = type(base).__deepcopy__ is usual
    return itself and not base.tracked and base.owner is None and not any(aliasing.conjugated(x))


def _alone(x: Tensor, wrap: Wrap) -> Tensor:
    return wrap(aliasing.present(x, "deepcopy").value, x.spec, x.device, x.owner, type(x))


def _as(y: Tensor, x: Tensor, wrap: Wrap) -> Tensor:
    """Return `y` with the class of `x`."""
    if type(x) is type(y):
        return y
    found = wrap(y.value, y.spec, y.device, y.owner, type(x))
    found.alias, found._version, found.born = y.alias, y._version, y.born
    return found
