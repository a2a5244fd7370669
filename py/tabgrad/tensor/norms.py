"""Norms of vectors, and the distance of two."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.op import REGISTRY
from tabgrad.core.promotion import cast, widened
from tabgrad.core.shape import with_ones
from tabgrad.core.trace import MODE
from tabgrad.ops.elementwise import abs_, mul, pow_, sqrt, square, where
from tabgrad.ops.reduction import reduce_max, reduce_min, reduce_sum
from tabgrad.ops.rounding import eq, ne
from tabgrad.ops.special import radius
from tabgrad.ops.view import reshape
from tabgrad.tensor.arguments import axes
from tabgrad.tensor.arithmetic import sub
from tabgrad.tensor.chained import chained
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Ints


def vector_norm(x: Tensor, p: float, axes: tuple[int, ...]) -> Tensor:
    """Return the p-norm over `axes`; all vector norms are computed here. The derivative at 0 is 0 for each p.

    The second derivative of the 2-norm of zeros is nan, as it has none.
    """
    if x.spec.dtype.is_complex:
        x = REGISTRY["magnitude"].bind(x)
    if p == 2:
        return radius(reduce_sum.bind(square(x), axes=axes))
    size = abs_(x)
    if (p < 0 or p == float("inf")) and not all(x.spec.shape[a] for a in axes):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {p} norm on an empty tensor because the operation does "
            f"not have an identity: got shape {x.spec.shape}"
        )
    if p == 1:
        return reduce_sum.bind(size, axes=axes)
    if p == float("inf"):
        return reduce_max.bind(size, axes=axes)
    if p == float("-inf"):
        return reduce_min.bind(size, axes=axes)
    if p == 0:
        # a count depends on the numbers, with a derivative of 0
        return reduce_sum.bind(where(ne(x, 0), 1, mul(x, 0)), axes=axes)
    if p < 1:
        zero = eq(size, 0)
        powers = where(zero, 0 if p > 0 else float("inf"), pow_(where(zero, 1, size), p))
    else:
        powers = pow_(size, p)
    total = reduce_sum.bind(powers, axes=axes)
    zero = eq(total, 0)
    return where(zero, 0 if p > 0 else float("inf"), pow_(where(zero, 1, total), 1 / p))


def root(x: Tensor) -> Tensor:
    """Return the square root of what is not negative, with the derivative 0 at 0."""
    if x.owner is None and not (x.tracked and MODE.get().grad):
        return sqrt(x)
    zero = eq(x, 0)
    return where(zero, 0, sqrt(where(zero, 1, x)))


@takes_out
def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dims | None = None, keepdim: bool = False,
    dtype: DType | None = None,
) -> Tensor:  # fmt: skip
    """Return the p-norm over `dim` of the elements as one vector; "fro" is 2.

    The derivative at 0 is 0 for each p.

    >>> import tabgrad as tg
    >>> tg.norm(tg.tensor([3.0, 4.0], device="cpu"))
    tensor(5.)
    """
    if input.spec.dtype.category < dt.FLOAT and dtype is None:
        raise DTypeError(f"norm: expected a floating-point tensor, got {input.spec.dtype!r}")
    x = input if dtype is None else cast(input, input.device.canonical(dtype, True))
    over = axes("norm", dim, len(x.spec.shape))
    if p in ("fro", None):
        p = 2.0
    if p == "nuc":
        nuclear: Tensor = import_module("tabgrad.linalg.norms").matrix_norm(x, p, over, keepdim)
        return nuclear
    if isinstance(p, str):
        raise ShapeError(f"norm: expected a number, 'fro' or 'nuc', got {p!r}")
    return _norm(x, p, over, keepdim)


@chained
@widened(autocast=True)
def _norm(x: Tensor, p: float, over: Ints, keepdim: bool) -> Tensor:
    y = vector_norm(x, p, over)
    return reshape.bind(y, shape=with_ones(x.spec.shape, over)) if keepdim else y


@chained
@widened(autocast=True)
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm of input - other."""
    return norm(sub(input, other), p)


class NormsMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    dist = dist
    norm = norm


__all__ = ["dist", "norm"]
