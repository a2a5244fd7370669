"""Rows of a table whose gradient is sparse: what `Embedding(sparse=True)` looks up."""

from __future__ import annotations

from typing import Any

from tabgrad.core.trace import MODE, using
from tabgrad.ops.checked import within
from tabgrad.ops.elementwise import where
from tabgrad.ops.rounding import ne
from tabgrad.ops.view import reshape, spread
from tabgrad.sparse.parts import Coo, picked
from tabgrad.sparse.tensor import made
from tabgrad.transforms.node import ACCUMULATE
from tabgrad.transforms.tape import record_call


class Rows:
    """The rule of a look-up: the cotangent of the table has the rows that were read, as often as they were."""

    name = "embedding"
    node_name = "EmbeddingBackward0"
    differentiable = True

    def __init__(self, shape: Any, padding: int | None) -> None:
        self.shape = shape
        self.padding = padding

    def apply(
        self, node: Any, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> tuple[Any, ...]:
        """Return the cotangent of the table: sparse for a leaf, dense where other rules go on with it."""
        (at,) = node.kept
        n, width = at.spec.size, self.shape[1]
        values = reshape.bind(cts[0], shape=(n, width))
        if self.padding is not None:
            keep = spread.bind(ne(at, self.padding), shape=(n, width), axes=(1,))
            values = where(keep, values, 0)
        found = Coo(reshape.bind(at, shape=(1, n)), values, self.shape)
        if lowered or node.edges[0].rule is not ACCUMULATE:
            return (found.dense(),)
        return (made(found),)


def looked_up(input: Any, weight: Any, padding: int | None, name: str) -> Any:
    """Look up the rows of `weight` [V, D] that `input` [...] names: [..., D], with a sparse gradient."""
    count, width = weight.spec.shape
    n = input.spec.size
    at = within(name, reshape.bind(input, shape=(n,)), count)
    mode = MODE.get()
    with using(mode.replace(grad=False)):
        y = reshape.bind(picked(weight, at), shape=(*input.spec.shape, width))
    if mode.grad:
        record_call(Rows(weight.spec.shape, padding), (weight,), (y,), None, kept=(at,))
    return y


__all__ = ["Rows", "looked_up"]
