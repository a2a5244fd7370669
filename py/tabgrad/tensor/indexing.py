"""Indexing with square brackets: numbers, slices, None, ..., masks and index tensors.

An index is worked out in two steps. Numbers, slices, None and ... make a view. Index tensors, lists and masks
then pick from the view: the dims that they index are merged into one, which a gather reads or a scatter writes.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DeviceError, DTypeError
from tabgrad.core.promotion import cast, moved
from tabgrad.core.scalars import NUMBER, fits
from tabgrad.core.spec import Params, intern_params, shape_params, spec
from tabgrad.core.trace import MODE, Box, constant, wrap
from tabgrad.ops import elementwise as e, view as v
from tabgrad.tensor import aliasing, conversion, creation, literals
from tabgrad.tensor.aliasing import View, memory_behind, own, refreshed, reshaped, view, write
from tabgrad.tensor.chained import chained
from tabgrad.tensor.picking import Picking, broadcast_value, known_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints


class Selection:
    """An index worked out against a shape.

    `starts`, `stops`, `steps` slice every dim of the input; `shape` is what the view is reshaped to, with
    dims of numbers gone and those of None there; `picks` are (dim of the view, index) for what is advanced.
    """

    __slots__ = ("_views", "basic", "picks", "shape", "starts", "steps", "stops")

    def __init__(self) -> None:
        self._views: tuple[Ints, Params | None] | None = None
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.steps: list[int] = []
        self.shape: list[int] = []
        self.picks: list[tuple[int, Any]] = []
        self.basic = True

    def picking(self, shape: Ints, tensors: Sequence[Any]) -> Selection:
        """Return what the index of an input of `shape` comes to with other tensors of the same specs."""
        other = Selection()
        other._views, other.basic = self.views(shape), False
        other.picks = [(dim, k) for (dim, _), k in zip(self.picks, tensors, strict=True)]
        return other

    def whole(self, n: int) -> None:
        """Take all of a dim of size `n`."""
        self.span(0, n, 1)

    def span(self, start: int, stop: int, step: int) -> None:
        """Take a slice of a dim."""
        self.one(start, stop, step)
        self.shape.append(len(range(start, stop, step)))

    def one(self, start: int, stop: int, step: int = 1) -> None:
        """Take a slice of a dim of the input that no dim of the view shows."""
        self.starts.append(start)
        self.stops.append(stop)
        self.steps.append(step)

    def views(self, shape: Ints) -> tuple[Ints, Params | None]:
        """Return the shape of the view, and how an input of `shape` is sliced first, None if it isn't."""
        if self._views is None:
            starts, stops, steps = tuple(self.starts), tuple(self.stops), tuple(self.steps)
            sliced = any(starts) or stops != shape or any([s != 1 for s in steps])
            given: dict[str, object] = {"starts": starts, "stops": stops, "steps": steps}
            self._views = tuple(self.shape), intern_params(given) if sliced else None
        return self._views


def plan(x: Tensor, index: Any) -> Selection:
    """Work out `index` for `x`; IndexError where it does not fit."""
    if index.__class__ is list and any(
        isinstance(k, _PARTS) or bool(getattr(k, "shape", False)) or isinstance(k, Box)
        for k in index
    ):
        # PyTorch reads a list of more than numbers as a tuple
        index = tuple(index)
    items = index if isinstance(index, tuple) else (index,)
    if any(k.__class__ not in _PLAIN for k in items):
        items = tuple([_as_index(k, x.device) for k in items])
    tensors: list[Any] = []
    shape, key = x.spec.shape, _key(items, x.device, tensors)
    if key is None:
        return _planned(items, shape, x.device)
    found = _PLANS.get((shape, key))
    if found is None:
        found = _planned(items, shape, x.device)
        if tensors:
            # the tensors themselves are not kept
            found = found.picking(shape, [None] * len(tensors))
        if len(_PLANS) >= 4096:
            _PLANS.clear()
        _PLANS[shape, key] = found
    return found.picking(shape, tensors) if tensors else found


_PLANS: dict[Any, Selection] = {}
"""What indices of ints, slices, None, ... and tensors come to, by shape: they recur."""
_PICKS = frozenset((dt.bool_, dt.int32, dt.int64))
"""The dtypes of index tensors that are taken as they are."""


