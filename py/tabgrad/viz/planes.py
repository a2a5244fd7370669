"""Points, paths and values in a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tabgrad as tg
from tabgrad.viz.drawing import COLOURS, Drawing, counted, element, placed_png, png, text

SIDE = 360.0
"""Pixels of the longer side."""
INK = ((220, 38, 38), (37, 99, 235))
"""Of values below and above zero: the second and the first of COLOURS."""
DENSEST = 0.6
"""How much of the page the colour of the largest value covers."""
FEW = 200
"""Fewer points are larger dots."""
DOT = 'fill="none" stroke-linecap="round"'
LINE = 'fill="none" stroke-width="2" stroke-linejoin="round"'
Range = tuple[float, float]
Points = list[tuple[float, float]]


class Plane(Drawing):
    """A part of a plane: `field` has rows of values, the lowest y first; `points` and `paths` have names."""

    title = "plane"

    def __init__(
        self, x: Range, y: Range, field: list[list[float]], points: dict[str, Points], paths: dict[str, Points]
    ) -> None:  # fmt: skip
        self.x, self.y, self.field, self.points, self.paths = x, y, field, points, paths

    def __repr__(self) -> str:
        count = sum(map(len, self.points.values()))
        parts = [counted(count, "point")] if count else []
        parts += [counted(len(self.paths), "path")] if self.paths else []
        parts += [f"{len(self.field)} x {len(self.field[0])} values"] if self.field else []
        return f"<plane with {', '.join(parts) or 'nothing'}>"

    def svg(self) -> str:
        """Return it as an SVG element; both axes have one scale, and what lies outside is cut."""
        wide, high = self.x[1] - self.x[0], self.y[1] - self.y[0]
        scale = SIDE / max(wide, high)
        w, h = wide * scale, high * scale
        names = list(dict.fromkeys([*self.points, *self.paths]))
        inks = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}

        def at(p: tuple[float, float]) -> str:
            return f"{(p[0] - self.x[0]) * scale:.1f} {(self.y[1] - p[1]) * scale:.1f}"

        parts = [placed_png(self._pixels(), 0, 0, w, h, smooth=True)] if self.field else []
        for name, its in self.paths.items():
            line, pen = "", "M"
            for p in its:
                line += f"{pen}{at(p)}" if _finite(p) else ""
                pen = "L" if _finite(p) else "M"
            if line:
                parts.append(f'<path d="{line}" {LINE} stroke="{inks[name]}"/>')
        for name, its in self.points.items():
            # a line of no length with round ends is a dot
            dots = "".join(f"M{at(p)}h0" for p in its if _finite(p))
            dot = 7 if len(its) < FEW else 5
            if self.field:  # rims tell dots from what is below them
                parts.append(f'<path d="{dots}" {DOT} stroke="#fff" stroke-width="{dot + 3}"/>')
            parts.append(
                f'<path d="{dots}" {DOT} stroke="{inks[name]}" stroke-width="{dot}" stroke-opacity="0.8"/>'
            )
        size = f'width="{w:.1f}" height="{h:.1f}"'
        body = (
            f'<svg x="1" y="1" {size} viewBox="0 0 {w:.1f} {h:.1f}">{"".join(parts)}</svg>'
            f'<rect x="1" y="1" {size} fill="none" stroke="currentColor" stroke-opacity="0.25"/>'
        )
        return self._named(body, w + 2, h + 2, {n: inks[n] for n in names if n})

    def _named(self, body: str, w: float, h: float, inks: dict[str, str]) -> str:
        """Add the names below, in rows that are as wide as the plane."""
        left, top = 1.0, h + 16
        for name, ink in inks.items():
            size = 24 + 7.3 * len(name)
            if left > 1 and left + size > max(w, 240):
                left, top = 1.0, top + 18
            body += f'<rect x="{left:.1f}" y="{top - 9:.1f}" width="10" height="10" rx="5" fill="{ink}"/>'
            body += text(left + 15, top, name)
            left += size + 8
        return element(max(w, 240), top + 6 if inks else h, "plane", body)

    def _pixels(self) -> bytes:
        """Colour each value by its sign; the nearer to zero, the more of the page shows."""
        rows = []
        for row in reversed(self.field):
            line = bytearray()
            for v in row:
                share = min(abs(v), 1.0) if math.isfinite(v) else 0.0
                line += bytes((*INK[v > 0], round(255 * DENSEST * share)))
            rows.append(bytes(line))
        return png(rows, len(self.field[0]), 4)


def plane(
    x: Range = (-1.0, 1.0), y: Range = (-1.0, 1.0), *, field: tg.Tensor | None = None,
    points: Mapping[str, Any] | None = None, paths: Mapping[str, Any] | None = None,
) -> Plane:  # fmt: skip
    """Draw points, paths and values in a part of a plane, given by the ranges `x` and `y`.

    `points` and `paths` are tensors of shape (N, 2), or lists of pairs, by name; a name has one colour for
    both, and an empty one isn't told. A point that is not finite breaks a path. `field` has shape
    (rows, columns), values at even distances from the lowest x and y on: blue above zero, red below, and the
    page shows through at zero; 1 and more is the strongest. Raises ValueError for empty ranges and other
    shapes.

    >>> import tabgrad as tg
    >>> tg.viz.plane(points={"here": [(0.0, 0.5)]}, paths={"there": tg.rand(9, 2, device="cpu")})
    <plane with 1 point, 1 path>
    """
    ranges = (float(x[0]), float(x[1])), (float(y[0]), float(y[1]))
    if not all(a < b for a, b in ranges):
        raise ValueError(f"plane: expected ranges (low, high) with low < high, got {x} and {y}")
    rows: list[list[float]] = []
    if field is not None:
        if field.ndim != 2 or 0 in field.shape:
            raise ValueError(
                f"plane: expected a field of shape (rows, columns), got {tuple(field.shape)}"
            )
        rows = field.detach().float().tolist()
    named = [{n: _listed(n, v) for n, v in (its or {}).items()} for its in (points, paths)]
    return Plane(*ranges, rows, *named)


def _listed(name: str, its: Any) -> Points:
    pairs = its.detach().tolist() if isinstance(its, tg.Tensor) else its
    listed = [tuple(map(float, p)) if isinstance(p, list | tuple) else () for p in pairs]
    if not all(len(p) == 2 for p in listed):
        raise ValueError(f"plane: expected {name or 'points'} of shape (N, 2)")
    return listed  # type: ignore[return-value]  # each has two


def _finite(p: tuple[float, float]) -> bool:
    return math.isfinite(p[0]) and math.isfinite(p[1])
