"""Many tensors as one vector, and back: what optimizer steps and gradient clipping work on.

These functions bind the primitives themselves: a step over a hundred parameters takes some hundreds of views,
which nobody else sees, so they need not be views in PyTorch's sense.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.ops.indexing import cat
from tabgrad.ops.view import part, reshape
from tabgrad.tensor.aliasing import write
from tabgrad.tensor.chained import chained

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


@chained
def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return the elements of all tensors, of one dtype and device, in one vector.

    >>> import tabgrad as tg
    >>> joined([tg.ones(1, 2, device="cpu"), tg.zeros(1, device="cpu")])
    tensor([1., 1., 0.])
    """
    rows: list[Any] = []
    for t in tensors:
        shape = t.spec.shape
        rows.append(t if len(shape) == 1 else reshape.bind(t, shape=(t.spec.size,)))
    return rows[0] if len(rows) == 1 else cat.bind(*rows, axis=0)


@chained
def parts(vector: Tensor, shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """Return consecutive parts of a vector in these shapes, the inverse of `joined`.

    >>> import tabgrad as tg
    >>> [list(t.shape) for t in parts(tg.zeros(7, device="cpu"), [(2, 2), (3,)])]
    [[2, 2], [3]]
    """
    out: list[Any] = []
    at = 0
    for shape in shapes:
        n = math.prod(shape)
        piece = part(vector, 0, at, at + n)
        out.append(piece if len(shape) == 1 else reshape.bind(piece, shape=shape))
        at += n
    return tuple(out)


def write_parts(tensors: Sequence[Tensor], vector: Tensor) -> None:
    """Give each tensor its part of `vector`, in place; under no_grad()."""
    for t, piece in zip(tensors, parts(vector, [t.spec.shape for t in tensors]), strict=True):
        write(t, piece)


def alike(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Group tensors by dtype and device."""
    groups: dict[Any, list[Tensor]] = {}
    for t in tensors:
        groups.setdefault((t.spec.dtype, t.device), []).append(t)
    return list(groups.values())


def bounds(shapes: Iterable[tuple[int, ...]]) -> list[int]:
    """Return where the parts of these shapes begin in a vector, and where the last one ends."""
    return [0, *itertools.accumulate(map(math.prod, shapes))]