def _key(items: tuple[Any, ...], device: Device, tensors: list[Any]) -> tuple[Any, ...] | None:
    """Return a key for a plain index, whose tensors are added to `tensors`; None for any other."""
    key: list[Any] = []
    for k in items:
        kind = k.__class__
        if kind is int or k is None or k is Ellipsis:
            key.append(k)
        elif kind is slice:
            parts = k.start, k.stop, k.step
            for part in parts:
                if part is not None and part.__class__ is not int:
                    return None
            key.append(parts)
        elif isinstance(k, Box) and k._parts is None and k.device is device:
            if k.spec.dtype not in _PICKS:
                return None
            key.append(k.spec)
            tensors.append(k)
        else:
            return None
    return tuple(key)


def _planned(items: tuple[Any, ...], shape: Ints, device: Device) -> Selection:
    used = sum(_dims_used(k) for k in items)
    if used > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    if sum(k is Ellipsis for k in items) > 1:
        items = _one_ellipsis(items, len(shape) - used)
    found = Selection()
    dim = 0
    for k in items:
        dim = _take(found, k, dim, shape, len(shape) - used, device)
    for n in shape[dim:]:
        found.whole(n)
    found.basic = not found.picks
    return found


def _one_ellipsis(items: tuple[Any, ...], spare: int) -> tuple[Any, ...]:
    """Leave out all Ellipses but the first, as PyTorch does where nothing behind the second one takes a dim."""
    first = next(n for n, k in enumerate(items) if k is Ellipsis)
    second = next(n for n, k in enumerate(items) if k is Ellipsis and n > first)
    if spare and any(k is not Ellipsis for k in items[second:]):
        raise IndexError(
            "an index can only have a single ellipsis ('...'), or others at its end: each stands for all dims "
            "that no other item names"
        )
    return tuple([k for n, k in enumerate(items) if k is not Ellipsis or n == first])


_PARTS = (list, tuple, range, slice, type(None), type(Ellipsis))
_PLAIN = {int, slice, type(None), type(Ellipsis), bool, list, tuple}


def _as_index(k: Any, device: Device) -> Any:
    """Return an item of an index as one of the kinds that `plan` knows: arrays and ranges become tensors."""
    if isinstance(k, Box):
        return k
    if isinstance(k, range):
        return creation.tensor(list(k), dtype=dt.int64, device=device)
    if hasattr(k, "__array_interface__") and (k.shape or k.dtype == bool):
        if k.dtype.kind not in "biu":
            raise IndexError(
                f"tensors used as indices must be long, int, byte or bool tensors, got an array of {k.dtype}"
            )
        return creation.tensor(k, device=device)
    return k


def _dims_used(k: Any) -> int:
    if k is None or k is Ellipsis or isinstance(k, bool):
        return 0
    if isinstance(k, Box) and k.spec.dtype in (dt.bool_, dt.uint8):
        return len(k.spec.shape)
    if isinstance(k, list | tuple) or (hasattr(k, "__array__") and not isinstance(k, Box)):
        mask = _mask_rank(k)
        return 1 if mask is None else mask
    return 1


def _mask_rank(k: Any) -> int | None:
    """Return the rank of a mask given as nested lists or an array, None for indices."""
    if hasattr(k, "dtype"):
        return len(k.shape) if str(k.dtype) == "bool" else None
    rank = 0
    while isinstance(k, list | tuple) and k:
        k, rank = k[0], rank + 1
    return rank if isinstance(k, bool) else None


def _take(found: Selection, k: Any, dim: int, shape: Ints, spare: int, device: Device) -> int:
    """Take one item of the index; return the next dim of the input."""
    if k is None:
        found.shape.append(1)
        return dim
    if k is Ellipsis:
        for n in shape[dim : dim + spare]:
            found.whole(n)
        return dim + spare
    if isinstance(k, slice):
        found.span(*_bounds(k, shape[dim]))
        return dim + 1
    if isinstance(k, bool):
        mask = constant(k, spec((1,), dt.bool_), device)
        found.picks.append((len(found.shape), mask))
        found.shape.append(1)
        return dim
    if not isinstance(k, Box | list | tuple) and hasattr(k, "__index__"):
        at = _in_range(k.__index__(), dim, shape[dim])
        found.one(at, at + 1)
        return dim + 1
    pick = _pick(k, dim, shape, device)
    rank = len(pick.spec.shape) if pick.spec.dtype is dt.bool_ else 1
    found.picks.append((len(found.shape), pick))
    for n in shape[dim : dim + rank]:
        found.whole(n)
    if not rank:
        found.shape.append(1)
    return dim + rank


