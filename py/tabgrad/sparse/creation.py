"""Sparse tensors from indices and values, and from dense tensors."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, SparseError
from tabgrad.core.promotion import cast
from tabgrad.core.settings import setting
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, indexing as i, rounding as r, view as v
from tabgrad.ops.checked import confined, within
from tabgrad.ops.reduction import reduce_all, reduce_any
from tabgrad.sparse.parts import (
    BLOCKS,
    ROWS,
    Compressed,
    Coo,
    coalesced,
    compress,
    coordinates,
    empty,
    lines,
    masked,
    nothing,
    picked,
    stacked,
)
from tabgrad.sparse.tensor import is_sparse, made
from tabgrad.tensor import Tensor, creation, nonzero
from tabgrad.tensor.layout import (
    layout as Layout,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)

if TYPE_CHECKING:
    from tabgrad.tensor.types import DeviceLike, Ints


# -- from indices and values -----------------------------------------------------------------------


def sparse_coo_tensor(
    indices: Any = None, values: Any = None, size: Ints | None = None, *, dtype: DType | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
    check_invariants: bool | None = None, is_coalesced: bool | None = None,
) -> Any:  # fmt: skip
    """Return a sparse tensor of elements by their coordinates.

    `indices` [sparse dims, n] has the coordinates of `values` [n, *dense dims]; elements of one place add up.
    Without `size` it is as large as the indices need, which reads them. An index outside raises. A size alone
    gives a tensor without elements. With `requires_grad` the result is a leaf, else it has the history of
    `values`.

    >>> import tabgrad as tg
    >>> x = tg.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3), device="cpu")
    >>> x.to_dense()
    tensor([[0., 0., 3.],
            [4., 0., 0.]])
    """
    if values is None:
        if (indices is None) == (size is None):
            raise TypeError(
                "sparse_coo_tensor(): expected indices and values, or a size alone: "
                f"{'values are missing' if size is not None else 'nothing was given'}"
            )
        shape = tuple([int(n) for n in (indices if size is None else size)])
        where, target = creation.placed(dtype, device, None)
        x = made(empty(shape, len(shape), (), target, where))
        return x.requires_grad_() if requires_grad else x
    if indices is None:
        raise TypeError("sparse_coo_tensor(): missing required argument: 'indices'")
    data = _values(values, dtype, device, requires_grad, indices)
    at = _index("indices", indices, data.device)
    if len(at.spec.shape) != 2:
        raise ShapeError(
            f"indices must be sparse_dim x nnz, but got: {list(at.spec.shape)} (sparse_coo_tensor)"
        )
    rank, n = at.spec.shape
    if not data.spec.shape or data.spec.shape[0] != n:
        raise ShapeError(
            f"indices and values must have same nnz, but got nnz from indices: {n}, nnz from values: "
            f"{data.spec.shape[0] if data.spec.shape else 'none'}"
        )
    shape = _needed(at, data) if size is None else tuple([int(k) for k in size])
    if len(shape) != rank + len(data.spec.shape) - 1 or shape[rank:] != data.spec.shape[1:]:
        raise ShapeError(
            f"number of dimensions must be sparse_dim ({rank}) + dense_dim ({len(data.spec.shape) - 1}), and "
            f"the dense ones those of the values: size {list(shape)}, values {list(data.spec.shape)}"
        )
    if n and rank:
        rows = [within("sparse_coo_tensor", row, shape[d], d) for d, row in enumerate(lines(at))]
        at = stacked(rows)
    return made(Coo(at, data, shape, bool(is_coalesced) or (n < 2 and is_coalesced is None)))


def _values(
    values: Any, dtype: DType | None, device: Any, requires_grad: bool, indices: Any
) -> Any:
    """Return the values: on the graph they come from, or as a leaf of their own."""
    if not isinstance(values, Box):
        if device is None and isinstance(indices, Box):
            device = indices.device
        x = creation.tensor(values, dtype=dtype, device=device)
        return x.requires_grad_() if requires_grad else x
    given: Any = values
    if is_sparse(given):
        raise SparseError("expected dense values")
    x = given.to(device=device, dtype=dtype)
    if requires_grad:
        return x.detach().clone().requires_grad_()
    # a tensor of a transform has derivatives of its own
    return x.view_as(x) if x.requires_grad or x.owner is not None else x.detach()


def _index(name: str, given: Any, where: Any) -> Any:
    if not isinstance(given, Box):
        given = creation.tensor(given, device=where)
        given = given if given.spec.size else given.to(where.index_dtype)
    at: Any = given
    if at.spec.dtype.category != dt.INT:
        raise DTypeError(f"{name} must be an int tensor, got {at.spec.dtype!r}")
    return cast(at.detach().to(where), where.index_dtype)


def _needed(at: Any, values: Any) -> tuple[int, ...]:
    if not at.spec.shape[1]:
        return (*[0] * at.spec.shape[0], *values.spec.shape[1:])
    least = int(at.min().item())
    if least < 0:
        raise OutOfRangeError(f"found negative index {least} (sparse_coo_tensor)")
    return (*[n + 1 for n in at.max(1).values.tolist()], *values.spec.shape[1:])


def sparse_compressed_tensor(
    compressed_indices: Any, plain_indices: Any, values: Any, size: Ints | None = None, *,
    dtype: DType | None = None, layout: Layout | None = None, device: DeviceLike | None = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Any:  # fmt: skip
    """Return a sparse matrix whose rows, or columns, lie side by side.

    Row j of a CSR matrix has the columns `plain_indices[a:b]`, ascending, and these `values`, where a and b are
    `compressed_indices[j]` and `[j + 1]`; CSC exchanges rows and columns, BSR and BSC have blocks as values.
    Indices that don't keep to that raise, on a GPU at the next read.
    """
    if layout not in (sparse_csr, sparse_csc, sparse_bsr, sparse_bsc):
        raise ArgumentError(
            f"sparse_compressed_tensor: expected a compressed sparse layout, got {layout}"
        )
    data = _values(values, dtype, device, requires_grad, compressed_indices)
    outer = _index("compressed_indices", compressed_indices, data.device)
    inner = _index("plain_indices", plain_indices, data.device)
    if len(outer.spec.shape) != 1 or len(inner.spec.shape) != 1 or not outer.spec.size:
        raise SparseError(
            "sparse_compressed_tensor: expected 1-d indices: batches of sparse matrices are not here; make one "
            "for each"
        )
    block = data.spec.shape[1:3] if layout in BLOCKS else (1, 1)
    if not data.spec.shape or data.spec.shape[0] != inner.spec.size or len(block) != 2:
        raise ShapeError(
            f"values must have the number of plain indices, {inner.spec.size}, in front and then the blocks, "
            f"got {list(data.spec.shape)}"
        )
    most = (outer.spec.size - 1) * (block[0] if layout in ROWS else block[1])
    if size is None:
        least = int(inner.max().item()) + 1 if inner.spec.size else 0
        least *= block[1] if layout in ROWS else block[0]
        size = (most, least) if layout in ROWS else (least, most)
    shape = tuple([int(n) for n in size])
    if len(shape) != 2 or shape[0 if layout in ROWS else 1] != most:
        raise ShapeError(
            f"compressed_indices of size {outer.spec.size} need {most} "
            f"{'rows' if layout in ROWS else 'columns'}, got size {list(shape)}"
        )
    lesser = shape[1] // block[1] if layout in ROWS else shape[0] // block[0]
    return made(Compressed(layout, *_checked(outer, inner, lesser), data, shape))


def _checked(outer: Any, inner: Any, width: int) -> tuple[Any, Any]:
    """Return the indices of a compressed layout, checked where they are read."""
    n, m = outer.spec.size, inner.spec.size
    first, last = v.part(outer, 0, 0, 1), v.part(outer, 0, n - 1, n)
    steps = v.part(outer, 0, 1, n) - v.part(outer, 0, 0, n - 1)
    rules = i.cat.bind(0 - e.abs_(first), 0 - e.abs_(last - m), steps, axis=0)
    message = "`compressed_indices` must begin with 0, end with nnz, and not fall"
    fine = reduce_all.bind(
        r.ge(confined(rules, rule="not negative", message=message), 0), axes=(0,)
    )
    outer = e.where(fine, outer, 0)
    if not m:
        return outer, inner
    inner = within("sparse_compressed_tensor", inner, width, 1)
    if m == 1:
        return outer, inner
    owner = Compressed(sparse_csr, outer, inner, inner, (n - 1, width)).coo().lines()[0]
    key = owner * max(width, 1) + inner
    rises = v.part(key, 0, 1, m) - v.part(key, 0, 0, m - 1)
    message = "`plain_indices` must be distinct and ascend along each row (of CSC: column)"
    fine = reduce_all.bind(r.ge(confined(rises, rule="positive", message=message), 0), axes=(0,))
    return outer, e.where(fine, inner, 0)


def sparse_csr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Ints | None = None, *,
    dtype: DType | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False, check_invariants: bool | None = None,
) -> Any:  # fmt: skip
    """Return a sparse matrix of compressed rows; see `sparse_compressed_tensor`.

    >>> import tabgrad as tg
    >>> x = tg.sparse_csr_tensor([0, 1, 2], [2, 0], [3.0, 4.0], (2, 3), device="cpu")
    >>> x.to_dense()
    tensor([[0., 0., 3.],
            [4., 0., 0.]])
    """
    return sparse_compressed_tensor(
        crow_indices, col_indices, values, size, dtype=dtype, layout=sparse_csr, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


def sparse_csc_tensor(
    ccol_indices: Any, row_indices: Any, values: Any, size: Ints | None = None, *,
    dtype: DType | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False, check_invariants: bool | None = None,
) -> Any:  # fmt: skip
    """Return a sparse matrix of compressed columns; see `sparse_compressed_tensor`."""
    return sparse_compressed_tensor(
        ccol_indices, row_indices, values, size, dtype=dtype, layout=sparse_csc, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


def sparse_bsr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Ints | None = None, *,
    dtype: DType | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False, check_invariants: bool | None = None,
) -> Any:  # fmt: skip
    """Return a sparse matrix of compressed rows of blocks [n, height, width]."""
    return sparse_compressed_tensor(
        crow_indices, col_indices, values, size, dtype=dtype, layout=sparse_bsr, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


def sparse_bsc_tensor(
    ccol_indices: Any, row_indices: Any, values: Any, size: Ints | None = None, *,
    dtype: DType | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False, check_invariants: bool | None = None,
) -> Any:  # fmt: skip
    """Return a sparse matrix of compressed columns of blocks [n, height, width]."""
    return sparse_compressed_tensor(
        ccol_indices, row_indices, values, size, dtype=dtype, layout=sparse_bsc, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


# -- from dense tensors, and back ------------------------------------------------------------------


def to_sparse(
    self: Any, sparse_dim: Any = None, *, layout: Layout | None = None,
    blocksize: Any = None, dense_dim: int | None = None,
) -> Any:  # fmt: skip
    """Return the nonzero elements as a sparse tensor; reads how many there are.

    The first `sparse_dim` dims (all, unless given) have coordinates. `layout` may be a compressed one, for a
    matrix; blocks need a `blocksize`.

    >>> import tabgrad as tg
    >>> tg.tensor([0.0, 5.0], device="cpu").to_sparse()
    tensor(indices=tensor([[1]]),
           values=tensor([5.]),
           size=(2,), nnz=1, layout=tabgrad.sparse_coo)
    """
    if isinstance(sparse_dim, Layout):
        sparse_dim, layout = None, sparse_dim
    layout = sparse_coo if layout is None else layout
    if layout is strided:
        return to_dense(self)
    if (blocksize is not None) is not (layout in BLOCKS):
        raise ArgumentError(
            f"to_sparse: conversion to {layout} {'needs' if blocksize is None else 'takes no'} blocksize"
        )
    if is_sparse(self):
        if sparse_dim is not None or dense_dim is not None:
            raise SparseError(
                f"to_sparse: conversion from {self.layout.title} with sparse_dim or dense_dim given is "
                "not supported"
            )
        p = self._parts
    else:
        rank = len(self.shape) if sparse_dim is None else sparse_dim
        if dense_dim is not None:
            rank = len(self.shape) - dense_dim
        p = _nonzero(self, rank)
    if layout is p.layout and (layout not in BLOCKS or tuple(blocksize) == p.block):
        return self if is_sparse(self) else made(p)
    if layout is sparse_coo:
        return made(coalesced(p.coo()))
    if p.sparse_dim > 2:
        raise SparseError(
            f"to_sparse: batches of compressed matrices are not here, got shape {list(p.shape)}; make one for "
            "each, or use the layout sparse_coo, which bmm takes"
        )
    if len(p.shape) < 2 or p.sparse_dim != 2:
        raise ShapeError(
            f"to_sparse: {layout} is a layout of matrices, got shape {list(p.shape)} with {p.sparse_dim} "
            "sparse dims"
        )
    block = (1, 1) if blocksize is None else tuple(blocksize)
    if len(block) != 2 or any(b < 1 or n % b for n, b in zip(p.shape[:2], block, strict=True)):
        raise ShapeError(
            f"tensor sparse size ({list(p.shape[:2])}) must be divisible by given blocksize "
            f"({list(block)})"
        )
    return made(compress(p, layout, block))


def _nonzero(x: Any, rank: int) -> Coo:
    shape = x.spec.shape
    if not 0 < rank <= len(shape) and not (rank == 0 == len(shape)):
        raise ShapeError(
            f"to_sparse: sparse_dim must be from 1 through the number of dims, {len(shape)}, got {rank}"
        )
    sizes, tail = shape[:rank], shape[rank:]
    flat = v.reshape.bind(x, shape=(math.prod(sizes), *tail))
    mask = cast(e.stop_gradient(flat), dt.bool_)
    if tail:
        mask = reduce_any.bind(mask, axes=tuple(range(1, len(tail) + 1)))
    at = nonzero.places(mask)
    return Coo(coordinates(at, sizes), picked(flat, at), shape, True)


def to_dense(self: Any, dtype: DType | None = None, *, masked_grad: bool | None = None) -> Any:
    """Return all elements as a dense tensor; a dense tensor gives itself."""
    dense = self._parts.dense() if is_sparse(self) else self
    return dense if dtype is None else dense.to(dtype)


def _to(target: Layout) -> Any:
    def method(self: Any, dense_dim: int | None = None) -> Any:
        return to_sparse(self, layout=target, dense_dim=dense_dim)

    method.__name__ = method.__qualname__ = f"to_{target.name}"
    method.__doc__ = f"Return the matrix in the layout tabgrad.{target.name}."
    return method


def _to_blocks(target: Layout) -> Any:
    def method(self: Any, blocksize: Any, dense_dim: int | None = None) -> Any:
        return to_sparse(self, layout=target, blocksize=blocksize, dense_dim=dense_dim)

    method.__name__ = method.__qualname__ = f"to_{target.name}"
    method.__doc__ = f"Return the matrix in the layout tabgrad.{target.name}."
    return method


to_sparse_csr, to_sparse_csc = _to(sparse_csr), _to(sparse_csc)
to_sparse_bsr, to_sparse_bsc = _to_blocks(sparse_bsr), _to_blocks(sparse_bsc)


def to_sparse_coo(self: Any) -> Any:
    """Return the tensor in the layout tabgrad.sparse_coo; a dense one by its nonzero elements."""
    return to_sparse(self)


def sparse_mask(self: Any, mask: Any) -> Any:
    """Return the elements of a tensor at the places that the sparse tensor `mask` stores."""
    if not is_sparse(mask):
        raise SparseError("sparse_mask: expected a sparse mask")
    if self.shape != mask.shape:
        raise ShapeError(
            f"sparse_mask(): operands have incompatible sizes; self has size {list(self.shape)} but mask has "
            f"size {list(mask.shape)}"
        )
    return made(mask._parts.over(masked(to_dense(self), mask._parts)))


def zeros_like(
    input: Any, *, dtype: DType | None = None, layout: Layout | None = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, memory_format: Any = None,
) -> Any:  # fmt: skip
    """Return a tensor of the shape and layout of a sparse one without elements."""
    if layout is not None and layout is not input.layout:
        raise SparseError(f"zeros_like: expected layout {input.layout}, got {layout}")
    x = made(nothing(input._parts).over(nothing(input._parts).values)).to(
        dtype=dtype, device=device
    )
    return x.requires_grad_() if requires_grad else x


def spdiags(
    diagonals: Tensor, offsets: Tensor, shape: Ints, layout: Layout | None = None
) -> Tensor:
    """Return the sparse matrix whose diagonals are rows of `diagonals` [n, m]; `offsets` [n] says which.

    Element j of a row is in column j. Offsets above 0 mean diagonals above the main one. Reads the offsets.
    """
    if len(shape) != 2:
        raise ShapeError(f"Output shape must be 2d, got {list(shape)}")
    given: Any = diagonals if len(diagonals.shape) == 2 else diagonals[None]
    at = offsets.reshape(-1).tolist()
    if len(at) != given.shape[0]:
        raise ShapeError("Number of diagonals does not match the number of offsets")
    if len(set(at)) != len(at):
        raise ArgumentError("Offset tensor contains duplicate values")
    height, width = shape
    rows, columns, places = [], [], []
    for k, offset in enumerate(at):
        for j in range(max(offset, 0), min(width, given.shape[1], height + offset)):
            rows.append(j - offset)
            columns.append(j)
            places.append(k * given.shape[1] + j)
    where = given.device
    index = creation.tensor([rows, columns], dtype=dt.int64, device=where)
    order = creation.tensor(places, dtype=dt.int64, device=where)
    values = picked(given.reshape(-1), order)
    x = made(Coo(index, values, (height, width)))
    return x if layout in (None, sparse_coo) else to_sparse(x, layout=layout)


@setting
class _Checks:
    enabled = False


class check_sparse_tensor_invariants:
    """Says whether indices are checked; here they always are, so it has no effect. A context, and a decorator.

    >>> import tabgrad as tg
    >>> with tg.sparse.check_sparse_tensor_invariants():
    ...     tg.sparse.check_sparse_tensor_invariants.is_enabled()
    True
    """

    def __init__(self, enable: bool = True) -> None:
        self.state = enable
        self.before: list[bool] = []

    @staticmethod
    def is_enabled() -> bool:
        """Return what was set."""
        return _Checks.enabled

    @staticmethod
    def enable() -> None:
        """Set it."""
        _Checks.enabled = True

    @staticmethod
    def disable() -> None:
        """Take it back."""
        _Checks.enabled = False

    def __enter__(self) -> None:
        self.before.append(_Checks.enabled)
        _Checks.enabled = self.state

    def __exit__(self, *exc: object) -> None:
        _Checks.enabled = self.before.pop()

    def __call__(self, fn: Any) -> Any:
        @functools.wraps(fn)
        def checked(*args: Any, **named: Any) -> Any:
            with check_sparse_tensor_invariants(self.state):
                return fn(*args, **named)

        return checked
