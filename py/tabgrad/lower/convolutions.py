"""Convolutions as products, and those of an input with gaps as convolutions without gaps.

The gradient of a convolution of stride e reads e - 1 zeros between the elements of its input. They are
never multiplied out: output o adds up w[t] x[m] where o s + t d - lo = e m, so only every T-th tap counts,
T = e / gcd(d, e).
Where it can be, the taps with one remainder modulo T become output channels of their own, all of one
convolution (`_shuffled`); else the outputs with one remainder have a convolution of their own (`_phases`).
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.spec import NO_PARAMS, Params, spec
from tabgrad.lower.convolution_forms import convolved
from tabgrad.lower.ir import COPY, Node, Program
from tabgrad.lower.simplify import apply, rule
from tabgrad.lower.variants import size_class

Facts = dict[str, Any]
LITTLE = 1.2
"""How often each multiplication that is needed may be done before parts are thought of."""
SMALL_WORK = 1 << 20
"""The multiplications of a convolution that is never cut into parts, which take more dispatches."""
ZERO = -1
"""The number of a constant zero, see `Plan.uniforms`."""


@rule("conv")
def _conv(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    x, w = srcs
    facts: Facts = dict(params)
    gaps = facts["lhs_dilations"]
    steps = zip(gaps, facts["strides"], facts["dilations"], w.shape[2:], strict=True)
    apart = [e > 1 and (s > 1 or (d > 1 and d % e > 0 and k > 1)) for e, s, d, k in steps]
    if True not in apart and max(gaps, default=1) > 1:
        if p.decide("parts of a convolution", lambda: _parts(p, x, w, facts)) == "one":
            return _shuffled(p, x, w, facts)
        apart = [e > 1 for e in gaps]
    return _phases(p, x, w, facts, apart.index(True)) if any(apart) else convolved(p, x, w, facts)


def _parts(p: Program, x: Node, w: Node, facts: Facts) -> str:
    """Choose between one convolution for all remainders, and one for each: as measured, else the fixed one.

    That is the latter if the former would multiply many zeros, and each part has enough work.
    """
    waste, work = 1.0, w.spec.size * x.spec.size // max(x.shape[1], 1)
    for k, e, d in zip(w.shape[2:], facts["lhs_dilations"], facts["dilations"], strict=True):
        turn = e // math.gcd(d, e)
        waste *= -(-k // turn) * min(k, turn) / k
    few = min(w.shape[0] // facts["groups"], w.shape[1]) < 64
    fixed = "each" if waste >= 1.5 and not few and work >= 1 << 25 else "one"
    if waste < LITTLE or work < SMALL_WORK:
        return fixed
    sizes = (x.shape[0], facts["groups"], w.shape[1], w.shape[0], *x.shape[2:])
    steps = (w.shape[2:], facts["lhs_dilations"], facts["dilations"])
    texts = [" ".join(str(size_class(n)) for n in sizes), *("x".join(map(str, s)) for s in steps)]
    question = f"parts of a convolution {x.spec.dtype.name} {' '.join(texts)}"
    found: str = p.pick(question, p.origin, lambda: ("one", "each"), lambda: fixed)
    return found


class _Axis:
    """One axis of a convolution, of stride 1 if its input has gaps: its outputs lie in rows of `gap`.

    `filled` remainders have `taps` taps each, `apart` elements of the input from one another. Row a, counted
    from `first`, holds the outputs up to lo + gap a, that of remainder 0; the first `skipped` are cut off.
    Where no other has a tap, a row has this output alone, and `skipped` is minus the number of zeros before it.
    """

    def __init__(
        self, n: int, k: int, out: int, stride: int, lo: int, dilation: int, gap: int
    ) -> None:
        self.gap, self.out = gap, out
        common = math.gcd(dilation, gap)
        turn, self.apart = gap // common, dilation // common
        self.filled, self.taps = min(turn, k), -(-k // turn)
        self.width = 1 if self.filled == 1 else gap
        if self.filled == 1:
            self.first = -(lo // gap)
            self.skipped = -(lo + gap * self.first)
            self.rows = max(1, (out - 1 - lo) // gap - self.first + 1)
        else:
            self.first = 1 + -(lo + 1) // gap
            self.skipped = -(gap * (self.first - 1) + lo + 1)
            self.rows = -(-(self.skipped + out) // gap)
        last = self.first + (self.rows - 1) * stride + (self.taps - 1) * self.apart
        self.padding = (-self.first, last + 1 - n)


def _shuffled(p: Program, x: Node, w: Node, facts: Facts) -> Node:
    """Compute the outputs of each remainder as channels of one convolution, and put them side by side."""
    o, c, *kernel = w.shape
    batch, out = x.shape[0], _sizes(x, w, facts)
    names = "strides", "padding", "dilations", "lhs_dilations"
    axes = [
        _Axis(n, k, m, s, lo, d, e)
        for n, k, m, s, (lo, _), d, e in zip(
            x.shape[2:], kernel, out, *(facts[k] for k in names), strict=True
        )
    ]
    d, groups = len(axes), facts["groups"]
    room = tuple(a.taps * a.filled - k for a, k in zip(axes, kernel, strict=True))
    none = (0,) * (2 + d)
    w = apply(p, "pad", w, low=none, high=(0, 0, *room), interior=none)
    w = apply(p, "reshape", w, shape=(o, c, *(n for a in axes for n in (a.taps, a.filled))))
    order = (0, *range(3, 3 + 2 * d, 2), 1, *range(2, 2 + 2 * d, 2))
    filled = [a.filled for a in axes]
    w = apply(p, "permute", w, dims=order)
    w = apply(p, "reshape", w, shape=(o * math.prod(filled), c, *(a.taps for a in axes)))
    if any(room):
        # read through conditions at every load of a tile, a product takes compilers minutes
        w = p._add(COPY, NO_PARAMS, (w,), w.spec, -1)
    z = apply(
        p, "conv", x, w, strides=facts["strides"], padding=tuple(a.padding for a in axes),
        dilations=tuple(a.apart for a in axes), lhs_dilations=(1,) * d, groups=groups,
    )  # fmt: skip
    rows = [a.rows for a in axes]
    z = apply(p, "reshape", z, shape=(batch, o, *filled, *rows))
    turned = tuple(i for a in range(d) for i in (2 + d + a, 2 + a))
    z = apply(p, "permute", z, dims=(0, 1, *turned))
    z = apply(p, "flip", z, axes=tuple(3 + 2 * i for i, n in enumerate(filled) if n > 1))
    low = (0, 0, *(n for a in axes for n in (0, a.width - a.filled)))
    z = apply(p, "pad", z, low=low, high=(0,) * len(low), interior=(0,) * len(low))
    z = apply(p, "reshape", z, shape=(batch, o, *(a.rows * a.width for a in axes)))
    return _placed(p, z, axes)


def _placed(p: Program, z: Node, axes: list[_Axis]) -> Node:
    """Cut off the outputs that are not wanted, and put zeros around those that stand alone in their rows."""
    low, high, interior = [0, 0], [0, 0], [0, 0]
    starts, stops = [0, 0], list(z.shape[:2])
    for a in axes:
        alone = a.width < a.gap
        starts.append(0 if alone else a.skipped)
        stops.append(a.rows if alone else a.skipped + a.out)
        low.append(-a.skipped if alone else 0)
        high.append(a.out + a.skipped - (a.rows - 1) * a.gap - 1 if alone else 0)
        interior.append(a.gap - 1 if alone else 0)
    z = apply(p, "slice", z, starts=tuple(starts), stops=tuple(stops), steps=(1,) * len(stops))
    return apply(p, "pad", z, low=tuple(low), high=tuple(high), interior=tuple(interior))


def _phases(p: Program, x: Node, w: Node, facts: Facts, axis: int) -> Node:
    """Compute the outputs of each remainder along `axis` by a convolution of their own, and interleave them."""
    at = 2 + axis
    s, d, e = (facts[k][axis] for k in ("strides", "dilations", "lhs_dilations"))
    lo, _ = facts["padding"][axis]
    n, k, out = x.shape[at], w.shape[at], _sizes(x, w, facts)
    turns, turn = e // math.gcd(s, e), e // math.gcd(d, e)
    rows = -(-out[axis] // turns)
    pieces: list[Node | None] = []
    for phase in range(turns):
        tap = next((t for t in range(min(k, turn)) if (phase * s + t * d - lo) % e == 0), None)
        if tap is None:
            pieces.append(None)
            continue
        count = -(-(k - tap) // turn)
        kernel = _every(p, w, at, tap, turn)
        step, apart = turns * s // e, turn * d // e
        start = (phase * s + tap * d - lo) // e
        end = (rows - 1) * step + (count - 1) * apart + 1 + start - n
        changes = {
            "strides": step,
            "dilations": apart,
            "lhs_dilations": 1,
            "padding": (-start, end),
        }
        pieces.append(apply(p, "conv", x, kernel, **_changed(facts, axis, changes)))
    shape = (x.shape[0], w.shape[0], *out[:axis], rows, *out[axis + 1 :])
    return _interleaved(p, pieces, shape, at, out[axis], x.spec.dtype)


def _interleaved(
    p: Program, pieces: list[Node | None], shape: tuple[int, ...], at: int, size: int, dtype: Any
) -> Node:
    """Put element q of each piece at q * len(pieces) + its number, along axis `at`; None is zeros."""
    turns = len(pieces)
    wide = (*shape[: at + 1], 1, *shape[at + 1 :])
    given = [p.constant(ZERO, spec(shape, dtype)) if v is None else v for v in pieces]
    y = apply(p, "cat", *(apply(p, "reshape", v, shape=wide) for v in given), axis=at + 1)
    y = apply(p, "reshape", y, shape=(*shape[:at], shape[at] * turns, *shape[at + 1 :]))
    stops = (*shape[:at], size, *shape[at + 1 :])
    return apply(p, "slice", y, starts=(0,) * len(shape), stops=stops, steps=(1,) * len(shape))


def _every(p: Program, x: Node, axis: int, start: int, step: int) -> Node:
    """Slice x[start::step] along an axis."""
    starts = tuple(start if i == axis else 0 for i in range(len(x.shape)))
    steps = tuple(step if i == axis else 1 for i in range(len(x.shape)))
    return apply(p, "slice", x, starts=starts, stops=x.shape, steps=steps)


def _changed(facts: Facts, axis: int, changes: Facts) -> Facts:
    """Give the parameters of a convolution with others along one axis."""
    new = dict(facts)
    for name, value in changes.items():
        new[name] = tuple(value if i == axis else v for i, v in enumerate(facts[name]))
    return new


def _sizes(x: Node, w: Node, facts: Facts) -> tuple[int, ...]:
    """Find the spatial sizes of the result."""
    out = []
    names = "strides", "padding", "dilations", "lhs_dilations"
    for n, k, s, (lo, hi), d, e in zip(
        x.shape[2:], w.shape[2:], *(facts[k] for k in names), strict=True
    ):
        full = ((n - 1) * e + 1 if n else 0) + lo + hi
        out.append((full - (k - 1) * d - 1) // s + 1)
    return tuple(out)
