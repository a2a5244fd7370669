"""What functions of matrices ask of their arguments, and the errors for matrices that have no result."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.shape import broadcast
from tabgrad.core.trace import Box
from tabgrad.linalg.formulas import formula
from tabgrad.ops import elementwise as e, view as v
from tabgrad.ops.checked import checked
from tabgrad.ops.decomposition_rules import adjoint, readable
from tabgrad.ops.indexing import iota
from tabgrad.ops.rounding import eq, gt
from tabgrad.tensor import Tensor


def check_square(name: str, x: Tensor) -> None:
    """Raise ShapeError unless `x` holds square matrices."""
    shape = x.spec.shape
    if len(shape) < 2:
        raise ShapeError(
            f"{name}: The input tensor A must have at least 2 dimensions, got shape {shape}"
        )
    if shape[-1] != shape[-2]:
        raise ShapeError(
            f"{name}: A must be batches of square matrices, but they are {shape[-2]} by {shape[-1]} matrices"
        )


def matrices(name: str, x: Tensor, square: bool = False) -> None:
    """Raise unless `x` holds matrices of a dtype that can be factored."""
    if not isinstance(x, Box):
        raise TypeError(f"{name}(): argument 'A' must be Tensor, not {type(x).__name__}")
    dtype = x.spec.dtype
    if square:
        check_square(name, x)
    elif len(x.spec.shape) < 2:
        raise ShapeError(
            f"{name}: The input tensor A must have at least 2 dimensions, got shape {x.spec.shape}"
        )
    if dtype.category < dt.FLOAT:
        raise DTypeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {dtype.title}; cast it with "
            ".float()"
        )
    if dtype in dt.HALVES:
        raise DTypeError(
            f"{name}: Low precision dtypes not supported. Got {dtype.title}; cast it with .float()"
        )


def one_dtype(name: str, x: Tensor, y: Tensor, names: tuple[str, str] = ("A", "B")) -> None:
    """Raise unless both operands have the same dtype."""
    if x.spec.dtype is not y.spec.dtype:
        raise DTypeError(
            f"{name}: Expected {names[0]} and {names[1]} to have the same dtype, but found {names[0]} of type "
            f"{x.spec.dtype.title} and {names[1]} of type {y.spec.dtype.title} instead"
        )


def equal_batches(name: str, *given: Tensor) -> list[Tensor]:
    """Return matrices with batch axes that are broadcast to each other."""
    lead: tuple[int, ...] = ()
    for x in given:
        lead = broadcast(name, lead, x.spec.shape[:-2])
    return [
        x if x.spec.shape[:-2] == lead else v.expand.bind(x, shape=(*lead, *x.spec.shape[-2:]))
        for x in given
    ]


@formula(
    derivative=lambda primals, tangents, ys: [_half_sum(tangents[0])],
    pull=lambda cts, primals, ys: [_half_sum(cts[0])],
)
def _as_hermitian(x: Tensor) -> Any:
    """Return `x`, whose tangent is made Hermitian."""
    return e.copy.bind(x)


def _half_sum(x: Tensor) -> Any:
    return e.mul(e.add(x, adjoint(x)), 0.5)


def hermitian(x: Tensor) -> Tensor:
    """Return `x` as an argument that is Hermitian, of which one triangle is read.

    Its gradient is Hermitian too, as PyTorch's is.
    """
    if not x.tracked and x.owner is None:
        return x
    found: Tensor = _as_hermitian(x)
    return found


def verified(text: str, info: Tensor, *results: Any) -> Any:
    """Return `results`, all matrices, where `info` is 0; others raise LinAlgError, or will at the next read.

    In `text`, {info} stands for the number, and {element} for the place in the batch.
    """
    lead = info.spec.shape
    base = max(results[0].spec.shape[-2:]) + 1
    text = text.replace("{element}", "(Batch element {element}): " if lead else "")
    number = info
    if info.spec.size * base >= 2**31:
        text = text.replace("(Batch element {element}): ", "")
    elif lead:
        place = e.mul(iota(info.spec.size, dt.int32, info.device), base)
        place = v.reshape.bind(place, shape=lead)
        number = e.where(gt(info, 0), e.add(info, place), 0)
    found: Any = checked.bind(
        number, size=1, name=text, what="matrix", dim=base, wraps=False, ignore=None
    )
    if readable(info):
        return results if len(results) > 1 else results[0]
    good = eq(v.reshape.bind(found, shape=(*lead, 1, 1)), 0)
    kept = [e.where(good, x, float("nan")) for x in results]
    return tuple(kept) if len(kept) > 1 else kept[0]
