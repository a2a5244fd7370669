"""Picking elements by index tensors: what x[...] = y, `index_put` and their like read and write."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError
from tabgrad.core.promotion import cast, moved
from tabgrad.core.shape import broadcast
from tabgrad.ops import elementwise as e, indexing as i, rounding as r, view as v
from tabgrad.ops.checked import within
from tabgrad.tensor.nonzero import nonzero, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints


class Picking:
    """The advanced indices of a view, combined into one index over their dims, which are merged into one."""

    def __init__(
        self, x: Tensor, picks: Iterable[tuple[int, Any, int]], name: str, *, select: bool = False
    ) -> None:
        """Take what `known_lines` returns.

        With `select` an index without dims takes its dim away, as a number in x[...] does.
        """
        self.x = x
        pairs: list[tuple[int, Any]] = []
        self.dims: list[int] = []
        for dim, k, known in picks:
            if not known:
                k = cast(k, x.device.index_dtype)
                k = within(name, k, x.spec.shape[dim], dim, wraps=True)
            pairs.append((dim, k))
            self.dims += range(dim, dim + (known or 1))
        shapes = [k.spec.shape for _, k in pairs]
        try:
            self.shape = broadcast("index", *shapes)
        except ShapeError:
            raise IndexError(
                "shape mismatch: indexing tensors could not be broadcast together with shapes "
                f"{', '.join(str(list(s)) for s in shapes)}"
            ) from None
        self.rest = [d for d in range(len(x.spec.shape)) if d not in self.dims]
        self.at = self._place([d for d, k in pairs if k.spec.shape or not select])
        self.order = (*self.rest[: self.at], *self.dims, *self.rest[self.at :])
        self.sizes = [x.spec.shape[d] for d in self.dims]
        self.linear = self._linear([k for _, k in pairs])

    def _place(self, dims: list[int]) -> int:
        """Return how many of the other dims stand before the picked ones.

        PyTorch's rule: where the indices, of these `dims`, stand together the result stays in place, else it
        goes in front.
        """
        if not dims:
            return 0
        between = [d for d in self.rest if dims[0] < d < dims[-1]]
        return 0 if between else sum(d < dims[0] for d in self.rest)

    def _linear(self, indices: list[Any]) -> Tensor:
        device = self.x.device
        if len(indices) == 1:
            return cast(indices[0], device.index_dtype)
        total = None
        valid = None
        for k, n in zip(indices, self.sizes, strict=True):
            k = cast(k, device.index_dtype)
            if k.spec.shape != self.shape:
                k = v.expand.bind(k, shape=self.shape)
            inside = r.bitwise_and(r.ge(k, 0), r.lt(k, n))
            valid = inside if valid is None else r.bitwise_and(valid, inside)
            total = k if total is None else e.add(e.mul(total, n), k)
        # a bad index must not become a valid place: it is moved out of the whole range
        return e.where(valid, total, math.prod(self.sizes))

    @property
    def lead(self) -> Ints:
        """Sizes of the dims before the picked ones."""
        return tuple(self.x.spec.shape[d] for d in self.rest[: self.at])

    @property
    def tail(self) -> Ints:
        """Sizes of the dims after the picked ones."""
        return tuple(self.x.spec.shape[d] for d in self.rest[self.at :])

    def flat(self) -> Tensor:
        """Return the input with the indexed dims merged into one."""
        x = self.x
        if self.order != tuple(range(len(self.order))):
            x = v.permute.bind(x, dims=self.order)
        if len(self.dims) != 1:
            x = v.reshape.bind(x, shape=(*self.lead, math.prod(self.sizes), *self.tail))
        return x

    def index(self) -> Tensor:
        """Return the index at every place of what is picked."""
        n = math.prod(self.shape)
        lead, tail = self.lead, self.tail
        k = self.linear
        if lead or tail or len(self.shape) != 1:
            k = v.reshape.bind(k, shape=(1,) * len(lead) + (n,) + (1,) * len(tail))
            k = v.expand.bind(k, shape=(*lead, n, *tail))
        return k

    @property
    def result(self) -> Ints:
        """The shape of what is picked."""
        return (*self.lead, *self.shape, *self.tail)

    def read(self) -> Tensor:
        """Return what is picked."""
        y = i.gather.bind(self.flat(), self.index(), axis=self.at)
        return y if y.spec.shape == self.result else v.reshape.bind(y, shape=self.result)

    def written(self, value: Tensor, accumulate: bool = False) -> Tensor:
        """Return the input with `value` in place of what is picked, or added to it."""
        value = cast(value, self.x.spec.dtype)
        value = broadcast_value(value, self.result)
        index = self.index()
        value = v.reshape.bind(value, shape=index.spec.shape)
        op = i.scatter_add if accumulate else i.scatter
        y = op.bind(self.flat(), index, value, axis=self.at)
        moved = tuple(self.x.spec.shape[d] for d in self.order)
        y = y if y.spec.shape == moved else v.reshape.bind(y, shape=moved)
        if self.order == tuple(range(len(self.order))):
            return y
        back = [0] * len(self.order)
        for a, d in enumerate(self.order):
            back[d] = a
        return v.permute.bind(y, dims=tuple(back))


def broadcast_value(value: Tensor, shape: Ints) -> Tensor:
    own_shape = value.spec.shape
    while len(own_shape) > len(shape) and own_shape[0] == 1:
        own_shape = own_shape[1:]
    if own_shape != value.spec.shape:
        value = v.reshape.bind(value, shape=own_shape)
    if own_shape == shape:
        return value
    fit = len(own_shape) <= len(shape) and all(
        a in (1, b) for a, b in zip(reversed(own_shape), reversed(shape), strict=False)
    )
    if not fit:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(own_shape)} cannot be broadcast to indexing result "
            f"of shape {list(shape)}"
        )
    return v.expand.bind(value, shape=shape)


def known_lines(picks: Sequence[tuple[int, Any]], device: Device) -> list[tuple[int, Any, int]]:
    """Return (dim, index, known) for each advanced index on `device`, a mask as the places where it holds.

    `known` is 0 for what is not yet known to be in range, else the number of dims that the index is one of:
    a mask that stands alone is one index of all its dims, others have one for each.
    """
    found: list[tuple[int, Any, int]] = []
    for dim, k in picks:
        if k.spec.dtype is not dt.bool_:
            found.append((dim, k, 0))
            continue
        shape = k.spec.shape or (1,)
        if len(picks) == 1:
            line = places(v.reshape.bind(k, shape=(k.spec.size,)))
            found.append((dim, moved(line, device), len(shape)))
            continue
        if not k.spec.shape:
            k = v.reshape.bind(k, shape=shape)
        lines = nonzero(k, as_tuple=True)
        found += [(dim + a, moved(line, device), 1) for a, line in enumerate(lines)]
    return found
