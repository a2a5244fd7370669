"""Convolutions of large arrays in NumPy: products of matrices that are cut out of the input in long runs.

Where the windows of a kernel are copied element by element, the copy takes longer than the product. Here an
image of H' rows is one line of H' * W' numbers. A tap of the kernel sees that line shifted, for all positions
at once; the last columns of each row, where a window would pass the edge, are computed and dropped. A stride
splits the image into phases, each with every s-th row and column, in which the steps are 1.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Ints

Pairs = tuple[tuple[int, int], ...]
BLOCK = 1 << 18
"""The most elements of windows that are copied for one product, so that they stay in the cache."""


def convolve(
    x: Array, w: Array, y: Ints, strides: Ints, padding: Pairs, dilations: Ints, groups: int
) -> Array:
    """Convolve an input that is not dilated; `y` is the shape of the result, which is not empty."""
    kernel, out = w.shape[2:], y[2:]
    if math.prod(kernel) == 1 and all([s == 1 for s in strides]) and not any(map(any, padding)):
        return _pointwise(x, w, groups).reshape(y)
    if math.prod(kernel) > math.prod(out):
        found = _by_positions(x, w, y, strides, padding, dilations, groups)
        if x.dtype.kind not in "fc" or np.isfinite(found).all():
            return found
        # what is not finite met a weight of 0 in a place that belongs to no window
    return _by_taps(x, w, y, strides, padding, dilations, groups)


def spread_out(
    x: Array, w: Array, y: Ints, padding: Pairs, dilations: Ints, lhs_dilations: Ints, groups: int
) -> Array:
    """Convolve an input with zeros between its elements, with strides of 1.

    The results whose places agree modulo the spacing meet the same taps, and no zeros: they are a convolution.
    """
    found = np.zeros(y, x.dtype)
    axes = range(len(lhs_dilations))
    for phase in product(*[range(min(e, y[2 + i])) for i, e in enumerate(lhs_dilations)]):
        parts = [
            _phase(r, x.shape[2 + i], w.shape[2 + i], y[2 + i], padding[i][0], dilations[i], lhs_dilations[i])
            for i, r in enumerate(phase)
        ]  # fmt: skip
        if None in parts:
            continue
        taps, pads, steps, counts = zip(*parts, strict=True)
        part = (*y[:2], *counts)
        every = tuple([slice(r, None, lhs_dilations[i]) for i, r in zip(axes, phase, strict=True)])
        ones = (1,) * len(axes)
        found[(..., *every)] = convolve(x, w[(..., *taps)], part, ones, pads, steps, groups)
    return found


def _phase(r: int, n: int, k: int, count: int, low: int, d: int, e: int) -> Any:
    """Return taps, padding, dilation and number of the results r, r + e, ... of one axis; None without taps."""
    first = next((i for i in range(k) if (r + i * d - low) % e == 0), None)
    if first is None:
        return None
    shared = math.gcd(d, e)
    taps = slice(first, None, e // shared)
    found, step = len(range(k)[taps]), d // shared
    start = (r + first * d - low) // e
    results = -(-(count - r) // e)
    high = results - 1 + (found - 1) * step + 1 - (n - start)
    return taps, (-start, high), step, results


def _pointwise(x: Array, w: Array, groups: int) -> Array:
    batch, channels = x.shape[:2]
    lines = x.reshape(batch, groups, channels // groups, -1)
    return np.matmul(w.reshape(groups, w.shape[0] // groups, -1), lines)


def _planes(
    x: Array, padding: Pairs, steps: Ints, offsets: list[range], counts: Ints
) -> tuple[dict[Ints, Array], list[tuple[Ints, int]], Ints]:
    """Split a padded input into phases of `steps`; return them as lines, [N, C, places], and their shape.

    `offsets` are places for each axis, from which `counts` places are needed. Between the two results is a list
    of pairs, the phase of each offset and its shift on the line.
    """
    ends = tuple([line[-1] // s + n for line, s, n in zip(offsets, steps, counts, strict=True)])
    weights = [math.prod(ends[i + 1 :]) for i in range(len(ends))]
    phases: dict[Ints, Array] = {}
    places = []
    for at in product(*offsets):
        phase = tuple([a % s for a, s in zip(at, steps, strict=True)])
        if phase not in phases:
            phases[phase] = _plane(x, padding, steps, phase, ends)
        shift = sum([a // s * weight for a, s, weight in zip(at, steps, weights, strict=True)])
        places.append((phase, shift))
    return phases, places, ends


def _plane(x: Array, padding: Pairs, steps: Ints, phase: Ints, ends: Ints) -> Array:
    """Return every `steps`-th place of a padded input from `phase` on, `ends` of them, zeros outside."""
    inner, source = [slice(None)] * 2, [slice(None)] * 2
    for n, (low, _), s, r, end in zip(x.shape[2:], padding, steps, phase, ends, strict=True):
        first = max(0, -((r - low) // s))
        last = max(first, min(end, (n - 1 + low - r) // s + 1))
        inner.append(slice(first, last))
        at = r + first * s - low
        source.append(slice(at, at + (last - first) * s, s))
    covered = all([part == slice(0, end) for part, end in zip(inner[2:], ends, strict=True)])
    shape = (*x.shape[:2], *ends)
    part = x[tuple(source)]
    if covered and part.shape == x.shape:
        plane = np.ascontiguousarray(x)
    else:
        plane = (np.empty if covered else np.zeros)(shape, x.dtype)
        plane[tuple(inner)] = part
    return plane.reshape(*shape[:2], math.prod(ends))


def _run(counts: Ints, ends: Ints) -> int:
    """Return how far the last of `counts` places is from the first on a line of `ends`, plus one."""
    at = 0
    for n, end in zip(counts, ends, strict=True):
        at = at * end + n - 1
    return at + 1


def _by_taps(
    x: Array, w: Array, y: Ints, strides: Ints, padding: Pairs, dilations: Ints, groups: int
) -> Array:
    """Copy the line once for each tap, some images at a time, for one product with all weights."""
    kernel, out = w.shape[2:], y[2:]
    taps = [range(0, k * d, d) for k, d in zip(kernel, dilations, strict=True)]
    phases, places, ends = _planes(x, padding, strides, taps, out)
    batch, each, outs, run = x.shape[0], w.shape[1], w.shape[0] // groups, _run(out, ends)
    lines = {phase: p.reshape(batch, groups, each, -1) for phase, p in phases.items()}
    width = (out[0], *ends[1:])
    found = np.empty(y, x.dtype)
    many = min(batch, max(1, BLOCK // (groups * each * len(places) * run)))
    results = np.empty((many, groups, outs, math.prod(width)), x.dtype)
    crop = (..., *[slice(0, n) for n in out])
    alone = each == 1 and outs * groups < 4 * groups
    cols = np.empty((many, groups, each, 1 if alone else len(places), run), x.dtype)
    weights = w.reshape(groups, outs, each * len(places))
    for start in range(0, batch, many):
        n = min(many, batch - start)
        line = {phase: p[start : start + n] for phase, p in lines.items()}
        into = results[:n, ..., :run]
        if alone:
            _added(line, places, weights, into, cols[:n, :, :, 0])
        else:
            for k, (phase, shift) in enumerate(places):
                cols[:n, :, :, k] = line[phase][..., shift : shift + run]
            np.matmul(weights, cols[:n].reshape(n, groups, -1, run), out=into)
        found[start : start + n] = results[:n].reshape(n, y[1], *width)[crop]
    return found


def _added(
    line: dict[Ints, Array],
    places: list[tuple[Ints, int]],
    weights: Array,
    into: Array,
    term: Array,
) -> None:
    """Add up the taps of kernels of one channel: a product of matrices of one row would take longer."""
    for o in range(into.shape[2]):
        total = into[:, :, o]
        for k, (phase, shift) in enumerate(places):
            part = line[phase][:, :, 0, shift : shift + total.shape[-1]]
            to = term[:, :, 0] if k else total
            np.multiply(part, weights[:, o, k, None], out=to)
            if k:
                total += to


def _by_positions(
    x: Array, w: Array, y: Ints, strides: Ints, padding: Pairs, dilations: Ints, groups: int
) -> Array:
    """Multiply the line from each place of a result with the kernel, which is spread on such a line.

    Nothing is copied. Kernels are large and results few where the weights of a convolution get their gradient.
    """
    kernel, out, batch = w.shape[2:], y[2:], x.shape[0]
    starts = [range(0, n * s, s) for n, s in zip(out, strides, strict=True)]
    phases, places, ends = _planes(x, padding, dilations, starts, kernel)
    each, outs = w.shape[1], w.shape[0] // groups
    wide = np.zeros((*w.shape[:2], *ends), w.dtype)
    wide[(..., *[slice(0, k) for k in kernel])] = w
    run = (each - 1) * math.prod(ends) + _run(kernel, ends)
    weights = wide.reshape(groups, outs, -1)[..., :run]
    lines = {phase: p.reshape(batch, groups, -1).transpose(1, 2, 0) for phase, p in phases.items()}
    found = np.empty((len(places), groups, outs, batch), x.dtype)
    for into, (phase, shift) in zip(found, places, strict=True):
        np.matmul(weights, lines[phase][:, shift : shift + run], out=into)
    return np.ascontiguousarray(found.transpose(3, 1, 2, 0)).reshape(y)
