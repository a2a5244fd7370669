"""Sums over the pairs of a label and another class, for `multilabel_margin_loss`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.kinks import kinked
from tabgrad.func import custom_jvp
from tabgrad.ops.elementwise import add, cast, mul, stop_gradient, sub, where
from tabgrad.ops.indexing import cat
from tabgrad.ops.reduction import reduce_sum
from tabgrad.ops.rounding import bitwise_and, gt
from tabgrad.ops.special import relu
from tabgrad.ops.view import expand, part, reshape

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

PAIRS = 1 << 22
"""How many pairs of classes are compared at a time."""


def _gaps(
    rows: Tensor, picked: Tensor, listed: Tensor, others: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Make 1 - (label - other) for each listed label and each other class, some labels at a time.

    Gives with them, [N, labels, C], which pairs there are.
    """
    n, c = rows.spec.shape
    width = max(PAIRS // max(n * c, 1), 1)
    row, other = (reshape.bind(x, shape=(n, 1, c)) for x in (rows, others))
    for start in range(0, c, width):
        stop = min(start + width, c)
        label, there = (
            reshape.bind(part(x, 1, start, stop), shape=(n, stop - start, 1))
            for x in (picked, listed)
        )
        wide = (n, stop - start, c)
        pairs = bitwise_and(expand.bind(there, shape=wide), expand.bind(other, shape=wide))
        yield add(sub(row, label), 1), pairs


@custom_jvp
def _hinge_sums(rows: Tensor, picked: Tensor, listed: Tensor, others: Tensor) -> Any:
    """Sum max(0, 1 - (label - other)) over the pairs of each row."""
    total: Any = 0
    for gap, pairs in _gaps(rows, picked, listed, others):
        total = add(reduce_sum.bind(where(pairs, relu(gap), 0), axes=(1, 2)), total)
    return total


@_hinge_sums.defjvp
def _slopes(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Count for each class the pairs that have a loss."""
    rows, counts = primals[0], []
    up: Any = 0
    for gap, pairs in _gaps(*[stop_gradient(x) for x in primals]):
        hit = cast.bind(bitwise_and(pairs, gt(gap, 0)), dtype=rows.spec.dtype)
        up = add(reduce_sum.bind(hit, axes=(1,)), up)
        counts.append(reduce_sum.bind(hit, axes=(2,)))
    down = counts[0] if len(counts) == 1 else cat.bind(*counts, axis=1)
    change = sub(mul(up, tangents[0]), mul(down, tangents[1]))
    return _hinge_sums(*primals), reduce_sum.bind(change, axes=(1,))


@kinked
def hinges(rows: Tensor, picked: Tensor, listed: Tensor, others: Tensor) -> Tensor:
    """Sum max(0, 1 - (label - other)) over the pairs of each row, which memory never holds at once."""
    return _hinge_sums(rows, picked, listed, others)