def _bounds(k: slice, n: int) -> tuple[int, int, int]:
    step = 1 if k.step is None else k.step.__index__()
    if step <= 0:
        raise ValueError("step must be greater than zero; use flip() to go backwards")
    start, stop, _ = slice(_bound(k.start), _bound(k.stop), step).indices(n)
    return start, builtins.max(start, stop), step


def _bound(at: Any) -> int | None:
    return None if at is None else int(at.__index__())


def _in_range(at: int, dim: int, n: int) -> int:
    if not -n <= at < n:
        raise IndexError(f"index {at} is out of bounds for dimension {dim} with size {n}")
    return at + n if at < 0 else at


def _pick(k: Any, dim: int, shape: Ints, device: Device) -> Tensor:
    """Return an advanced index as a tensor of indices or a mask."""
    if not isinstance(k, Box):
        if isinstance(k, list | tuple):
            k = _from_list(k, dim, shape, device)
        elif hasattr(k, "__array__"):
            k = creation.tensor(k, device=device)
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
                f"indices (got {type(k).__name__})"
            )
    dtype = k.spec.dtype
    if k.device is not device and k.device.type != "cpu":
        raise DeviceError(
            f"indices should be either on cpu or on the same device as the indexed tensor ({device}), got "
            f"one on {k.device}; move it with .to(device)"
        )
    if dtype in (dt.bool_, dt.uint8):
        for a, (n, m) in enumerate(zip(k.spec.shape, shape[dim:], strict=False)):
            if n != m:
                raise IndexError(
                    f"The shape of the mask {list(k.spec.shape)} at index {a} does not match the shape of "
                    f"the indexed tensor {list(shape)} at index {dim + a}"
                )
        return cast(k, dt.bool_)
    if dtype not in (dt.int64, dt.int32):
        raise IndexError(
            f"tensors used as indices must be long, int, byte or bool tensors, got {dtype!r}"
        )
    return moved(k, device)


def _from_list(k: Any, dim: int, shape: Ints, device: Device) -> Tensor:
    size, leaves = literals.flatten(k)
    if all(type(n) is int for n in leaves):
        k = [_in_range(n, dim, shape[dim]) for n in leaves]
        target = device.index_dtype
        return creation.upload(literals.encode(k, target), size, target, device)
    return creation.tensor(k, device=device)


def basic_view(x: Tensor, found: Selection) -> Tensor:
    """Return the view of `x` that the numbers, slices and Nones of the index make.

    Where advanced indices follow and there is nothing else, it is `x` itself.
    """
    new, params = found.views(x.spec.shape)
    if params and x.alias is None and x.owner is None and not x.tracked and MODE.get().plain:
        return _plain_view(x, params, new)
    y = x if params is None else view(v.slice_, x, params)
    if y.spec.shape != new or not (params or found.picks):
        y = reshaped(y, new)
    return y


def _plain_view(x: Tensor, params: Params, new: Ints) -> Tensor:
    """Return a slice of `x`, which is no view and has no history, in the shape `new`, as two views would."""
    run = x.device.backend.run
    value, its = run(v.slice_, (x.value,), (x.spec,), params)
    steps: tuple[Any, ...] = ((v.slice_, params),)
    if its.shape != new:
        shaped = shape_params(new)
        value, its = run(v.reshape, (value,), (its,), shaped)
        steps = (*steps, (v.reshape, shaped))
    y, mode = wrap(value, its, x.device), MODE.get()
    made = None if mode.grad else "inference" if mode.inference else "no_grad"
    y.alias = View(x, steps, x._version, made)
    y._version, y.born = x._version, x.born
    return y


def getitem(self: Tensor, index: Any, name: str = "x[index]") -> Tensor:
    """Return self[index]: a view for numbers, slices, None and ..., else a copy of what is picked."""
    found = plan(self, index)
    if found.basic:
        return basic_view(self, found)
    memory = memory_behind(self)
    source = self if memory is None else memory.now(self)
    dims, indices, known = zip(*known_lines(found.picks, self.device), strict=True)
    y = _picked(basic_view(source, found), name, dims, known, *indices)
    if memory is not None:
        y.value = memory.copied(refreshed(y).value)
    return y


@chained
def _picked(x: Tensor, name: str, dims: Ints, known: Ints, *indices: Tensor) -> Tensor:
    return Picking(x, zip(dims, indices, known, strict=True), name, select=True).read()


