"""What is made of many products of matrices: powers, the exponential, chains, Vandermonde matrices."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import cast, expand, widened
from tabgrad.core.trace import MODE, Box
from tabgrad.linalg.arguments import check_square
from tabgrad.linalg.solving import inv
from tabgrad.ops import elementwise as e, scan, view as v
from tabgrad.ops.indexing import cat
from tabgrad.ops.reduction import reduce_max, reduce_min, reduce_sum
from tabgrad.ops.rounding import gt
from tabgrad.tensor import aliasing, creation
from tabgrad.tensor.arguments import as_dtype, tensors
from tabgrad.tensor.arithmetic import pow
from tabgrad.tensor.elementary import abs
from tabgrad.tensor.linear import matmul
from tabgrad.tensor.public import takes_out
from tabgrad.tensor.ranges import arange, eye
from tabgrad.tensor.rearranging import flip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor import Tensor

DEGREE = 16
RADIUS = {dt.float32: 2.0, dt.float64: 0.75}
"""The 1-norm up to which the Taylor polynomial of this degree is the exponential but for rounding."""
SQUARINGS = {dt.float32: 23, dt.float64: 40}
"""At most. Above the norm that they reach, 1e7 and 8e11, no digit of the result is certain."""


def _identity(x: Tensor) -> Tensor:
    return eye(x.spec.shape[-1], dtype=x.spec.dtype, device=x.device)


@takes_out
def matrix_power(input: Tensor, n: int) -> Tensor:
    """Return the n-th power of square matrices, by repeated squaring; of the inverse if n is negative.

    >>> import tabgrad as tg
    >>> tg.matrix_power(tg.tensor([[1, 1], [1, 0]], device="cpu"), 10)
    tensor([[89, 55],
            [55, 34]])
    """
    check_square("linalg.matrix_power", input)
    if not hasattr(n, "__index__") or isinstance(n, bool):
        raise TypeError(f"matrix_power(): argument 'n' must be int, not {type(n).__name__}")
    n = n.__index__()
    if n < 0:
        input, n = inv(input), -n
    if n == 0:
        return e.attached(e.copy.bind(expand(_identity(input), input.spec.shape)), input)
    power: Any = None
    square = input
    while True:
        if n & 1:
            power = square if power is None else matmul(power, square)
        n >>= 1
        if not n:
            return e.copy.bind(power) if power is input else power
        square = matmul(square, square)


@widened
def matrix_exp(input: Tensor) -> Tensor:
    """Return the exponential of square matrices, I + A + A²/2! + A³/3! + ...

    A matrix is halved until its 1-norm is small, the Taylor polynomial of degree 16 is taken, and the result
    squared as often: products only, so it has every derivative, and no value is read back on a GPU. The error
    is some roundings times the norm. Where no digit would be certain (a norm above 1e7 in float32, 8e11 in
    float64) the result is nan.

    >>> import tabgrad as tg
    >>> tg.matrix_exp(tg.tensor([[0.0, 1.0], [0.0, 0.0]], device="cpu"))
    tensor([[1., 1.],
            [0., 1.]])
    """
    check_square("linalg.matrix_exp", input)
    dtype = input.spec.dtype
    if dtype.category < dt.FLOAT:
        raise DTypeError(
            "linalg.matrix_exp: Expected a floating point or complex tensor as input. Got "
            f"{dtype.title}; cast it with .float()"
        )
    if not input.spec.size:
        return e.copy.bind(input)
    rank = len(input.spec.shape)
    # how often a matrix is halved is no function to differentiate
    sums = reduce_sum.bind(abs(aliasing.detach(input)), axes=(rank - 2,))
    norm = reduce_max.bind(sums, axes=(rank - 2,))
    radius, most = RADIUS[norm.spec.dtype], SQUARINGS[norm.spec.dtype]
    large = gt(_last(norm), _row([radius * 2.0**k for k in range(most)], norm))
    halves = e.where(large, _row([0.5 ** (k + 1) for k in range(most)], norm), 1.0)
    factor = reduce_min.bind(halves, axes=(rank - 2,))
    y = _taylor(e.mul(input, _last(_last(factor))))
    for k in range(_needed(large, most)):
        again = _last(v.part(large, rank - 2, k, k + 1))
        # zeros where it is done: an overflow there would make the gradient nan
        base = e.where(again, y, 0)
        y = e.where(again, matmul(base, base), y)
    return e.where(gt(_last(_last(norm)), radius * 2.0**most), float("nan"), y)


def _row(values: list[float], like: Tensor) -> Tensor:
    return creation.tensor(values, dtype=like.spec.dtype, device=like.device)


def _last(x: Tensor) -> Tensor:
    """Return `x` with one more axis of size 1 behind."""
    return v.reshape.bind(x, shape=(*x.spec.shape, 1))


def _needed(large: Tensor, most: int) -> int:
    """Return how many squarings there are: all that may be needed where the values aren't there yet."""
    if large.owner is not None or large.device.type != "cpu" or MODE.get().capture is not None:
        return most
    rank = len(large.spec.shape)
    counts = reduce_sum.bind(cast(large, large.device.index_dtype), axes=(rank - 1,))
    return int(counts.max().item())


