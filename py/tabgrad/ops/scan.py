"""Running results along one axis: sums, linear recurrences, extremes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.families import conjugate, kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Ints, Operand, real_only, same_dtype
from tabgrad.core.promotion import widened
from tabgrad.core.shape import size, without
from tabgrad.core.spec import Spec, spec
from tabgrad.core.trace import constant
from tabgrad.ops.elementwise import cast, exp, where
from tabgrad.ops.indexing import cat, gather
from tabgrad.ops.rounding import eq
from tabgrad.ops.view import pad, part, permute, reshape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.op import Operands, Tangents
    from tabgrad.tensor import Tensor


def _batch(name: str) -> Any:
    """Make the batching rule of a scan, which scans the same axis, one further back."""

    def batching(
        n: int, args: Operands, dims: Sequence[int | None], *, axis: int, **params: Any
    ) -> Tensor:
        fronts = [to_front(a, d, n) for a, d in zip(args, dims, strict=True)]
        return globals()[name].bind(*fronts, axis=axis + 1, **params)

    return batching


def _samples(count: int = 1, **params: Any) -> Any:
    def samples() -> Iterator[Any]:
        yield ((3, 4),) * count, {"axis": 1, "reverse": False, **params}
        yield ((3, 2),) * count, {"axis": 0, "reverse": True, **params}
        yield ((2, 1),) * count, {"axis": 1, "reverse": False, **params}
        yield ((2, 0),) * count, {"axis": 1, "reverse": True, **params}

    return samples


def _from(x: Array, axis: int, reverse: bool) -> Array:
    return np.flip(x, axis) if reverse else x


def _wide(x: Array) -> Any:
    """Choose the dtype in which a long running sum keeps its digits."""
    return np.promote_types(x.dtype, np.float64) if x.dtype.kind in "fc" else x.dtype


# -- sums ------------------------------------------------------------------------------------------


@kernel(
    infer=lambda x, *, axis, reverse: x,
    derivative=lambda p, t, _y, *, axis, reverse: cumsum.bind(t[0], axis=axis, reverse=reverse),
    transpose=lambda ct, needs, inputs, _y, *, axis, reverse: (
        cumsum.bind(ct, axis=axis, reverse=not reverse),
    ),
    batching=_batch("cumsum"),
    samples=_samples(),
    reads=((False,), False),
)
def cumsum(x: Operand, *, axis: int, reverse: bool) -> Array:
    """Compute the sums up to and including each element along `axis`; `reverse` starts at the end."""
    found = _from(x, axis, reverse).cumsum(axis, _wide(x))
    if x.dtype.kind in "fc":
        # a sum begins at 0, so the sum of negative zeros is 0
        found = found + np.zeros((), x.dtype)
    return _from(found, axis, reverse).astype(x.dtype, copy=False)


# -- linear recurrences ----------------------------------------------------------------------------


def shifted(x: Tensor, axis: int, reverse: bool, fill: float) -> Tensor:
    """Shift by one element in the order of the scan, with `fill` before the first."""
    n = x.spec.shape[axis]
    if not n:
        return x
    first = spec(tuple(1 if i == axis else m for i, m in enumerate(x.spec.shape)), x.spec.dtype)
    edge = constant(fill, first, x.device)
    rest = part(x, axis, 1, n) if reverse else part(x, axis, 0, n - 1)
    return cat.bind(*((rest, edge) if reverse else (edge, rest)), axis=axis)


def _linear_derivative(
    primals: Operands, tangents: Tangents, y: Tensor, *, axis: int, reverse: bool
) -> Tensor:
    (a, _), (da, db) = primals, tangents
    drive: Any = db
    if da is not None:
        drive = da * shifted(y, axis, reverse, 0)
        drive = drive if db is None else drive + db
    return linear_scan.bind(a, drive, axis=axis, reverse=reverse)


def _linear_transpose(
    ct: Tensor, needs: Sequence[bool], inputs: Operands, y: Tensor, *, axis: int, reverse: bool
) -> tuple[Tensor | None, ...]:
    # the cotangent runs the other way, through the factor of the following element
    a = conjugate(inputs[0])
    back = linear_scan.bind(shifted(a, axis, not reverse, 0), ct, axis=axis, reverse=not reverse)
    return (
        back * shifted(conjugate(y), axis, reverse, 0) if needs[0] else None,
        back if needs[1] else None,
    )


def _linear_spec(a: Spec, b: Spec, *, axis: int, reverse: bool) -> Spec:
    same_dtype("linear_scan", (a, b))
    return b


@kernel(
    infer=_linear_spec,
    derivative=_linear_derivative,
    transpose=_linear_transpose,
    batching=_batch("linear_scan"),
    samples=_samples(2),
)
def linear_scan(a: Operand, b: Operand, *, axis: int, reverse: bool) -> Array:
    """Compute y[i] = a[i] * y[i - 1] + b[i] along `axis`, starting from 0 (so a[0] is not used).

    Running products, their derivatives, exponential averages and gated recurrences are all of this form.
    """
    from tabgrad.ops.scan_numpy import linear

    a, b = (np.moveaxis(_from(z, axis, reverse), axis, 0) for z in (a, b))
    return _from(np.moveaxis(linear(a, b), 0, axis), axis, reverse)


linear_scan.saves = lambda needs: ((True, False), needs[0])


@widened
def cumprod(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """Compute the products up to and including each element, also right if some are zero."""
    shape = x.spec.shape
    n = shape[axis]
    if not n:
        return x
    first = part(x, axis, n - 1, n) if reverse else part(x, axis, 0, 1)
    low = tuple(n - 1 if i == axis and reverse else 0 for i in range(len(shape)))
    high = tuple(n - 1 if i == axis and not reverse else 0 for i in range(len(shape)))
    start = pad.bind(first, low=low, high=high, interior=(0,) * len(shape)) if n > 1 else first
    return linear_scan.bind(x, start, axis=axis, reverse=reverse)


@widened
def product_of_others(x: Tensor, axes: Ints) -> Tensor:
    """Compute, for each element, the product of all others over `axes`, without division.

    It multiplies products from both sides, so that zeros and derivatives of any order are right.
    """
    shape = x.spec.shape
    order = (*(i for i in range(len(shape)) if i not in axes), *axes)
    rows = reshape.bind(
        permute.bind(x, dims=order),
        shape=(*without(shape, axes), size(tuple(shape[i] for i in axes))),
    )
    last = len(rows.spec.shape) - 1
    before = cumprod(shifted(rows, last, False, 1), last)
    after = cumprod(shifted(rows, last, True, 1), last, reverse=True)
    out = reshape.bind(before * after, shape=tuple(shape[i] for i in order))
    back = tuple(order.index(i) for i in range(len(shape)))
    return permute.bind(out, dims=back)


# -- log-sum-exp -----------------------------------------------------------------------------------


def _logcumsumexp_derivative(
    primals: Operands, tangents: Tangents, y: Tensor, *, axis: int, reverse: bool
) -> Tensor:
    # of real numbers every factor is at most 1, so nothing overflows
    x = primals[0]
    real = cast.bind(y, dtype=dt.real_of(y.spec.dtype)) if y.spec.dtype.is_complex else y
    level = where(eq(real, float("-inf")), 0, y)
    carry = exp(shifted(y, axis, reverse, float("-inf")) - level)
    return linear_scan.bind(carry, exp(x - level) * tangents[0], axis=axis, reverse=reverse)


@kernel(
    infer=lambda x, *, axis, reverse: x,
    derivative=_logcumsumexp_derivative,
    batching=_batch("logcumsumexp"),
    samples=_samples(),
)
def logcumsumexp(x: Operand, *, axis: int, reverse: bool) -> Array:
    """Compute the logarithm of the running sum of exp(x) along `axis`, without overflow.

    The imaginary part of a complex result goes on from that of the summand with the largest real part.
    """
    wide = _from(x.astype(_wide(x)), axis, reverse)
    if x.dtype.kind != "c":
        found = np.logaddexp.accumulate(wide, axis)
        return _from(found, axis, reverse).astype(x.dtype, copy=False)
    found = np.moveaxis(np.array(wide), axis, 0)
    for i in range(1, len(found)):
        found[i] = _log_of_sum(found[i], found[i - 1])
    return _from(np.moveaxis(found, 0, axis), axis, reverse).astype(x.dtype, copy=False)


def _log_of_sum(x: Array, y: Array) -> Any:
    """Compute log(exp(x) + exp(y)) of complex numbers."""
    more = x.real < y.real
    low, high = np.where(more, x, y), np.where(more, y, x)
    with np.errstate(all="ignore"):
        # log1p of complex numbers keeps few digits of small ones
        z = np.exp(low - high)
        near = np.maximum(abs(z.real), abs(z.imag)) < 0.4
        size = np.where(near, 0.5 * np.log1p(z.real * (2 + z.real) + z.imag**2), np.log(abs(1 + z)))
        found = high + (size + 1j * np.angle(1 + z))
        ends = np.isinf(low.real) & (low.real == high.real)
        none = np.isneginf(low.real)
        found = np.where(ends, np.log(np.exp(low) + np.exp(high)), found)
    found = np.where(none, np.where(ends, low, high), found)
    return np.where(np.isnan(x) | np.isnan(y), np.array(complex("nan+nanj"), x.dtype), found)


# -- extremes --------------------------------------------------------------------------------------


@kernel(
    infer=lambda x, *, axis, least, dtype: spec(real_only("cummax", x).shape, dtype),
    derivative=None,
    batching=_batch("running_extreme"),
    samples=lambda: (
        (s, {"axis": 1, "least": least, "dtype": dt.int64})
        for s in (((3, 4),), ((2, 1),), ((2, 0),))
        for least in (False, True)
    ),
)
def running_extreme(x: Operand, *, axis: int, least: bool, dtype: dt.DType) -> Array:
    """Find the index of the largest (`least`: smallest) element so far, the latest of ties; a nan stays."""
    # an element wins that equals the extreme up to itself; NumPy's extreme stays nan after one
    best = (np.minimum if least else np.maximum).accumulate(x, axis)
    wins = (x == best) | (x != x)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    places = np.arange(x.shape[axis], dtype=dtype.name).reshape(shape)
    return np.maximum.accumulate(np.where(wins, places, 0), axis)


def cumextreme(x: Tensor, axis: int, least: bool) -> tuple[Any, Any]:
    """Compute the running maximum (`least`: minimum) along `axis`, and its index."""
    index = running_extreme.bind(x, axis=axis, least=least, dtype=x.device.index_dtype)
    return gather.bind(x, index, axis=axis), index


__all__ = [
    "cumextreme", "cumprod", "cumsum", "linear_scan", "logcumsumexp", "product_of_others",
    "running_extreme", "shifted",
]  # fmt: skip