def setitem(self: Tensor, index: Any, value: Any, name: str = "x[index] = value") -> None:
    """Write `value` at self[index], broadcast and cast to fit."""
    found = plan(self, index)
    target = basic_view(self, found)
    # checked for the part alone: it may show each element once, though the whole does not
    aliasing.check_writable(target)
    given, value = value, _value(target, value, found.basic)
    if found.basic:
        if not _same_view(target, value):
            write(target, own(broadcast_value(value, target.spec.shape)), "setitem")
        return
    if len(found.picks) == 1 and found.picks[0][1].spec.dtype is dt.bool_ and value.spec.size == 1:
        write(target, _masked(target, found.picks[0], value), "setitem")
        return
    _check_dtype(found, target, given, value)
    picks = known_lines(found.picks, target.device)
    write(target, Picking(target, picks, name, select=True).written(value), "setitem")


def _check_dtype(found: Selection, target: Tensor, given: Any, value: Tensor) -> None:
    """Raise DTypeError if what is written at index tensors is a tensor of another dtype than the target."""
    if value.spec.dtype is target.spec.dtype or not conversion.is_tensor(given):
        return
    if builtins.any(k.spec.shape for _, k in found.picks):
        raise DTypeError(
            "Index put requires the source and destination dtypes match, got "
            f"{target.spec.dtype.title} for the destination and {value.spec.dtype.title} for the source; "
            "convert the source with .to(dtype)"
        )


def _value(target: Tensor, value: Any, basic: bool = False) -> Tensor:
    """Return what is to be written as a tensor on the device of `target`.

    As in PyTorch a view (of a `basic` index) takes values of any device, other places those of their own
    and single numbers of the CPU.
    """
    if conversion.is_tensor(value):
        if value.device is not target.device and not basic and value.spec.shape:
            raise DeviceError(
                f"x[index] = value: expected a value on {target.device}, got one on {value.device}; "
                "move it with .to(device)"
            )
        return moved(value, target.device)
    dtype = target.spec.dtype
    if isinstance(value, NUMBER):
        return constant(fits("setitem", value, dtype), spec((), dtype), target.device)
    return creation.tensor(value, device=target.device)


def _same_view(target: Tensor, value: Tensor) -> bool:
    # x[i] += 1 ends by writing the view x[i] to itself
    a, b = target.alias, value.alias
    if a.__class__ is not View or b.__class__ is not View:
        return False
    return a.base is b.base and a.steps == b.steps and target.spec is value.spec


def _masked(target: Tensor, pick: tuple[int, Any], value: Tensor) -> Tensor:
    """Return `target` with one value where a mask holds: no count is read back."""
    dim, mask = pick
    shape = target.spec.shape
    after = len(shape) - dim - len(mask.spec.shape)
    mask = moved(mask, target.device)
    wide = v.reshape.bind(mask, shape=(*mask.spec.shape, *(1,) * after))
    mask = v.expand.bind(wide, shape=shape)
    fill = cast(value, target.spec.dtype)
    fill = v.expand.bind(v.reshape.bind(fill, shape=()), shape=shape)
    return e.where(mask, fill, target)


def put_indices(
    self: Tensor, indices: Sequence[Tensor | None], value: Any, accumulate: bool, name: str
) -> Tensor:
    """Return `self` with `value` written, or added, at the places that a tuple of index tensors names."""
    found = plan(self, tuple(indices))
    target = basic_view(self, found)
    given, value = value, _value(target, value)
    # one value where a mask holds is cast
    if accumulate or value.spec.size != 1 or found.picks[0][1].spec.dtype is not dt.bool_:
        _check_dtype(found, target, given, value)
    picks = known_lines(found.picks, target.device)
    return Picking(target, picks, name).written(value, accumulate)


def checked_indices(name: str, indices: Any) -> tuple[Tensor, ...]:
    """Return `indices` as a tuple, or raise TypeError if they are not tensors."""
    if conversion.is_tensor(indices):
        raise TypeError(
            f"{name}(): argument 'indices' (position 1) must be tuple of Tensors, not Tensor"
        )
    if not indices:
        raise ArgumentError(f"{name}(): expected at least one index tensor, got none")
    for at, k in enumerate(indices):
        if not conversion.is_tensor(k):
            raise TypeError(
                f"{name}(): expected Tensor as element {at} in argument 0, but got {type(k).__name__}; "
                "x[index] = values takes slices, numbers and None"
            )
    return tuple(indices)