def _taylor(x: Any) -> Any:
    """Return the Taylor polynomial of the exponential, in four blocks of four terms: six products."""
    x2 = matmul(x, x)
    x3, x4 = matmul(x2, x), matmul(x2, x2)
    powers = (_identity(x), x, x2, x3)
    factors = [1.0]
    for k in range(1, DEGREE + 1):
        factors.append(factors[-1] / k)
    y = e.mul(x4, factors[DEGREE])
    for start in range(DEGREE - 4, -1, -4):
        for k, power in enumerate(powers):
            y = e.add(y, e.mul(power, factors[start + k]))
        if start:
            y = matmul(y, x4)
    return y


def product_of(name: str, matrices: Sequence[Tensor]) -> Tensor:
    """Return the product of matrices in the order that takes the fewest multiplications.

    The first and the last may be vectors.
    """
    first, last = matrices[0], matrices[-1]
    for i, x in enumerate(matrices):
        end = i in (0, len(matrices) - 1)
        if len(x.spec.shape) != 2 and not (end and len(x.spec.shape) == 1):
            raise ShapeError(
                f"{name}: tensor {i} must be {'1D or 2D' if end else '2D'} but got {len(x.spec.shape)}D"
            )
        if x.spec.dtype is not first.spec.dtype and MODE.get().autocast is None:
            raise DTypeError(
                f"{name}: all tensors must have the same dtype but tensor 0 is {first.spec.dtype!r} and "
                f"tensor {i} {x.spec.dtype!r}"
            )
    chain = list(matrices)
    row, column = len(first.spec.shape) == 1, len(last.spec.shape) == 1
    if row:
        chain[0] = v.reshape.bind(first, shape=(1, first.spec.size))
    if column:
        chain[-1] = v.reshape.bind(last, shape=(last.spec.size, 1))
    for i, (x, y) in enumerate(pairwise(chain)):
        if x.spec.shape[1] != y.spec.shape[0]:
            raise ShapeError(
                f"{name}: tensors {i} and {i + 1} with shapes {list(matrices[i].spec.shape)} and "
                f"{list(matrices[i + 1].spec.shape)} cannot be multiplied"
            )
    y = _in_order(chain)
    shape = y.spec.shape[row : 2 - column]
    return y if shape == y.spec.shape else v.reshape.bind(y, shape=shape)


def _in_order(chain: list[Tensor]) -> Tensor:
    """Return the product of a chain of matrices, by the splits that dynamic programming finds best."""
    sizes = [chain[0].spec.shape[0], *[x.spec.shape[1] for x in chain]]
    count = len(chain)
    cost = {(i, i): 0 for i in range(count)}
    split = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    found = {(i, i): x for i, x in enumerate(chain)}
    pending = [(0, count - 1)]
    while pending:
        i, j = pending[-1]
        if (i, j) not in found:
            parts = (i, split[i, j]), (split[i, j] + 1, j)
            missing = [p for p in parts if p not in found]
            if missing:
                pending += missing
                continue
            found[i, j] = matmul(found[parts[0]], found[parts[1]])
        pending.pop()
    return found[0, count - 1]


@takes_out
def chain_matmul(*matrices: Tensor) -> Tensor:
    """Return the product of matrices, in the order that takes the fewest multiplications."""
    for x in tensors("chain_matmul", matrices):
        if len(x.spec.shape) != 2:
            raise ShapeError(
                f"chain_matmul: Tensor dimension is {len(x.spec.shape)}, expected 2 instead."
            )
    if len(matrices) == 1:
        return e.copy.bind(matrices[0])
    return product_of("multi_dot()", matrices)


def powers(x: Tensor, n: int) -> Tensor:
    """Return x⁰, x¹, ..., xⁿ⁻¹ along a new last axis. Integers are int64."""
    if x.spec.dtype.category < dt.FLOAT:
        x = as_dtype(x, dt.int64)
    lead = x.spec.shape
    ones = creation.filled((*lead, min(n, 1)), 1, x.spec.dtype, x.device)
    if n < 2:
        return ones
    repeated = v.expand.bind(_last(x), shape=(*lead, n - 1))
    return cat.bind(ones, scan.cumprod(repeated, len(lead)), axis=len(lead))


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Return the Vandermonde matrix of a vector: its powers from N - 1 down to 0, or up with `increasing`.

    >>> import tabgrad as tg
    >>> tg.vander(tg.tensor([2, 3], device="cpu"), 3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    if not isinstance(x, Box):
        raise TypeError(f"vander(): argument 'x' must be Tensor, not {type(x).__name__}")
    if len(x.spec.shape) != 1:
        raise ShapeError(
            f"vander: x must be a one-dimensional tensor, but has {len(x.spec.shape)} dims"
        )
    n = x.spec.size if N is None else N.__index__()
    if n < 0:
        raise ArgumentError(f"vander: N must be non-negative, got {n}")
    exponents = arange(n, dtype=x.device.index_dtype, device=x.device)
    return pow(_last(x), exponents if increasing else flip(exponents, (0,)))
