"""Products of vectors and matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import as_given_on_cpu, the_device, widened
from tabgrad.core.scalars import number
from tabgrad.core.shape import broadcast
from tabgrad.core.spec import NO_PARAMS
from tabgrad.core.trace import MODE, Box, bind
from tabgrad.ops import elementwise as e, linalg, view as v
from tabgrad.tensor import arithmetic, reductions
from tabgrad.tensor.arguments import axis
from tabgrad.tensor.chained import chained
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.joining import stack
from tabgrad.tensor.public import takes_out
from tabgrad.tensor.ranges import meshgrid
from tabgrad.tensor.rearranging import roll

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Number

_MATMUL: Any = linalg.matmul


def _check(name: str, x: Tensor, y: Tensor) -> None:
    if not isinstance(x, Box) or not isinstance(y, Box):
        raise TypeError(f"{name}: expected tensors, got {type(x).__name__} and {type(y).__name__}")
    if x.spec.dtype is not y.spec.dtype and MODE.get().autocast is None:
        raise DTypeError(
            f"{name}: expected both tensors to have the same dtype, but got: "
            f"{x.spec.dtype!r} != {y.spec.dtype!r}"
        )
    if x.spec.dtype is dt.bool_:
        raise DTypeError(
            f"\"{name}\" not implemented for 'Bool': expected numbers; cast the tensors with .to(dtype)"
        )
    the_device(name, [x, y])


def _inner(name: str, x: Tensor, y: Tensor, left: int, right: int) -> None:
    if left != right:
        raise ShapeError(
            f"{name}: mat1 and mat2 shapes cannot be multiplied: {x.spec.shape} @ {y.spec.shape} needs "
            f"{left} == {right}"
        )


@takes_out
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product.

    Two vectors give their dot product, a matrix and a vector a vector; of more dims the last two are
    matrices, the ones before broadcast.

    >>> import tabgrad as tg
    >>> tg.matmul(tg.ones(2, 3, device="cpu"), tg.ones(3, device="cpu"))
    tensor([3., 3.])
    """
    dtype = input.spec.dtype
    if not isinstance(other, Box) or dtype is not other.spec.dtype or dtype is dt.bool_:
        _check("matmul", input, other)
    x, y = input.spec.shape, other.spec.shape
    if len(x) == 2 and len(y) == 2:
        return bind(_MATMUL, (input, other), NO_PARAMS)
    if not x or not y:
        raise ShapeError(
            f"matmul: both arguments need to be at least 1D, but they are {len(x)}D and {len(y)}D"
        )
    _inner("matmul", input, other, x[-1], y[-2] if len(y) > 1 else y[0])
    return _of_ranks(input, other)


@chained
def _of_ranks(input: Tensor, other: Tensor) -> Tensor:
    x, y = input.spec.shape, other.spec.shape
    left = v.reshape.bind(input, shape=(1, *x)) if len(x) == 1 else input
    right = v.reshape.bind(other, shape=(*y, 1)) if len(y) == 1 else other
    out = _product(left, right)
    if len(x) > 1 and len(y) > 1:
        return out
    shape = list(out.spec.shape)
    if len(y) == 1:
        del shape[-1]
    if len(x) == 1:
        del shape[len(shape) - (len(y) > 1) - 1]
    return v.reshape.bind(out, shape=tuple(shape))


def _product(x: Tensor, y: Tensor) -> Tensor:
    """Return the product of matrices in the last two dims, the others broadcast."""
    a, b = x.spec.shape, y.spec.shape
    if len(b) == 2 and len(a) > 2:
        # one matrix on the right: the batch joins the rows
        rows = v.reshape.bind(x, shape=(math.prod(a[:-1]), a[-1]))
        out = bind(_MATMUL, (rows, y), NO_PARAMS)
        return v.reshape.bind(out, shape=(*a[:-1], b[-1]))
    lead = broadcast("matmul", a[:-2], b[:-2])
    if a[:-2] != lead:
        x = v.expand.bind(x, shape=(*lead, *a[-2:]))
    if b[:-2] != lead:
        y = v.expand.bind(y, shape=(*lead, *b[-2:]))
    return bind(_MATMUL, (x, y), NO_PARAMS)


def _ranked(name: str, x: Tensor, y: Tensor, ranks: tuple[int, int]) -> None:
    _check(name, x, y)
    found = len(x.spec.shape), len(y.spec.shape)
    if found != ranks:
        raise ShapeError(
            f"{name}: expected tensors of {ranks[0]} and {ranks[1]} dims, got {found[0]} and {found[1]}"
        )


@takes_out
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices."""
    _ranked("mm", input, mat2, (2, 2))
    return bind(_MATMUL, (input, mat2), NO_PARAMS)


@takes_out
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of two batches of as many matrices."""
    _ranked("bmm", input, mat2, (3, 3))
    if input.spec.shape[0] != mat2.spec.shape[0]:
        raise ShapeError(f"bmm: batch sizes differ: {input.spec.shape} @ {mat2.spec.shape}")
    return bind(_MATMUL, (input, mat2), NO_PARAMS)


