"""Forward mode with dual tensors; PyTorch's `autograd.forward_ad`."""

from __future__ import annotations

from typing import Any, NamedTuple

from tabgrad.core.errors import ArgumentError, TransformError
from tabgrad.core.promotion import cast
from tabgrad.core.trace import MODE, Box
from tabgrad.transforms.functional import check_like
from tabgrad.transforms.jvp import Dual


class UnpackedDualTensor(NamedTuple):
    """The parts of a dual tensor; `tangent` is None if the tensor has none."""

    primal: Any
    tangent: Any


def _current() -> Dual | None:
    for level in reversed(MODE.get().levels):
        if isinstance(level, Dual):
            return level
    return None


def enter_dual_level() -> int:
    """Open a level of forward mode, and return its number from 0; prefer `with dual_level():`."""
    level = Dual()
    MODE.set(level.inner())
    return sum(isinstance(x, Dual) for x in level.outer.levels)


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the innermost level of forward mode; each of its dual tensors becomes its primal."""
    mode = MODE.get()
    current = _current()
    if current is None:
        raise TransformError("exit_dual_level: no dual level is open; open one with dual_level()")
    if mode.levels[-1] is not current:
        raise TransformError(
            f"exit_dual_level: the innermost level is {mode.levels[-1].name}, not a dual level; "
            "levels close in the reverse order of opening"
        )
    number = sum(isinstance(x, Dual) for x in mode.levels) - 1
    if level is not None and level != number:
        raise TransformError(
            f"exit_dual_level: level {level} is not the innermost one, which is {number}"
        )
    MODE.set(mode.replace(levels=current.outer.levels))
    current.close()


class dual_level:
    """The context in which dual tensors live. Levels nest.

    >>> import tabgrad as tg
    >>> import tabgrad.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(tg.tensor(3.0), tg.tensor(1.0))
    ...     fwAD.unpack_dual(x * x).tangent
    tensor(6.)
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """Make a dual tensor from a primal and a tangent of its shape; the tangent takes the primal's dtype."""
    current = _current()
    if current is None:
        raise TransformError(
            "make_dual: no dual level is open; call it inside `with dual_level():`"
        )
    for x in (tensor, tangent):
        if not isinstance(x, Box):
            raise TypeError(f"make_dual: expected tensors, got {type(x).__name__}")
    for what, x in (("primal", tensor), ("tangent", tangent)):
        if not x.spec.dtype.is_differentiable:
            raise ArgumentError(
                f"Expected {what} to be floating point or complex, but got: {x.spec.dtype!r} (make_dual); cast "
                "it with .float()"
            )
    if not tangent.spec.dtype.is_complex:
        tangent = cast(tangent, tensor.spec.dtype)
    check_like("make_dual", "tangent", tangent, "tensor", tensor)
    return current.dual(tensor, tangent)


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """Split `tensor` into primal and tangent; the tangent is None unless it is a dual tensor of this level."""
    current = _current()
    if isinstance(tensor, Box) and tensor.alias is not None:
        tensor.alias.refresh(tensor)
    if current is None or tensor.owner is not current:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(*tensor.value)
