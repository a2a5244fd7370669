"""Selecting and placing by computed indices, joining, and counting up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError
from tabgrad.core.families import kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Ints, Operand, same_dtype
from tabgrad.core.spec import Spec, spec
from tabgrad.core.trace import constant
from tabgrad.ops.checked import all_below
from tabgrad.ops.elementwise import add
from tabgrad.ops.view import slice_, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.op import Op, Operands, Tangents
    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor

# -- iota ------------------------------------------------------------------------------------------


def _iota_samples() -> Iterator[Any]:
    yield ((),), {"size": 5, "dtype": dt.int32}


@kernel(
    infer=lambda like, *, size, dtype: spec((size,), dtype),
    derivative=None,
    batching=lambda n, args, dims, **params: to_front(counting.bind(args[0], **params), None, n),
    samples=_iota_samples,
)
def counting(like: Operand, *, size: int, dtype: dt.DType) -> Array:
    """Count 0, 1, ..., size - 1; `like` is a 0-d tensor that only names the device."""
    return np.arange(size, dtype=dtype.name)


def iota(size: int, dtype: dt.DType, device: Device) -> Tensor:
    """Count 0, 1, ..., size - 1 on `device`."""
    return counting.bind(constant(0, spec((), dtype), device), size=size, dtype=dtype)


def iota_along(x: Tensor, axis: int) -> Tensor:
    """Compute the index along `axis` of every element of `x`."""
    line = iota(x.shape[axis], x.device.index_dtype, x.device)
    others = tuple(i for i in range(len(x.shape)) if i != axis)
    return spread.bind(line, shape=x.shape, axes=others)


# -- cat -------------------------------------------------------------------------------------------


def _cat_spec(*specs: Spec, axis: int) -> Spec:
    first = specs[0].shape
    for s in specs[1:]:
        if s.shape[:axis] != first[:axis] or s.shape[axis + 1 :] != first[axis + 1 :]:
            raise ShapeError(
                f"cat: Sizes of tensors must match except in dimension {axis}: got {first} and {s.shape}; "
                "reshape or expand first"
            )
    total = sum(s.shape[axis] for s in specs)
    return spec((*first[:axis], total, *first[axis + 1 :]), same_dtype("cat", specs))


def _cat_transpose(
    ct: Tensor, needs: Sequence[bool], inputs: Operands, _y: Tensor, *, axis: int
) -> tuple[Tensor | None, ...]:
    shape = ct.spec.shape
    out, start = [], 0
    for x, need in zip(inputs, needs, strict=True):
        stop = start + x.spec.shape[axis]
        starts = tuple(start if i == axis else 0 for i in range(len(shape)))
        stops = tuple(stop if i == axis else n for i, n in enumerate(shape))
        out.append(
            slice_.bind(ct, starts=starts, stops=stops, steps=(1,) * len(shape)) if need else None
        )
        start = stop
    return tuple(out)


def _zeros(x: Tensor) -> Tensor:
    return constant(0, x.spec, x.device)


def _cat_derivative(primals: Operands, tangents: Tangents, _y: Tensor, *, axis: int) -> Tensor:
    filled = [_zeros(p) if t is None else t for p, t in zip(primals, tangents, strict=True)]
    return cat.bind(*filled, axis=axis)


def _cat_samples() -> Iterator[Any]:
    yield ((2, 3), (2, 1)), {"axis": 1}
    yield ((2, 3), (1, 3), (4, 3)), {"axis": 0}


@kernel(
    infer=_cat_spec,
    derivative=_cat_derivative,
    transpose=_cat_transpose,
    batching=lambda n, args, dims, *, axis: cat.bind(
        *(to_front(a, d, n) for a, d in zip(args, dims, strict=True)), axis=axis + 1
    ),
    samples=_cat_samples,
    reads=((), False),
)
def cat(*xs: Operand, axis: int) -> Array:
    """Join the operands along `axis`."""
    return np.concatenate(xs, axis)


cat.saves = lambda needs: ((False,) * len(needs), False)


# -- gather and scatter ----------------------------------------------------------------------------


def _gather_spec(x: Spec, index: Spec, *, axis: int) -> Spec:
    want = (
        *x.shape[:axis],
        index.shape[axis] if len(index.shape) == len(x.shape) else -1,
        *x.shape[axis + 1 :],
    )
    if index.shape != want:
        raise ShapeError(
            f"gather: index {index.shape} must have the shape of the input {x.shape} but for dim {axis}"
        )
    return spec(index.shape, x.dtype)


def _gather_batch(n: int, args: Operands, dims: Sequence[int | None], *, axis: int) -> Tensor:
    x, index = (to_front(a, d, n) for a, d in zip(args, dims, strict=True))
    return gather.bind(x, index, axis=axis + 1)


def _gather_samples() -> Iterator[Any]:
    yield ((4, 3), ("index", (2, 3), 4)), {"axis": 0}
    yield ((2, 5), ("index", (2, 7), 5)), {"axis": 1}
    yield ((3, 1, 2), ("index", (3, 4, 2), 1)), {"axis": 1}
    yield ((3, 2), ("index", (0, 2), 3)), {"axis": 0}


def _in_range(index: Any, n: int, name: str) -> Any:
    if not all_below(index, n):
        bad = index[(index < 0) | (index >= n)].flat[0]
        raise IndexError(f"{name}: index {bad} is out of range for a dim of size {n}")
    return index


def _line(index: Any, axis: int) -> Any:
    """Find the index along `axis` if it is repeated over the other axes, as for rows, else None."""
    if index.ndim == 1:
        return index
    if not index.size or any(
        s for k, s in enumerate(index.strides) if k != axis and index.shape[k] > 1
    ):
        return None
    return index[tuple(slice(None) if k == axis else 0 for k in range(index.ndim))]


def _grid(shape: Ints) -> Any:
    """Return the index of each axis, alone along it."""
    return np.ix_(*map(np.arange, shape))


_small_grid = functools.lru_cache(256)(_grid)


def _at(index: Any, axis: int) -> tuple[Any, ...]:
    """Return the indices of all axes: `index` along one, and each element's own along the others."""
    grid = (_small_grid if sum(index.shape) < 1024 else _grid)(index.shape)
    return (*grid[:axis], index, *grid[axis + 1 :])