@takes_out
@as_given_on_cpu
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix and a vector."""
    _ranked("mv", input, vec, (2, 1))
    return matmul(input, vec)


@takes_out
@chained
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the dot product of two vectors."""
    _ranked("dot", input, tensor, (1, 1))
    _inner("dot", input, tensor, input.spec.size, tensor.spec.size)
    return reductions.sum(
        arithmetic.mul(input, tensor),
        dtype=None if input.spec.dtype.category > 1 else input.spec.dtype,
    )


@takes_out
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """Return the sum of the products of two vectors, the first of which is conjugated if complex."""
    return dot(e.conj(input) if input.spec.dtype.is_complex else input, other)


@takes_out
@as_given_on_cpu
@chained
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the dot products along the last dims; of scalars, the product."""
    _check("inner", input, other)
    x, y = input.spec.shape, other.spec.shape
    if not x or not y:
        return arithmetic.mul(input, other)
    _inner("inner", input, other, x[-1], y[-1])
    return tensordot(input, other, ([-1], [-1]))


@takes_out
@chained
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return the matrix of the products of the elements of two vectors."""
    if len(input.spec.shape) != 1 or len(vec2.spec.shape) != 1:
        raise ShapeError(
            f"outer: expected two vectors, got {input.spec.shape} and {vec2.spec.shape}"
        )
    return arithmetic.mul(v.reshape.bind(input, shape=(input.spec.size, 1)), vec2)


ger = outer


def _plus(input: Tensor, product: Tensor, beta: Number, alpha: Number) -> Tensor:
    factors = [number("addmm", n) for n in (beta, alpha)]
    if input.spec.dtype is not product.spec.dtype:
        casting = MODE.get().autocast
        if casting is None:
            raise DTypeError(
                f"addmm: self and mat2 must have the same dtype, but got {input.spec.dtype!r} and "
                f"{product.spec.dtype!r}"
            )
        (input,) = casting.lowered((input,))
    if product.spec.dtype.category == dt.INT:
        factors = [int(n) for n in factors]
    return _sum(input, product, *factors)


def _sum(input: Tensor, product: Tensor, beta: Number, alpha: Number) -> Tensor:
    scaled = product if alpha == 1 else arithmetic.mul(product, alpha)
    shape = broadcast("addmm", input.spec.shape, scaled.spec.shape)
    if shape != scaled.spec.shape:
        raise ShapeError(
            f"addmm: input {input.spec.shape} doesn't broadcast to the product {scaled.spec.shape}"
        )
    if beta == 0:
        # nan and inf of `input` have no effect; its gradient is zeros, not None
        return e.where(False, input, scaled) if input.tracked else scaled
    return arithmetic.add(scaled, input if beta == 1 else arithmetic.mul(input, beta))


@takes_out
@chained
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """Return beta * input + alpha * (mat1 @ mat2)."""
    return _plus(input, mm(mat1, mat2), beta, alpha)


@takes_out
@as_given_on_cpu
@chained
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """Return beta * input + alpha * (mat @ vec)."""
    return _plus(input, mv(mat, vec), beta, alpha)


@takes_out
@widened
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """Return beta * input + alpha * (the sum of the products of a batch)."""
    products = bmm(batch1, batch2)
    return _plus(input, reductions.sum(products, 0, dtype=products.spec.dtype), beta, alpha)


@takes_out
@chained
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """Return beta * input + alpha * (batch1 @ batch2)."""
    return _plus(input, bmm(batch1, batch2), beta, alpha)


@takes_out
@widened
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """Return beta * input + alpha * outer(vec1, vec2)."""
    product = outer(vec1, vec2)
    if dt.promote(product.spec.dtype, input.spec.dtype).category < dt.FLOAT:
        for name, factor in (("beta", beta), ("alpha", alpha)):
            if isinstance(factor, float):
                raise DTypeError(
                    f"addr: For integral input tensors, argument {name} must not be a floating point "
                    f"number, got {factor}"
                )
    if product.spec.dtype is input.spec.dtype is dt.bool_:
        beta, alpha = bool(beta), bool(alpha)
    return _sum(input, product, beta, alpha)


