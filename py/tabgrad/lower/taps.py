"""Sums over the windows that an element lies in, as gradients of windows are: of the taps that reach it alone.

With windows of k elements, s apart, element x is tap t of window o where x = o s + t: only every s-th tap
counts, from x mod s on. The sum of `unwindow` goes over all k taps of an axis and finds zeros at the others;
here it goes over k / s, rounded up, in the same order. Where windows don't overlap nothing is left to add.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.lower.ir import Node, Program

Apply = Callable[..., Node]


def reaching(p: Program, apply: Apply, x: Node, axes: tuple[int, ...]) -> Node | None:
    """Make an array that has the same sum along `axes` as `x`, an `unwindow`, and fewer elements there.

    None is given where all taps count.
    """
    spatial: Any = x.params["spatial"]
    strides: Any = x.params["strides"]
    dilations: Any = x.params["dilations"]
    n, rank = len(spatial), len(x.shape)
    if min(axes) < rank - n or any(x.shape[i] > 1 and i not in axes for i in range(rank - n, rank)):
        return None
    # the elements between two windows of each axis; 1 where dilation makes it another matter
    apart = [s if d == 1 else 1 for s, d in zip(strides, dilations, strict=True)]
    if max(apart) == 1 or 0 in x.shape:
        return None
    w = x.srcs[0]
    lead, counts, taps = (
        w.shape[: rank - 2 * n],
        w.shape[rank - 2 * n : rank - n],
        x.shape[rank - n :],
    )
    turns = [-(-k // a) for k, a in zip(taps, apart, strict=True)]
    room = tuple(t * a - k for t, a, k in zip(turns, apart, taps, strict=True))
    none = (0,) * rank
    w = apply(p, "pad", w, low=none, high=(*none[: rank - n], *room), interior=none)
    split = (m for pair in zip(turns, apart, strict=True) for m in pair)
    w = apply(p, "reshape", w, shape=(*lead, *counts, *split))
    first, last = len(lead), len(lead) + n
    order = (
        *range(first),
        *range(last + 1, last + 2 * n, 2),
        *range(first, last),
        *range(last, last + 2 * n, 2),
    )
    w = apply(p, "permute", w, dims=order)
    wide = tuple(-(-m // a) for m, a in zip(spatial, apart, strict=True))
    w = apply(
        p, "unwindow", w, spatial=wide, dilations=dilations,
        strides=tuple(1 if a > 1 else s for a, s in zip(apart, strides, strict=True)),
    )  # fmt: skip
    pairs = (i for a in range(n) for i in (last + a, first + a))
    w = apply(p, "permute", w, dims=(*range(first), *pairs, *range(last + n, last + 2 * n)))
    sizes = tuple(m * a for m, a in zip(wide, apart, strict=True))
    w = apply(p, "reshape", w, shape=(*lead, *sizes, *turns))
    return apply(p, "slice", w, starts=none, stops=(*lead, *spatial, *turns), steps=(1,) * rank)