@kernel(
    infer=_gather_spec,
    derivative=lambda p, t, _y, *, axis: gather.bind(t[0], p[1], axis=axis),
    transpose=lambda ct, needs, inputs, _y, *, axis: (
        scatter_add.bind(_zeros(inputs[0]), inputs[1], ct, axis=axis),
        None,
    ),
    batching=_gather_batch,
    samples=_gather_samples,
    reads=((False, True), False),
)
def gather(x: Operand, index: Operand, *, axis: int) -> Array:
    """Compute y[i, j, ...] = x[i, index[i, j, ...], ...] with the index in place of coordinate `axis`.

    `index` has the shape of `x` but for `axis`; indices are in [0, n).
    """
    _in_range(index, x.shape[axis], "gather")
    line = _line(index, axis)
    if line is not None:
        return x.take(line, axis)
    return x[_at(index, axis)]


def _scatter_spec(x: Spec, index: Spec, src: Spec, *, axis: int) -> Spec:
    _gather_spec(x, index, axis=axis)
    if src.shape != index.shape:
        raise ShapeError(f"scatter: src {src.shape} and index {index.shape} must have one shape")
    return spec(x.shape, same_dtype("scatter", (x, src)))


def _scatter_add_derivative(
    primals: Operands, tangents: Tangents, _y: Tensor, *, axis: int
) -> Tensor:
    dx, _, dsrc = tangents
    dx = _zeros(primals[0]) if dx is None else dx
    return dx if dsrc is None else scatter_add.bind(dx, primals[1], dsrc, axis=axis)


