"""Running results of an associative function along a dim, in a logarithmic number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.errors import ShapeError

Leaves = list[tg.Tensor]


def associative_scan(
    combine_fn: Callable[[Any, Any], Any], xs: Any, dim: int, reverse: bool = False,
    combine_mode: str = "pointwise",
) -> Any:  # fmt: skip
    """Return f(…f(f(x₀, x₁), x₂)…) up to each place along `dim`, for `combine_fn` that is associative.

    `xs` is a tensor or a tree of tensors of one size along `dim`, and so is what `combine_fn` takes and
    returns. With `reverse` it goes from the end. In mode "pointwise" the function works on single elements, in
    "generic" on slices without `dim`. Neighbours are combined first, then their results are scanned.

    >>> import tabgrad as tg
    >>> associative_scan(lambda a, b: a * b, tg.tensor([1.0, 2.0, 3.0, 4.0]), 0)
    tensor([ 1.,  2.,  6., 24.])
    """
    if not callable(combine_fn):
        raise ValueError(f"Combine_fn must be a callable, but got {combine_fn}")
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(
            f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}"
        )
    leaves, structure = tree.flatten(xs)
    if not leaves:
        raise ValueError("Expected at least 1 xs leaf")
    leaves = [x.movedim(dim, 0) for x in leaves]
    sizes = {len(x) for x in leaves}
    if len(sizes) > 1:
        raise ShapeError(f"associative_scan: sizes along dim {dim} differ: {sorted(sizes)}")

    def one(a: Leaves, b: Leaves) -> Leaves:
        return tree.leaves(combine_fn(tree.unflatten(structure, a), tree.unflatten(structure, b)))

    many = one if combine_mode == "pointwise" else tg.vmap(one)

    def combine(a: Leaves, b: Leaves) -> Leaves:
        return list(many(a, b))

    if reverse:
        leaves = [x.flip(0) for x in leaves]
    found = _scan(combine, leaves)
    if reverse:
        found = [x.flip(0) for x in found]
    return tree.unflatten(structure, [x.movedim(0, dim) for x in found])


def _scan(combine: Callable[[Leaves, Leaves], Leaves], xs: Leaves) -> Leaves:
    size = len(xs[0])
    if size < 2:
        return xs
    pairs = combine([x[: size - 1 : 2] for x in xs], [x[1::2] for x in xs])
    odd = _scan(combine, pairs)
    if size == 2:
        return [tg.cat([x[:1], y]) for x, y in zip(xs, odd, strict=True)]
    before = [y[: (size - 1) // 2] for y in odd]
    even = combine(before, [x[2::2] for x in xs])
    even = [tg.cat([x[:1], y]) for x, y in zip(xs, even, strict=True)]
    return [_woven(a, b) for a, b in zip(even, odd, strict=True)]


def _woven(even: tg.Tensor, odd: tg.Tensor) -> tg.Tensor:
    """Return rows of two tensors in turn; the first has as many as the second, or one more."""
    rows = tg.stack([even[: len(odd)], odd], 1).flatten(0, 1)
    return rows if len(even) == len(odd) else tg.cat([rows, even[-1:]])


__all__ = ["associative_scan"]
