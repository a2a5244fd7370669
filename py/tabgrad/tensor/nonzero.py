"""What depends on values: how many elements are nonzero, and where. The count is read back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError
from tabgrad.core.promotion import cast, expand
from tabgrad.core.shape import broadcast, size, strides
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, constant, wrap
from tabgrad.ops import elementwise as e, indexing as i, scan, view as v
from tabgrad.ops.checked import confined
from tabgrad.ops.rounding import bitwise_and, ge
from tabgrad.ops.view import part
from tabgrad.tensor import reading
from tabgrad.tensor.aliasing import refreshed
from tabgrad.tensor.chained import CPU, chained
from tabgrad.tensor.creation import filled
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints


def places(mask: Tensor) -> Tensor:
    """Return the places of the true elements of a 1-d mask, in order. Reads their count."""
    device = mask.device
    kind = device.index_dtype
    n = mask.spec.size
    if not n:
        return filled((0,), 0, kind, device)
    if device is CPU and mask.owner is None and MODE.get().plain:
        backend: Any = device.backend
        value = backend.places(refreshed(mask).value)
        return wrap(value, spec(value.shape, kind), device)
    upto, last = _counted(mask)
    return _placed(mask, upto, int(reading.item(last)))


@chained
def _counted(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many elements are true up to each one, and in all."""
    n, kind = mask.spec.size, mask.device.index_dtype
    upto = scan.cumsum.bind(cast(mask, kind), axis=0, reverse=False)
    return upto, v.slice_.bind(upto, starts=(n - 1,), stops=(n,), steps=(1,))


@chained
def _placed(mask: Tensor, upto: Tensor, count: int) -> Tensor:
    n, kind, device = mask.spec.size, upto.spec.dtype, mask.device
    # each true element writes its place at its rank; the others write past the end, which is cut off
    rank = e.where(mask, e.sub(upto, 1), count)
    room = constant(0, spec((count + 1,), kind), device)
    found = i.scatter.bind(room, rank, i.iota(n, kind, device), axis=0)
    return v.slice_.bind(found, starts=(0,), stops=(count,), steps=(1,))


@takes_out
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Return the indices of the nonzero elements, one row each; `as_tuple`: one 1-d tensor for each dim.

    Reads back how many there are.

    >>> import tabgrad as tg
    >>> tg.nonzero(tg.tensor([0, 3, 4], device="cpu"))
    tensor([[1],
            [2]])
    """
    shape = input.spec.shape
    if not shape and as_tuple:
        return nonzero(v.reshape.bind(input, shape=(1,)), as_tuple=True)
    at = places(_mask(input))
    return _split(at, shape, as_tuple)


@chained
def _mask(x: Tensor) -> Tensor:
    return cast(v.reshape.bind(e.stop_gradient(x), shape=(x.spec.size,)), dt.bool_)


@chained
def _split(at: Tensor, shape: Ints, as_tuple: bool) -> Any:
    """Return the places in a row as indices of the dims of `shape`."""
    lines: list[Any] = []
    for n, s in zip(shape, strides(shape), strict=True):
        line = at if s == 1 else e.floor_divide(at, s)
        lines.append(line if n == size(shape) else e.remainder(line, max(n, 1)))
    if as_tuple:
        return tuple(lines)
    if not lines:
        return filled((at.spec.size, 0), 0, at.spec.dtype, at.device)
    columns = [v.reshape.bind(line, shape=(at.spec.size, 1)) for line in lines]
    return i.cat.bind(*columns, axis=1)


def argwhere(input: Tensor) -> Tensor:
    """Return the indices of the nonzero elements, one row each."""
    return nonzero(input)


@takes_out
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where `mask` holds, in one row. Reads back how many there are."""
    if mask.spec.dtype is not dt.bool_:
        raise ShapeError(f"masked_select: expected BoolTensor for mask, got {mask.spec.dtype!r}")
    shape = broadcast("masked_select", input.spec.shape, mask.spec.shape)
    x, m = expand(input, shape), expand(mask, shape)
    n = math.prod(shape)
    at = places(v.reshape.bind(m, shape=(n,)))
    return i.gather.bind(v.reshape.bind(x, shape=(n,)), at, axis=0)


def masked_scattered(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Return `x` with the true places of `mask` taking the elements of `source` in order."""
    shape = broadcast("masked_scatter", x.spec.shape, mask.spec.shape)
    x, mask = expand(x, shape), expand(mask, shape)
    n = x.spec.size
    flat = v.reshape.bind(mask, shape=(n,))
    kind = x.device.index_dtype
    rank = e.sub(scan.cumsum.bind(cast(flat, kind), axis=0, reverse=False), 1)
    if n:
        most = confined(
            e.sub(source.spec.size - 1, part(rank, 0, n - 1, n)), rule="not negative",
            message="masked_scatter: Number of elements of source < number of ones in mask: got "
            f"{source.spec.size} elements",
        )  # fmt: skip
        # a check whose result is not used would be dropped
        flat = bitwise_and(flat, ge(most, 0))
        mask = v.reshape.bind(flat, shape=shape)
    if not source.spec.size:
        return e.where(mask, x, x)
    line = v.reshape.bind(cast(source, x.spec.dtype), shape=(source.spec.size,))
    last = source.spec.size - 1
    at = e.where(e.minimum(rank, last) < 0, 0, e.minimum(rank, last))
    values = v.reshape.bind(i.gather.bind(line, at, axis=0), shape=shape)
    return e.where(mask, values, x)


class NonzeroMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    argwhere = argwhere
    masked_select = masked_select
    nonzero = nonzero


__all__ = ["argwhere", "masked_select", "nonzero"]
