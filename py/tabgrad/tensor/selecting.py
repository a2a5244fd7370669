"""Gathering and scattering by index tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.core.scalars import fits
from tabgrad.core.shape import axis_of, broadcast
from tabgrad.core.spec import intern_params, spec
from tabgrad.core.trace import Box, constant
from tabgrad.ops import elementwise as e, indexing as i, view as v
from tabgrad.ops.checked import within
from tabgrad.tensor import indexing, nonzero
from tabgrad.tensor.arguments import axis, index_tensor, scalar
from tabgrad.tensor.chained import chained
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import takes_out
from tabgrad.tensor.writers import write_through

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints, Number


def lined(x: Tensor) -> Tensor:
    """Return `x`, a 0-d tensor as one of one element."""
    return x if x.spec.shape else v.reshape.bind(x, shape=(1,))


def _like_input(name: str, x: Tensor, index: Tensor, dim: int) -> None:
    if len(index.spec.shape) != len(x.spec.shape):
        raise ShapeError(
            f"{name}(): Index tensor must have the same number of dimensions as self tensor, "
            f"got {len(index.spec.shape)} and {len(x.spec.shape)}"
        )


def _cropped(x: Tensor, shape: Ints) -> Tensor:
    """Return the corner of `x` of this shape."""
    if x.spec.shape == shape:
        return x
    return v.slice_.bind(x, starts=(0,) * len(shape), stops=shape, steps=(1,) * len(shape))


@takes_out
@chained
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Return y[i][j] = input[index[i][j]][j] for dim 0, and so on for other dims and ranks.

    `index` may be smaller than `input` in the other dims.

    >>> import tabgrad as tg
    >>> x = tg.tensor([[1, 2], [3, 4]], device="cpu")
    >>> tg.gather(x, 1, tg.tensor([[0, 0], [1, 0]], device="cpu"))
    tensor([[1, 1],
            [4, 3]])
    """
    if isinstance(index, Box):
        shape = index.spec.shape
        if not index.spec.size and len(shape) != len(input.spec.shape):
            # an index without elements may have any rank
            line = v.reshape.bind(input, shape=(input.spec.size,))
            return v.reshape.bind(v.part(line, 0, 0, 0), shape=shape)
    return _gathered("gather", input, dim, index)


def _gathered(name: str, input: Tensor, dim: int, index: Tensor) -> Tensor:
    index = index_tensor(name, index)
    x, k = lined(input), lined(index)
    at = axis(name, dim, len(x.spec.shape))
    _like_input(name, x, k, at)
    for d, (n, m) in enumerate(zip(k.spec.shape, x.spec.shape, strict=True)):
        if d != at and n > m:
            raise ShapeError(
                f"{name}: Size does not match at dimension {d} expected index {list(k.spec.shape)} to be "
                f"smaller than self {list(x.spec.shape)} apart from dimension {at}"
            )
    shape = tuple(x.spec.shape[d] if d == at else n for d, n in enumerate(k.spec.shape))
    k = within(name, k, x.spec.shape[at], at)
    y = i.gather.bind(_cropped(x, shape), k, axis=at)
    return y if y.spec.shape == index.spec.shape else v.reshape.bind(y, shape=index.spec.shape)


@takes_out
@chained
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the slices of `input` along `dim` at the places of a 1-d `index`."""
    k = index_tensor("index_select", index)
    if len(k.spec.shape) > 1:
        raise IndexError(
            f"index_select(): Index is supposed to be a vector, got shape {k.spec.shape}"
        )
    if not input.spec.shape and k.spec.size != 1:
        raise IndexError(
            f"index_select(): Index to scalar can have only 1 value, got {k.spec.size} value(s)"
        )
    x = lined(input)
    at = axis("index_select", dim, len(x.spec.shape))
    k = within("index_select", k, x.spec.shape[at], at)
    y = i.gather.bind(x, _along(k, x, at), axis=at)
    return y if input.spec.shape else v.reshape.bind(y, shape=())


def _along(index: Tensor, x: Tensor, at: int) -> Tensor:
    """Return a 1-d index laid along the axis `at` of `x`."""
    n = index.spec.size
    shape = x.spec.shape
    wide = v.reshape.bind(index, shape=tuple(n if d == at else 1 for d in range(len(shape))))
    return v.expand.bind(wide, shape=(*shape[:at], n, *shape[at + 1 :]))


@takes_out
def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements of the flattened input at `index`, which may be negative."""
    flat = v.reshape.bind(input, shape=(input.spec.size,))
    return indexing.getitem(flat, index_tensor("take", index), "take")


