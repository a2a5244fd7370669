"""Joining tensors and cutting them apart."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import cast, the_device
from tabgrad.core.shape import axis_of, needs_rank
from tabgrad.core.spec import Params, intern_params
from tabgrad.core.trace import Box
from tabgrad.ops import indexing as i, view as v
from tabgrad.tensor import reading, shaping
from tabgrad.tensor.aliasing import reshaped, view
from tabgrad.tensor.arguments import axis, tensors as listed
from tabgrad.tensor.chained import chained
from tabgrad.tensor.creation import tensor as make
from tabgrad.tensor.public import takes_out
from tabgrad.tensor.selecting import index_select
from tabgrad.transforms.pieces import cut_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Ints


def _promoted(name: str, given: list[Any]) -> list[Any]:
    the_device(name, given)
    dtype = given[0].spec.dtype
    for x in given[1:]:
        dtype = dt.promote(dtype, x.spec.dtype)
    return [cast(x, dtype) for x in given]


@takes_out
@chained
def cat(tensors: Iterable[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors joined along `dim`; their other sizes must agree.

    >>> import tabgrad as tg
    >>> tg.cat([tg.tensor([1], device="cpu"), tg.tensor([2, 3], device="cpu")])
    tensor([1, 2, 3])
    """
    given = listed("cat", tensors)
    # an empty vector can be joined to tensors of any rank, and adds nothing
    whole = [x for x in given if x.spec.shape != (0,)] or given
    rank = len(whole[0].spec.shape)
    whole = given if rank == 1 else whole
    if not rank:
        raise ShapeError(
            "cat: zero-dimensional tensor (at position 0) cannot be concatenated; use stack"
        )
    for k, x in enumerate(whole):
        if len(x.spec.shape) != rank:
            raise ShapeError(
                f"cat: Tensors must have same number of dimensions: got {rank} and {len(x.spec.shape)}, "
                f"tensor number {k}"
            )
    return i.cat.bind(*_promoted("cat", whole), axis=axis("cat", dim, rank))


concat = concatenate = cat