@takes_out
def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Dims] = 2) -> Tensor:
    """Return the products summed over dims: the last `dims` of the first with the first of the second.

    `dims` may be a pair of lists of dims instead.
    """
    _check("tensordot", a, b)
    dtype = a.spec.dtype
    x, y = a.spec.shape, b.spec.shape
    if isinstance(dims, int):
        if dims < 0:
            raise ArgumentError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(len(x), len(y)):
            raise ShapeError(
                f"tensordot expects dims <= ndim_a and ndim_b, but got dims={dims} for shapes {x} and {y}"
            )
        left, right = list(range(len(x) - dims, len(x))), list(range(dims))
    else:
        if len(dims) != 2:
            raise ArgumentError(f"tensordot expects dims as an int or a pair of lists, got {dims}")
        pair = [[d] if isinstance(d, int) else list(d) for d in dims]
        left = [axis("tensordot", d, len(x)) for d in pair[0]]
        right = [axis("tensordot", d, len(y)) for d in pair[1]]
    for i, j in zip(left, right, strict=False):
        # a dim of size 1 is repeated to the size of the other
        if x[i] != y[j] == 1:
            a = reductions.sum(a, i, True, dtype=dtype)
        elif y[j] != x[i] == 1:
            b = reductions.sum(b, j, True, dtype=dtype)
    x, y = a.spec.shape, b.spec.shape
    if len(left) != len(right) or any(x[i] != y[j] for i, j in zip(left, right, strict=True)):
        raise ShapeError(f"tensordot: dims {left} of {x} and {right} of {y} must have equal sizes")
    keep_x = [k for k in range(len(x)) if k not in left]
    keep_y = [k for k in range(len(y)) if k not in right]
    size = math.prod(x[k] for k in left)
    rows, columns = tuple(x[k] for k in keep_x), tuple(y[k] for k in keep_y)
    one = v.reshape.bind(v.permute.bind(a, dims=(*keep_x, *left)), shape=(math.prod(rows), size))
    two = v.reshape.bind(
        v.permute.bind(b, dims=(*right, *keep_y)), shape=(size, math.prod(columns))
    )
    return v.reshape.bind(bind(_MATMUL, (one, two), NO_PARAMS), shape=(*rows, *columns))


@takes_out
@chained
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: each element of `input` times the whole of `other`."""
    rank = max(len(input.spec.shape), len(other.spec.shape))
    x = (1,) * (rank - len(input.spec.shape)) + input.spec.shape
    y = (1,) * (rank - len(other.spec.shape)) + other.spec.shape
    left = v.reshape.bind(input, shape=tuple(n for size in x for n in (size, 1)))
    right = v.reshape.bind(other, shape=tuple(n for size in y for n in (1, size)))
    return v.reshape.bind(
        arithmetic.mul(left, right), shape=tuple(n * m for n, m in zip(x, y, strict=True))
    )


@takes_out
@chained
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Return the cross product of vectors of 3 along `dim`, by default the first dim of size 3."""
    one, two = input.spec.shape, other.spec.shape
    if len(one) != len(two):
        raise ShapeError(
            f"linalg.cross: inputs must have the same number of dimensions, got shapes {one} and {two}"
        )
    _check("cross", input, other)
    if dim is None:
        dim = next((k for k, n in enumerate(one) if n == 3), None)
        if dim is None:
            raise ShapeError(f"linalg.cross: no dimension of size 3 in input, got shape {one}")
    at = axis("linalg.cross", dim, len(one))
    if not one or not one[at] == two[at] == 3:
        raise ShapeError(
            f"linalg.cross: inputs dimension {dim} must have length 3, got shapes {one} and {two}"
        )
    shape = broadcast("cross", one, two)
    x, y = (v.expand.bind(z, shape=shape) for z in (input, other))
    return arithmetic.sub(
        arithmetic.mul(roll(x, -1, at), roll(y, -2, at)),
        arithmetic.mul(roll(x, -2, at), roll(y, -1, at)),
    )


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Return every combination of the elements of 1-d tensors, one in each row."""
    for x in tensors:
        if len(x.spec.shape) != 1:
            raise ShapeError(f"cartesian_prod: Expect a 1D vector, but got shape {x.spec.shape}")
    if len(tensors) == 1:
        return tensors[0]
    if len({x.spec.dtype for x in tensors}) > 1:
        raise DTypeError(
            "cartesian_prod: expects all tensors to have the same dtype, got "
            f"{', '.join(repr(x.spec.dtype) for x in tensors)}"
        )
    return stack([v.reshape.bind(x, shape=(x.spec.size,)) for x in meshgrid(*tensors)], 1)


class LinearMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    addbmm, addbmm_ = addbmm, in_place(addbmm)
    addmm, addmm_ = addmm, in_place(addmm)
    addmv, addmv_ = addmv, in_place(addmv)
    addr, addr_ = addr, in_place(addr)
    baddbmm, baddbmm_ = baddbmm, in_place(baddbmm)
    bmm = bmm
    cross = cross
    dot = dot
    ger = ger
    inner = inner
    kron = kron
    matmul = matmul
    mm = mm
    mv = mv
    outer = outer
    vdot = vdot


__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "cartesian_prod", "cross", "dot", "ger",
    "inner", "kron", "matmul", "mm", "mv", "outer", "tensordot", "vdot",
]  # fmt: skip
