"""Places for the boxes of a directed graph, in layers: a longest path sets the layer, neighbours the order.

After the scheme of Sugiyama, Tagawa and Toda (1981), with medians for barycentres (Gansner et al. 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

GAP, STEP, MARGIN = 18.0, 34.0, 8.0
"""Pixels between boxes of a layer, between layers, and around the whole."""
SWEEPS = 6


class Place(NamedTuple):
    """A box: its upper left corner, width and height, in pixels."""

    x: float
    y: float
    w: float
    h: float


def placed(
    sizes: Sequence[tuple[float, float]], edges: list[tuple[int, int]]
) -> tuple[list[Place], float, float]:
    """Return a place for each box of `sizes`, (width, height), and the size of the whole.

    Edges go from a box to a later one. They point downwards.
    """
    n = len(sizes)
    above: list[list[int]] = [[] for _ in range(n)]
    below: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        above[b].append(a)
        below[a].append(b)
    layers = _layers(n, above, below)
    _order(layers, above, below)
    return _coordinates(layers, sizes, above, below)


def _layers(n: int, above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    level = [0] * n
    for i in range(n):
        level[i] = 1 + max((level[a] for a in above[i]), default=-1)
    for i in reversed(range(n)):  # each stands just above what is made of it
        if below[i]:
            level[i] = min(level[b] for b in below[i]) - 1
    layers: list[list[int]] = [[] for _ in range(max(level, default=-1) + 1)]
    for i in range(n):
        layers[level[i]].append(i)
    return layers


def _order(layers: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort each layer by the medians of its neighbours, downwards and upwards in turn."""
    at = {i: float(k) for layer in layers for k, i in enumerate(layer)}
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        for layer in reversed(layers) if sweep % 2 else layers:
            layer.sort(key=lambda i: median([at[j] for j in near[i]] or [at[i]]))
            at.update({i: float(k) for k, i in enumerate(layer)})


def _coordinates(
    layers: list[list[int]],
    sizes: Sequence[tuple[float, float]],
    above: list[list[int]],
    below: list[list[int]],
) -> tuple[list[Place], float, float]:
    centre = dict.fromkeys(range(len(sizes)), 0.0)
    for layer in layers:
        x = 0.0
        for i in layer:
            centre[i] = x + sizes[i][0] / 2
            x += sizes[i][0] + GAP
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        for layer in reversed(layers) if sweep % 2 else layers:
            _pull(layer, centre, near, sizes)
    left = min((centre[i] - w / 2 for i, (w, _) in enumerate(sizes)), default=0.0) - MARGIN
    places: list[Place] = [Place(0, 0, 0, 0)] * len(sizes)
    y = MARGIN
    for layer in layers:
        for i in layer:
            w, h = sizes[i]
            places[i] = Place(centre[i] - w / 2 - left, y, w, h)
        y += max(sizes[i][1] for i in layer) + STEP
    width = max((p.x + p.w for p in places), default=0.0) + MARGIN
    return places, width, max(y - STEP, 0.0) + MARGIN


def _pull(
    layer: list[int],
    centre: dict[int, float],
    near: list[list[int]],
    sizes: Sequence[tuple[float, float]],
) -> None:
    """Move the boxes of a layer towards the middle of their neighbours, in order and without touching."""
    wanted = {i: median([centre[j] for j in near[i]] or [centre[i]]) for i in layer}
    edge = -float("inf")
    for i in layer:
        centre[i] = max(wanted[i], edge + sizes[i][0] / 2)
        edge = centre[i] + sizes[i][0] / 2 + GAP
    # what was pushed to the right as a whole goes back by half
    shift = median([centre[i] - wanted[i] for i in layer])
    for i in layer:
        centre[i] -= shift