@takes_out
@chained
def stack(tensors: Iterable[Tensor], dim: int = 0) -> Tensor:
    """Return tensors of one shape joined along a new `dim`.

    >>> import tabgrad as tg
    >>> tg.stack([tg.tensor([1, 2], device="cpu"), tg.tensor([3, 4], device="cpu")], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    given = listed("stack", tensors)
    shape = given[0].spec.shape
    for k, x in enumerate(given):
        if x.spec.shape != shape:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(x.spec.shape)} at entry {k}"
            )
    at = axis("stack", dim, len(shape) + 1)
    new = (*shape[:at], 1, *shape[at:])
    return i.cat.bind(*[v.reshape.bind(x, shape=new) for x in _promoted("stack", given)], axis=at)


@takes_out
def hstack(tensors: Iterable[Tensor]) -> Tensor:
    """Return the tensors joined along dim 1, or dim 0 for 1-d tensors."""
    given = [shaping.atleast_1d(x) for x in listed("hstack", tensors)]
    return cat(given, 0 if len(given[0].spec.shape) == 1 else 1)


@takes_out
def vstack(tensors: Iterable[Tensor]) -> Tensor:
    """Return the tensors joined as rows."""
    return cat([shaping.atleast_2d(x) for x in listed("vstack", tensors)], 0)


row_stack = vstack


@takes_out
def dstack(tensors: Iterable[Tensor]) -> Tensor:
    """Return the tensors joined along dim 2."""
    return cat([shaping.atleast_3d(x) for x in listed("dstack", tensors)], 2)


@takes_out
def column_stack(tensors: Iterable[Tensor]) -> Tensor:
    """Return the tensors joined as columns: 1-d tensors are columns."""
    given = listed("column_stack", tensors)
    return hstack([reshaped(x, (x.spec.size, 1)) if len(x.spec.shape) < 2 else x for x in given])


# -- cutting ---------------------------------------------------------------------------------------


def cut(x: Tensor, at: int, start: int, stop: int) -> Tensor:
    """Return the view x[start:stop] along the axis `at`."""
    return view(v.slice_, x, _sliced(x.spec.shape, at, start, stop))


@lru_cache(4096)
def _sliced(shape: Ints, at: int, start: int, stop: int) -> Params:
    ends = tuple([stop if k == at else n for k, n in enumerate(shape)])
    starts = tuple([start if k == at else 0 for k in range(len(shape))])
    return intern_params({"starts": starts, "stops": ends, "steps": (1,) * len(shape)})


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """Return the view of `length` elements along `dim` from `start` on."""
    shape = input.spec.shape
    if not shape:
        raise ShapeError("narrow() cannot be applied to a 0-dim tensor.")
    at = axis("narrow", dim, len(shape))
    first = int(start)
    if not -shape[at] <= first <= shape[at]:
        raise IndexError(
            f"start out of range (expected to be in range of [{-shape[at]}, {shape[at]}], but got {first})"
        )
    first += shape[at] if first < 0 else 0
    if length < 0 or first + length > shape[at]:
        raise ShapeError(
            f"start ({first}) + length ({length}) exceeds dimension size ({shape[at]})."
        )
    return cut(input, at, first, first + length)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return the view at one `index` along `dim`, which is dropped."""
    shape = input.spec.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at = axis("select", dim, len(shape))
    n = shape[at]
    index = int(index)
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {at}"
        )
    index %= n
    return reshaped(cut(input, at, index, index + 1), shape[:at] + shape[at + 1 :])


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views at each index along `dim`."""
    at = axis_of("unbind", dim, input.spec.shape)
    views = [select(input, at, k) for k in range(input.spec.shape[at])]
    return cut_up("UnbindBackward0", at, input, views, True)


def _pieces(x: Tensor, at: int, ends: list[int]) -> tuple[Any, ...]:
    starts = [0, *ends[:-1]]
    return tuple(cut(x, at, a, b) for a, b in zip(starts, ends, strict=True))


def split(tensor: Tensor, split_size_or_sections: Dims, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of a given size along `dim`, the last one smaller; or of the sizes in a list.

    >>> import tabgrad as tg
    >>> tg.split(tg.arange(5, device="cpu"), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    if not tensor.spec.shape:
        raise ShapeError("split expects at least a 1-dimensional tensor")
    at = axis("split", dim, len(tensor.spec.shape))
    n = tensor.spec.shape[at]
    sections: Any = split_size_or_sections
    if hasattr(sections, "__index__"):
        if sections <= 0 and not (sections == 0 and n == 0):
            raise ShapeError(f"split expects split_size be positive, but got split_size={sections}")
        ends = [min(k + sections, n) for k in range(0, n, sections or 1)] or [0]
        return cut_up("SplitBackward0", at, tensor, _pieces(tensor, at, ends))
    ends, total = [], 0
    for size in sections:
        if size < 0:
            raise ShapeError(f"split: sizes must not be negative, got {list(sections)}")
        total += int(size)
        ends.append(total)
    if total != n:
        raise ShapeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension "
            f"{at}), but got split_sizes={list(sections)}"
        )
    return cut_up("SplitWithSizesBackward0", at, tensor, _pieces(tensor, at, ends))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return at most `chunks` views of equal size along `dim`, the last one smaller."""
    needs_rank("chunk", input.spec.shape, 1)
    if chunks <= 0:
        raise ShapeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    at = axis("chunk", dim, len(input.spec.shape))
    n = input.spec.shape[at]
    return split(input, max(-(-n // chunks), 1), at) if n else (cut(input, at, 0, 0),) * chunks


def split_method(self: Tensor, split_size: Dims, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of a given size along `dim`, the last one smaller; or of the sizes in a list."""
    return split(self, split_size, dim)


def tensor_split(
    input: Tensor, sections: Dims | None = None, dim: int = 0, *,
    indices: Sequence[int] | None = None, tensor_indices_or_sections: Tensor | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return views along `dim`: so many of sizes as equal as can be, or cut at the given indices."""
    given = _one_of("tensor_split", sections, indices, tensor_indices_or_sections)
    if not input.spec.shape:
        raise ShapeError("tensor_split expected at least a 1-dimensional tensor")
    at = axis("tensor_split", dim, len(input.spec.shape))
    n = input.spec.shape[at]
    given = reading.tolist(given) if isinstance(given, Box) else given  # type: ignore[arg-type]
    if isinstance(given, int):
        if given <= 0:
            raise ShapeError(f"number of sections must be larger than 0, got {given}")
        sizes = [n // given + (k < n % given) for k in range(given)]
        return _pieces(input, at, [sum(sizes[: k + 1]) for k in range(given)])
    stops = [slice(None, k).indices(n)[1] for k in given] + [n]
    starts = [0, *stops[:-1]]
    return tuple(cut(input, at, a, max(a, b)) for a, b in zip(starts, stops, strict=True))


def _one_of(name: str, *ways: Any) -> Any:
    """Return the one way to cut that is given, a number of sections or indices."""
    given = [way for way in ways if way is not None]
    if len(given) != 1:
        raise TypeError(f"{name}: expected a number of sections or indices, got {len(given)} such")
    return given[0]


def _split_along(
    name: str, x: Tensor, sections: Dims | None, more: tuple[int, ...], indices: Dims | None,
    dim: int,
) -> tuple[Any, ...]:  # fmt: skip
    given = _one_of(name, (sections, *more) if more else sections, indices)
    needs_rank(name, x.spec.shape, {"hsplit": 1, "vsplit": 2}.get(name, 3))
    n = x.spec.shape[dim]
    if isinstance(given, int) and (given <= 0 or n % given):
        raise ShapeError(
            f"{name} attempted to split along dimension {dim}, but the size of the dimension {n} is not "
            f"divisible by the split_size {given}!"
        )
    return tensor_split(x, given, dim)


def hsplit(
    input: Tensor, sections: Dims | None = None, *more: int, indices: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Return views cut along dim 1, or dim 0 of a 1-d tensor."""
    dim = 0 if len(input.spec.shape) == 1 else 1
    return _split_along("hsplit", input, sections, more, indices, dim)


def vsplit(
    input: Tensor, sections: Dims | None = None, *more: int, indices: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Return views cut along dim 0."""
    return _split_along("vsplit", input, sections, more, indices, 0)


def dsplit(
    input: Tensor, sections: Dims | None = None, *more: int, indices: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Return views cut along dim 2."""
    return _split_along("dsplit", input, sections, more, indices, 2)


def _check_repeats(repeats: Any) -> None:
    if repeats.spec.dtype.category != dt.INT:
        raise DTypeError(f"repeat_interleave: repeats must be integers, got {repeats.spec.dtype!r}")
    if len(repeats.spec.shape) > 1:
        raise ShapeError(
            f"repeat_interleave: repeats must be 0-dim or 1-dim tensor, got shape {repeats.spec.shape}"
        )


def repeat_interleave(
    input: Tensor | None = None, repeats: Tensor | int | None = None, dim: int | None = None, *,
    output_size: int | None = None,
) -> Tensor:  # fmt: skip
    """Return each element repeated in place: `repeats` times, or each as often as a tensor says.

    Without `dim` the input is flattened. A tensor of repeats is read back.

    >>> import tabgrad as tg
    >>> tg.repeat_interleave(tg.tensor([1, 2], device="cpu"), 2)
    tensor([1, 1, 2, 2])
    """
    if input is None or repeats is None:
        counts: Any = repeats if input is None else input
        _check_repeats(counts)
        if len(counts.spec.shape) != 1:
            raise ShapeError(
                f"repeat_interleave only accept 1D vector as repeat, got shape {counts.spec.shape}"
            )
        return repeat_interleave(cast(_count(counts), counts.spec.dtype), counts, 0)
    x = shaping.ravel(input) if dim is None else input
    at = axis_of("repeat_interleave", dim or 0, x.spec.shape)
    n = x.spec.shape[at]
    times: Any = repeats
    if isinstance(times, Box):
        _check_repeats(times)
    if not isinstance(times, Box) and hasattr(times, "__index__") and times < 0:
        raise ArgumentError(f"repeat_interleave: Repeats must be non-negative, got {times}")
    times = reading.tolist(times) if isinstance(times, Box) else times  # type: ignore[arg-type]
    if isinstance(times, list) and len(times) == 1:
        times = times[0]
        if times < 0:
            raise ShapeError(f"repeat_interleave: repeats can not be negative, got {times}")
    if isinstance(times, int):
        shape = x.spec.shape
        wide = v.reshape.bind(x, shape=(*shape[: at + 1], 1, *shape[at + 1 :]))
        wide = v.expand.bind(wide, shape=(*shape[: at + 1], times, *shape[at + 1 :]))
        return v.reshape.bind(wide, shape=(*shape[:at], n * times, *shape[at + 1 :]))
    if any(count < 0 for count in times):
        raise ShapeError(f"repeat_interleave: repeats can not be negative, got {min(times)}")
    if len(times) != n:
        raise ShapeError(
            f"repeat_interleave: repeats must have the same size as input along dim {at}: {n}"
        )
    places = [k for k, count in enumerate(times) for _ in range(count)]
    return index_select(x, at, make(places, dtype=x.device.index_dtype, device=x.device))


def repeat_interleave_method(
    self: Tensor, repeats: Tensor | int | None, dim: int | None = None, *,
    output_size: int | None = None,
) -> Tensor:  # fmt: skip
    """Return each element repeated in place: `repeats` times, or each as often as a tensor says."""
    return repeat_interleave(self, repeats, dim, output_size=output_size)


def _count(x: Tensor) -> Tensor:
    return i.iota(x.spec.size, x.device.index_dtype, x.device)


class JoiningMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    chunk = chunk
    dsplit = dsplit
    hsplit = hsplit
    narrow = narrow
    repeat_interleave = repeat_interleave_method
    select = select
    split = split_method
    tensor_split = tensor_split
    unbind = unbind
    vsplit = vsplit


__all__ = [
    "cat", "chunk", "column_stack", "concat", "concatenate", "dsplit", "dstack", "hsplit", "hstack", "narrow",
    "repeat_interleave", "row_stack", "select", "split", "stack", "tensor_split", "unbind", "vsplit",
    "vstack",
]  # fmt: skip
