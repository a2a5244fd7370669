"""Products of matrices of which one, or both, are sparse.

Of a dense operand the rows are gathered by column numbers, scaled by the values, and added up by row: the order
of the sum is that of the stored elements, so results repeat.
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError, SparseError
from tabgrad.core.promotion import cast, the_device
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, indexing as i, view as v
from tabgrad.ops.reduction import reduce_sum
from tabgrad.sparse.elementwise import add, mul
from tabgrad.sparse.parts import (
    Compressed,
    Coo,
    Parts,
    coalesced,
    compress,
    pairs,
    picked,
    stacked,
    summed,
)
from tabgrad.sparse.tensor import is_sparse, made
from tabgrad.tensor import arithmetic
from tabgrad.tensor.distinct import unique
from tabgrad.tensor.layout import sparse_coo, sparse_csr


def _check(name: str, x: Any, y: Any) -> None:
    if not isinstance(x, Box) or not isinstance(y, Box):
        raise TypeError(f"{name}: expected tensors, got {type(x).__name__} and {type(y).__name__}")
    a: Any = x
    b: Any = y
    if a.dtype is not b.dtype:
        raise DTypeError(
            f"{name}: expected both tensors to have the same dtype, but got: {a.dtype!r} != {b.dtype!r}"
        )
    if a.dtype is dt.bool_:
        raise DTypeError(f"\"{name}\" not implemented for 'Bool': expected numbers")
    the_device(name, [x, y])
    for side in (a, b):
        if len(side.shape) != 2:
            raise ShapeError(f"{name}: expected matrices, got shape {tuple(side.shape)}")
        if is_sparse(side) and side._parts.sparse_dim != 2:
            raise SparseError(
                f"{name}: expected two sparse dims, got a tensor with {side._parts.sparse_dim} and "
                f"{side.dense_dim()} dense ones"
            )
    if a.shape[1] != b.shape[0]:
        raise ShapeError(
            f"{name}: mat1 and mat2 shapes cannot be multiplied: {tuple(a.shape)} @ {tuple(b.shape)} needs "
            f"{a.shape[1]} == {b.shape[0]}"
        )


def mm(input: Any, mat2: Any) -> Any:
    """Return the product of two matrices: dense unless both are sparse."""
    _check("mm", input, mat2)
    if is_sparse(input) and is_sparse(mat2):
        c = _sparse_product(input._parts.coo(), mat2._parts.coo())
        both = (input.layout, mat2.layout)
        return made(compress(c, sparse_csr) if sparse_csr in both else c)
    if is_sparse(input):
        return times_dense(input._parts.coo(), mat2)
    return linear_t(times_dense(flipped(mat2._parts.coo()), linear_t(input)))


def linear_t(x: Any) -> Any:
    """Return the transpose of a matrix."""
    return v.permute.bind(x, dims=(1, 0))


def flipped(c: Coo) -> Coo:
    """Return the transpose of a sparse matrix, in the order of the elements as they are."""
    rows, columns = c.lines()
    return Coo(stacked((columns, rows)), c.values, (c.shape[1], c.shape[0]))


def times_dense(c: Coo, d: Any) -> Any:
    """Return the product of a sparse and a dense matrix."""
    dtype = c.values.spec.dtype
    if dtype in dt.HALVES:
        wide = c.over(cast(c.values, dt.float32))
        return cast(times_dense(wide, cast(d, dt.float32)), dtype)
    rows, columns = c.lines()
    parts = picked(d, columns)
    weights = v.spread.bind(c.values, shape=parts.spec.shape, axes=(1,))
    return summed(e.mul(parts, weights), rows, c.shape[0])


def _sparse_product(a: Coo, b: Coo) -> Coo:
    rows, inner = a.lines()
    outer, columns = b.lines()
    left, right = pairs(inner, outer)
    indices = stacked((picked(rows, left), picked(columns, right)))
    values = e.mul(picked(a.values, left), picked(b.values, right))
    return coalesced(Coo(indices, values, (a.shape[0], b.shape[1])))


def mv(input: Any, vec: Any) -> Any:
    """Return the product of a sparse matrix and a dense vector."""
    if is_sparse(vec) or len(vec.shape) != 1:
        raise SparseError("mv: expected a dense vector beside a sparse matrix")
    found = mm(input, v.reshape.bind(vec, shape=(*vec.shape, 1)))
    return v.reshape.bind(found, shape=(found.shape[0],))


def matmul(input: Any, other: Any) -> Any:
    """Return the matrix product of matrices, or of a matrix and a vector, of which one or both are sparse."""
    a, b = len(input.shape), len(other.shape)
    if a == b == 2:
        return mm(input, other)
    if (a, b) == (2, 1):
        return mv(input, other)
    if (a, b) == (1, 2) and not is_sparse(input):
        found = mm(v.reshape.bind(input, shape=(1, *input.shape)), other)
        return v.reshape.bind(found, shape=(found.shape[1],))
    raise SparseError(
        f"matmul: sparse tensors are multiplied as matrices, got {tuple(input.shape)} @ {tuple(other.shape)}"
    )


def bmm(input: Any, mat2: Any) -> Any:
    """Return the product of each matrix of a sparse batch and one of a dense batch."""
    if not is_sparse(input) or is_sparse(mat2):
        raise SparseError(
            "bmm: Tensor 'mat2' must be dense, and 'input' sparse; make the other one so"
        )
    p = input._parts
    if len(p.shape) != 3 or p.sparse_dim != 3 or len(mat2.shape) != 3:
        raise ShapeError(
            f"bmm: expected batches of matrices without dense dims, got {list(p.shape)} with "
            f"{len(p.shape) - p.sparse_dim} dense dims and {list(mat2.shape)}"
        )
    b, n, m = p.shape
    if mat2.shape[:2] != (b, m):
        raise ShapeError(
            f"bmm: expected size for first two dimensions of batch2 tensor to be: [{b}, {m}] but got: "
            f"{list(mat2.shape[:2])}"
        )
    # one matrix with those of the batch as blocks along its diagonal
    at, rows, columns = p.lines()
    whole = Coo(stacked((at * n + rows, at * m + columns)), p.values, (b * n, b * m))
    found = mm(made(whole), v.reshape.bind(mat2, shape=(b * m, mat2.shape[2])))
    return v.reshape.bind(found, shape=(b, n, mat2.shape[2]))


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Return input @ weight.T + bias, of which input, or weight, or both are sparse."""
    if len(weight.shape) != 2 or (is_sparse(input) and len(input.shape) != 2):
        raise SparseError(
            f"linear: sparse tensors are multiplied as matrices, got {tuple(input.shape)} and "
            f"{tuple(weight.shape)}"
        )
    turned = made(flipped(weight._parts.coo())) if is_sparse(weight) else linear_t(weight)
    lead = None if is_sparse(input) else input.shape[:-1]
    rows = (
        input if lead is None else v.reshape.bind(input, shape=(math.prod(lead), input.shape[-1]))
    )
    found = mm(rows, turned)
    if bias is not None:
        if is_sparse(found):
            raise SparseError("linear: a bias would make the sparse product dense; leave it out")
        if tuple(bias.shape) not in ((), (weight.shape[0],)):
            raise ShapeError(
                f"linear: bias must have shape {(weight.shape[0],)}, got {tuple(bias.shape)}"
            )
        found = arithmetic.add(found, bias)
    return found if lead is None else v.reshape.bind(found, shape=(*lead, weight.shape[0]))


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Return beta · input + alpha · (mat1 @ mat2)."""
    product = mm(mat1, mat2)
    if is_sparse(input) and not is_sparse(product):
        raise SparseError("addmm: a dense product can't be added to a sparse input; make it dense")
    if is_sparse(product):
        scaled = input if beta == 1 else mul(input, beta)
        return add(scaled, product, alpha=alpha)
    scaled = product if alpha == 1 else arithmetic.mul(product, alpha)
    # with beta = 0 nan in the input is ignored
    if beta == 0:
        return scaled
    return arithmetic.add(scaled, input if beta == 1 else arithmetic.mul(input, beta))


def hspmm(mat1: Any, mat2: Any) -> Any:
    """Return the product of a sparse and a dense matrix as a sparse tensor of whole rows."""
    _check("hspmm", mat1, mat2)
    if not is_sparse(mat1) or mat1.layout is not sparse_coo or is_sparse(mat2):
        raise SparseError("hspmm: expected a sparse COO matrix and a dense one")
    return made(_rows_of_product(mat1._parts, mat2))


def _rows_of_product(c: Coo, d: Any) -> Coo:
    rows, columns = c.lines()
    parts = picked(d, columns)
    scaled = e.mul(parts, v.spread.bind(c.values, shape=parts.spec.shape, axes=(1,)))
    found, group = unique(rows, return_inverse=True)
    values = summed(scaled, group, found.spec.size)
    return Coo(stacked((found,)), values, (c.shape[0], d.spec.shape[1]), True)


def smm(input: Any, mat2: Any) -> Any:
    """Return the product of a sparse and a dense matrix as a sparse matrix."""
    _check("smm", input, mat2)
    if not is_sparse(input) or is_sparse(mat2):
        raise SparseError("smm: expected a sparse matrix and a dense one")
    c = _rows_of_product(input._parts.coo(), mat2)
    n, k = c.nnz, c.shape[1]
    (rows,) = c.lines()
    at = v.reshape.bind(v.spread.bind(rows, shape=(n, k), axes=(1,)), shape=(n * k,))
    step = i.iota(k, rows.spec.dtype, rows.device)
    columns = v.reshape.bind(v.spread.bind(step, shape=(n, k), axes=(0,)), shape=(n * k,))
    values = v.reshape.bind(c.values, shape=(n * k,))
    return made(Coo(stacked((at, columns)), values, c.shape, True))


def sspaddmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Return beta · input + alpha · (mat1 @ mat2) as a sparse matrix, for sparse `input` and `mat1`."""
    if not is_sparse(input):
        raise SparseError("sspaddmm: expected a sparse input")
    return add(input if beta == 1 else mul(input, beta), smm(mat1, mat2), alpha=alpha)