@takes_out
@chained
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return gather(input, dim, indices) with both broadcast; without `dim` of the flattened tensors.

    Along a `dim` an index may be negative, which counts from the end.
    """
    if dim is None:
        flat = v.reshape.bind(input, shape=(input.spec.size,))
        line = v.reshape.bind(indices, shape=(indices.spec.size,))
        return _gathered("take_along_dim", flat, 0, line)
    if len(input.spec.shape) != len(indices.spec.shape):
        raise ShapeError(
            "take_along_dim: input and indices should have the same number of dimensions, got shapes "
            f"{input.spec.shape} and {indices.spec.shape}"
        )
    at = axis_of("take_along_dim", dim, input.spec.shape)
    indices = index_tensor("take_along_dim", indices)
    indices = within("take_along_dim", indices, input.spec.shape[at], at, wraps=True)
    x, k = input.spec.shape, indices.spec.shape
    lead = broadcast("take_along_dim", (*x[:at], 1, *x[at + 1 :]), (*k[:at], 1, *k[at + 1 :]))
    wide = v.expand.bind(input, shape=(*lead[:at], x[at], *lead[at + 1 :]))
    k = v.expand.bind(indices, shape=(*lead[:at], k[at], *lead[at + 1 :]))
    return i.gather.bind(wide, k, axis=at)


# -- scattering ------------------------------------------------------------------------------------


def _source(
    name: str, x: Tensor, index: Tensor, src: Tensor | Number, at: int
) -> tuple[Any, Any, Any]:
    """Return the part of `x` that the index can reach, the index, and the source in its shape."""
    k = lined(index_tensor(name, index))
    x = lined(x)
    _like_input(name, x, k, at)
    if isinstance(src, Box):
        if src.spec.dtype is not x.spec.dtype:
            raise DTypeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
        values = lined(src)
        _like_input(name, values, k, at)
        for d, (n, m) in enumerate(zip(k.spec.shape, values.spec.shape, strict=True)):
            if n > m:
                raise ShapeError(
                    f"{name}: Expected index {list(k.spec.shape)} to be smaller than src "
                    f"{list(values.spec.shape)}, dim {d}"
                )
        values = _cropped(values, k.spec.shape)
    else:
        fill = spec(k.spec.shape, x.spec.dtype)
        values = constant(fits(name, src, x.spec.dtype), fill, x.device)
    for d, (n, m) in enumerate(zip(k.spec.shape, x.spec.shape, strict=True)):
        if d != at and n > m:
            raise ShapeError(
                f"{name}: Expected index {list(k.spec.shape)} to be smaller than self {list(x.spec.shape)} "
                f"apart from dimension {at}"
            )
    return x, k, values


def scattered(
    name: str, op: Callable[..., Tensor], x: Tensor, dim: int,
    index: Tensor, src: Tensor | Number,
) -> Tensor:  # fmt: skip
    """Apply `op` of the corner of `x` that an index can reach, the index and the source; return all of `x`."""
    at = axis(name, dim, len(x.spec.shape))
    whole, k, values = _source(name, x, index, src, at)
    k = within(name, k, whole.spec.shape[at], at)
    shape = tuple(whole.spec.shape[d] if d == at else n for d, n in enumerate(k.spec.shape))
    y = op(_cropped(whole, shape), k, values, axis=at)
    if shape != whole.spec.shape:
        corner = {"starts": (0,) * len(shape), "stops": shape, "steps": (1,) * len(shape)}
        y = write_through(whole, ((v.slice_, intern_params(corner)),), y)  # type: ignore[arg-type]
    return y if y.spec.shape == x.spec.shape else v.reshape.bind(y, shape=x.spec.shape)


@takes_out
@chained
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return `input` with src[i][j] added at [index[i][j]][j] for dim 0, and so on.

    >>> import tabgrad as tg
    >>> x, k = tg.zeros(3, device="cpu"), tg.tensor([0, 2, 0], device="cpu")
    >>> tg.scatter_add(x, 0, k, tg.ones(3, device="cpu"))
    tensor([2., 0., 1.])
    """
    return scattered("scatter_add", i.scatter_add, input, dim, index, src)


@takes_out
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1
) -> Tensor:
    """Return `input` with the slices of `source` added along `dim` at the places of a 1-d `index`."""
    x, at, k = slices("index_add", input, dim, index, source)
    values = lined(source)
    if alpha != 1:
        kind = source.spec.dtype
        values = cast(e.mul(values, fits("index_add", alpha, kind)), kind)
    return v.reshape.bind(i.scatter_add.bind(x, k, values, axis=at), shape=input.spec.shape)