def _scatter_batch(op: Callable[[], Op]) -> Callable[..., Tensor]:
    def batching(n: int, args: Operands, dims: Sequence[int | None], *, axis: int) -> Tensor:
        return op().bind(
            *(to_front(a, d, n) for a, d in zip(args, dims, strict=True)), axis=axis + 1
        )

    return batching


def _scatter_samples() -> Iterator[Any]:
    yield ((4, 3), ("index", (6, 3), 4), (6, 3)), {"axis": 0}
    yield ((2, 5), ("index", (2, 3), 5), (2, 3)), {"axis": 1}
    yield ((5,), ("index", (1,), 5), (1,)), {"axis": 0}
    yield ((3, 2), ("index", (0, 2), 3), (0, 2)), {"axis": 0}


@kernel(
    infer=_scatter_spec,
    derivative=_scatter_add_derivative,
    transpose=lambda ct, needs, inputs, _y, *, axis: (
        ct if needs[0] else None,
        None,
        gather.bind(ct, inputs[1], axis=axis) if needs[2] else None,
    ),
    batching=_scatter_batch(lambda: scatter_add),
    samples=_scatter_samples,
    reads=((False, True, False), False),
)
def scatter_add(x: Operand, index: Operand, src: Operand, *, axis: int) -> Array:
    """Add src[i, j, ...] at x[i, index[i, j, ...], ...] in a copy of `x`; the transpose of `gather`.

    Elements for one place are added in the order of `src`, so reruns are bit-identical.
    """
    out = x.copy()
    _in_range(index, x.shape[axis], "scatter_add")
    line = _line(index, axis)
    if line is not None:
        front = (out, src) if axis == 0 else (np.moveaxis(out, axis, 0), np.moveaxis(src, axis, 0))
        np.add.at(front[0], line, front[1])
        return out
    np.add.at(out, _at(index, axis), src)
    return out


def _unhit(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """Make 1 at the elements that no index names, and 0 at the others."""
    ones, zeros = (
        constant(1, x.spec, x.device),
        constant(0, spec(index.spec.shape, x.spec.dtype), x.device),
    )
    return scatter.bind(ones, index, zeros, axis=axis)


def _scatter_derivative(
    primals: Operands, tangents: Tangents, _y: Tensor, *, axis: int
) -> Tensor | None:
    # the last of repeated indices wins, so only its tangent passes
    dx, _, dsrc = tangents
    x, index, src = primals
    out = None
    if dx is not None:
        out = dx * _unhit(x, index, axis)
    if dsrc is not None:
        wrote = scatter.bind(
            constant(-1, spec(x.spec.shape, index.spec.dtype), x.device), index,
            _order(index, axis), axis=axis,
        )  # fmt: skip
        won = gather.bind(wrote, index, axis=axis).eq(_order(index, axis))
        term = scatter_add.bind(_zeros(x), index, dsrc * won.to(src.spec.dtype), axis=axis)
        out = term if out is None else add.bind(out, term)
    return out


def _order(index: Tensor, axis: int) -> Tensor:
    return iota_along(index, axis).to(index.spec.dtype)


@kernel(
    infer=_scatter_spec,
    derivative=_scatter_derivative,
    batching=_scatter_batch(lambda: scatter),
    samples=_scatter_samples,
    reads=((True, True, True), False),
)
def scatter(x: Operand, index: Operand, src: Operand, *, axis: int) -> Array:
    """Write src[i, j, ...] at x[i, index[i, j, ...], ...] in a copy of `x`.

    If several elements go to one place, the last one stays."""
    out = x.copy()
    at = _at(_in_range(index, x.shape[axis], "scatter"), axis)
    if len(at) == 1:
        out[at] = src
        return out
    flat = np.ravel_multi_index(np.broadcast_arrays(*at), x.shape)
    moved = np.moveaxis(flat, axis, 0).reshape(-1)
    values = np.moveaxis(src, axis, 0).reshape(-1)
    out.reshape(-1)[moved] = values
    return out


__all__ = ["cat", "counting", "gather", "iota", "scatter", "scatter_add"]