def sampled(input: Any, mat1: Any, mat2: Any, beta: Any, alpha: Any) -> Any:
    """Return beta · input + alpha · (mat1 @ mat2) at the stored places of a CSR matrix alone."""
    if not is_sparse(input) or not isinstance(input._parts, Compressed):
        raise SparseError(f"Expected sparse matrix with csr layout but got {input.layout}")
    if is_sparse(mat1) or is_sparse(mat2):
        raise SparseError("sampled_addmm: expected dense mat1 and mat2")
    _check("sampled_addmm", mat1, mat2)
    _check("sampled_addmm", input, linear_t(mat2))
    p: Parts = input._parts
    if (mat1.shape[0], mat2.shape[1]) != p.shape:
        raise ShapeError(
            f"sampled_addmm: expected a product of shape {p.shape}, got {(mat1.shape[0], mat2.shape[1])}"
        )
    rows, columns = p.coo().lines()
    terms = e.mul(picked(mat1, rows), picked(linear_t(mat2), columns))
    found = reduce_sum.bind(terms, axes=(1,))
    scaled = found if alpha == 1 else arithmetic.mul(found, alpha)
    if beta == 0:
        return made(p.over(scaled))
    return made(p.over(arithmetic.add(scaled, arithmetic.mul(p.values, beta))))
