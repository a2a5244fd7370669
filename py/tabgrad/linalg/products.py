"""Products of vectors and matrices, and what is read from matrices without a decomposition."""

from __future__ import annotations

from collections.abc import Sequence

import tabgrad as tg
from tabgrad.core.dtype import FLOAT
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.linalg import matrices
from tabgrad.tensor import diagonals, linear
from tabgrad.tensor.arguments import tensors as listed
from tabgrad.tensor.public import takes_out

Tensor = tg.Tensor


@takes_out
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Return the cross product of vectors of 3 along `dim`; the other dims broadcast.

    >>> import tabgrad as tg
    >>> x, y, _ = tg.eye(3, device="cpu")
    >>> tg.linalg.cross(x, y)
    tensor([0., 0., 1.])
    """
    return linear.cross(input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return the view of a diagonal of the matrices in two dims, by default the last, as the last dim.

    >>> import tabgrad as tg
    >>> tg.linalg.diagonal(tg.tensor([[[1, 2], [3, 4]]], device="cpu"))
    tensor([[1, 4]])
    """
    return diagonals.diagonal(A, offset, dim1, dim2)


@takes_out
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """Return the product of two or more matrices, in the order that takes the fewest multiplications.

    The first and the last may be vectors.

    >>> import tabgrad as tg
    >>> x, y = tg.ones(2, 3, device="cpu"), tg.ones(3, device="cpu")
    >>> tg.linalg.multi_dot([x, x.T, x, y])
    tensor([18., 18.])
    """
    given = listed("linalg.multi_dot", tensors)
    if len(given) < 2:
        raise ShapeError("multi_dot(): expected at least 2 tensors but got 1")
    return matrices.product_of("multi_dot()", given)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Return the Vandermonde matrices of vectors in the last dim: the powers 0 to N - 1 of each element.

    `N` is the length of the vectors if None, and at least 2. Integers are int64.

    >>> import tabgrad as tg
    >>> tg.linalg.vander(tg.tensor([2, 3], device="cpu"), N=4)
    tensor([[ 1,  2,  4,  8],
            [ 1,  3,  9, 27]])
    """
    if x.dtype is tg.bool:
        raise DTypeError(
            "linalg.vander supports floating point, complex, and integer tensors, but got Bool"
        )
    shape = x.shape or (1,)
    n = shape[-1] if N is None else N.__index__()
    if n < 2:
        raise ArgumentError(f"linalg.vander: N must be greater than 1, got {n}")
    return matrices.powers(x.reshape(shape), n)


@takes_out
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Return the dot products of vectors along `dim`, those of the first conjugated; other dims broadcast.

    >>> import tabgrad as tg
    >>> x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu")
    >>> tg.linalg.vecdot(x, x[0])
    tensor([ 5., 11.])
    """
    if x.dtype.category < FLOAT:
        raise DTypeError(
            "linalg.vecdot: Expected a floating point or complex tensor as input. Got "
            f"{x.dtype.title}; cast it with .float()"
        )
    if x.dtype is not y.dtype:
        raise DTypeError(
            f"linalg.vecdot: Expected x and y to have the same dtype, but found x of type {x.dtype!r} and "
            f"y of type {y.dtype!r} instead"
        )
    return (x.conj() * y).sum(dim)