@takes_out
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Return `input` with the slices of `source` written along `dim` at the places of a 1-d `index`."""
    x, at, k = slices("index_copy", input, dim, index, source)
    return v.reshape.bind(i.scatter.bind(x, k, lined(source), axis=at), shape=input.spec.shape)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Tensor | Number) -> Tensor:
    """Return `input` with `value` along `dim` at the places of a 1-d `index`."""
    x = lined(input)
    at = axis("index_fill", dim, len(x.spec.shape))
    k = lined(index_tensor("index_fill", index))
    k = _along(within("index_fill", k, x.spec.shape[at], at, wraps=True), x, at)
    fill = v.expand.bind(scalar("index_fill", value, x), shape=k.spec.shape)
    return v.reshape.bind(i.scatter.bind(x, k, fill, axis=at), shape=input.spec.shape)


def slices(
    name: str, input: Tensor, dim: int, index: Tensor, source: Tensor
) -> tuple[Any, int, Any]:
    """Return the input, the axis, and a 1-d index laid along it in the shape of `source`."""
    x = lined(input)
    at = axis(name, dim, len(x.spec.shape))
    line = lined(index_tensor(name, index))
    if source.spec.dtype is not x.spec.dtype:
        raise DTypeError(
            f"{name}(): self ({x.spec.dtype!r}) and source ({source.spec.dtype!r}) must have the same "
            "scalar type"
        )
    k = _along(within(name, line, x.spec.shape[at], at), x, at)
    if lined(source).spec.shape != k.spec.shape:
        raise ShapeError(
            f"{name}(): source {source.spec.shape} must have the shape of self {x.spec.shape} with "
            f"{line.spec.size} slices along dim {at}"
        )
    return x, at, k


def index_put(
    input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """Return `input` with `values` written, or added, at the places that a tuple of index tensors names."""
    indices = indexing.checked_indices("index_put", indices)
    return indexing.put_indices(input, indices, values, accumulate, "index_put")


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Return `input` with the true places of `mask` taking the elements of `source` in order."""
    if mask.spec.dtype is not dt.bool_:
        raise DTypeError(f"masked_scatter: expected a bool mask, got {mask.spec.dtype!r}")
    return nonzero.masked_scattered(input, mask, cast(source, input.spec.dtype))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Return `input` with the elements of `source` at `index` of the flattened input."""
    flat = v.reshape.bind(input, shape=(input.spec.size,))
    if source.spec.dtype is not input.spec.dtype:
        raise DTypeError(
            "put(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.spec.dtype.title} and source.dtype = {source.spec.dtype.title}"
        )
    new = indexing.put_indices(flat, (index_tensor("put", index),), source, accumulate, "put")
    return v.reshape.bind(new, shape=input.spec.shape)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """Return `input` with `src` in place of select(input, dim, index)."""
    at = axis_of("select_scatter", dim, input.spec.shape)
    where_to = (slice(None),) * at + (index,)
    return _written(input, where_to, src)


@takes_out
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """Return `input` with `src` in place of input[start:end:step] along `dim`."""
    at = axis_of("slice_scatter", dim, input.spec.shape)
    return _written(input, (slice(None),) * at + (slice(start, end, step),), src)


def _written(x: Tensor, index: Any, src: Tensor) -> Tensor:
    if hasattr(x.alias, "steps"):
        # the steps must start at `x`, not at its base
        x = e.copy.bind(x)
    found = indexing.plan(x, index)
    target = indexing.basic_view(x, found)
    if target.spec.shape != src.spec.shape:
        raise ShapeError(
            f"expected src to have a size equal to {target.spec.shape}, got {src.spec.shape}"
        )
    return write_through(x, target.alias.steps, cast(src, x.spec.dtype))


class SelectingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    gather = gather
    index_add, index_add_ = index_add, in_place(index_add)
    index_copy, index_copy_ = index_copy, in_place(index_copy)
    index_fill, index_fill_ = index_fill, in_place(index_fill)
    index_put = index_put
    index_select = index_select
    masked_scatter, masked_scatter_ = masked_scatter, in_place(masked_scatter)
    put, put_ = put, in_place(put)
    scatter_add, scatter_add_ = scatter_add, in_place(scatter_add)
    select_scatter = select_scatter
    slice_scatter = slice_scatter
    take = take
    take_along_dim = take_along_dim


__all__ = [
    "gather", "index_add", "index_copy", "index_fill", "index_put", "index_select",
    "masked_scatter", "put", "scatter_add", "select_scatter", "slice_scatter",
    "take", "take_along_dim",
]  # fmt: skip
