"""A function of two numbers as a map with contours, and the ways that optimizers take on it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import TabgradError
from tabgrad.viz.drawing import COLOURS, Drawing, colour, counted, element, placed_png, png, text

SIDE = 420.0
"""Pixels of the map's longer side."""
Point = tuple[float, float]


class Landscape(Drawing):
    """A map of a function: `values[i][j]` is that at the j-th x and the i-th y, `paths` are points by name."""

    title = "landscape"

    def __init__(
        self, values: list[list[float]], x: Point, y: Point, levels: list[float], paths: dict[str, list[Point]]
    ) -> None:  # fmt: skip
        self.values, self.x, self.y, self.levels, self.paths = values, x, y, levels, paths

    def __repr__(self) -> str:
        size = f"{len(self.values)} x {len(self.values[0])}"
        return f"<landscape of {size} values and {counted(len(self.paths), 'path')}>"

    def svg(self) -> str:
        """Return it as an SVG element: colours by rank of the value, contours, paths and their names."""
        wide, high = self.x[1] - self.x[0], self.y[1] - self.y[0]
        scale = SIDE / max(wide, high)
        w, h = max(wide * scale, 60), max(high * scale, 60)
        left, top = 44.0, 10.0

        def at(p: Point) -> str:
            px = left + w * (p[0] - self.x[0]) / wide
            py = top + h * (self.y[1] - p[1]) / high
            return f"{px:.1f},{py:.1f}"

        parts = [placed_png(self._pixels(), left, top, w, h)]
        for level in self.levels:
            lines = "".join(f"M{at(a)}L{at(b)}" for a, b in self.contour(level))
            parts.append(f'<path d="{lines}" fill="none" stroke="#fff" stroke-opacity="0.55"/>')
        for i, points in enumerate(self.paths.values()):
            parts.append(_way([at(p) for p in points if _finite(p)], COLOURS[i % len(COLOURS)]))
        box = f"{left} {top} {w:.1f} {h:.1f}"
        sides = 'x="{}" y="{}" width="{}" height="{}"'.format(*box.split())
        # an SVG inside an SVG is cut at its sides
        body = f'<svg {sides} viewBox="{box}">{"".join(parts)}</svg>' + self._axes(left, top, w, h)
        for i, name in enumerate(self.paths):
            y = top + 14 + 16 * i
            ink = COLOURS[i % len(COLOURS)]
            body += f'<rect x="{left + w + 10:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{ink}"/>'
            body += text(left + w + 25, y, name)
        room = 40 + 7.3 * max(map(len, self.paths), default=0) if self.paths else 12
        return element(left + w + room, top + h + 24, "landscape", body)

    def _axes(self, left: float, top: float, w: float, h: float) -> str:
        return (
            text(left, top + h + 15, f"{self.x[0]:g}")
            + text(left + w, top + h + 15, f"{self.x[1]:g}", "end")
            + text(left - 5, top + h, f"{self.y[0]:g}", "end")
            + text(left - 5, top + 10, f"{self.y[1]:g}", "end")
        )

    def _pixels(self) -> bytes:
        """Colour each value by its rank, so that steep functions show their valleys too."""
        flat = sorted(v for row in self.values for v in row if math.isfinite(v))
        rank = {v: i / max(len(flat) - 1, 1) for i, v in enumerate(flat)}
        rows = [
            bytes(c for v in row for c in (colour(rank[v]) if v in rank else (128, 128, 128)))
            for row in reversed(self.values)
        ]
        return png(rows, len(self.values[0]), 3)

    def contour(self, level: float) -> list[tuple[Point, Point]]:
        """Return the contour of a level as pieces of lines, by marching squares (Maple 2003)."""
        rows, columns = len(self.values), len(self.values[0])
        dx = (self.x[1] - self.x[0]) / (columns - 1)
        dy = (self.y[1] - self.y[0]) / (rows - 1)
        out = []
        for i in range(rows - 1):
            for j in range(columns - 1):
                corners = [
                    (j, i, self.values[i][j]), (j + 1, i, self.values[i][j + 1]),
                    (j + 1, i + 1, self.values[i + 1][j + 1]), (j, i + 1, self.values[i + 1][j]),
                ]  # fmt: skip
                if not all(math.isfinite(v) for _, _, v in corners):
                    continue
                cuts = _cuts(corners, level)
                if len(cuts) == 4 and (sum(v for _, _, v in corners) / 4 > level) == (
                    corners[0][2] > level
                ):
                    cuts = [*cuts[1:], cuts[0]]  # a saddle: its middle belongs to the first corner
                for a, b in zip(cuts[::2], cuts[1::2], strict=True):
                    if a == b:
                        continue  # the level touches a corner
                    out.append(
                        (
                            (self.x[0] + dx * a[0], self.y[0] + dy * a[1]),
                            (self.x[0] + dx * b[0], self.y[0] + dy * b[1]),
                        )
                    )
        return out


def _cuts(corners: list[tuple[int, int, float]], level: float) -> list[Point]:
    """Return where a level crosses the sides of a square, side after side."""
    found = []
    for (ax, ay, a), (bx, by, b) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (a > level) != (b > level):
            t = (level - a) / (b - a)
            found.append((ax + t * (bx - ax), ay + t * (by - ay)))
    return found


def _finite(p: Point) -> bool:
    return math.isfinite(p[0]) and math.isfinite(p[1])


def _way(points: list[str], ink: str) -> str:
    if not points:
        return ""
    x, y = points[-1].split(",")
    line = f'<polyline points="{" ".join(points)}" fill="none" stroke='
    return (
        f'{line}"#fff" stroke-width="4" stroke-opacity="0.7"/>{line}"{ink}" stroke-width="2"/>'
        f'<circle cx="{x}" cy="{y}" r="4" fill="{ink}" stroke="#fff"/>'
    )


def landscape(
    f: Callable[[tg.Tensor], tg.Tensor], x: Point = (-2.0, 2.0), y: Point = (-2.0, 2.0), *,
    size: int = 64, levels: int = 12, paths: Mapping[str, Iterable[Any]] | None = None,
    optimizers: Mapping[str, Callable[[list[tg.Tensor]], Any]] | None = None,
    start: Point | None = None, steps: int = 50, device: Any = None,
) -> Landscape:  # fmt: skip
    """Draw the map of a function of two numbers, and the ways of optimizers on it.

    `f` takes a tensor of shape (2,) and returns a tensor of one number; it is evaluated at `size` by `size`
    points of the ranges `x` and `y`, under `vmap` where it allows that. `paths` are points by name;
    `optimizers` are functions of a list of parameters, such as `lambda p: tg.optim.SGD(p, lr=0.1)`, each of
    which takes `steps` steps from `start`. Contours lie at equal ranks of the values. Raises ValueError for
    empty ranges, and for optimizers without a start, TypeError for a function that returns no tensor.

    >>> import tabgrad as tg
    >>> def valley(p):
    ...     return p[0] ** 2 + 10 * p[1] ** 2
    >>> drawing = tg.viz.landscape(valley, size=16, start=(-1.5, 1.0), steps=5, device="cpu",
    ...                            optimizers={"SGD": lambda p: tg.optim.SGD(p, lr=0.05)})
    >>> drawing, len(drawing.paths["SGD"])
    (<landscape of 16 x 16 values and 1 path>, 6)
    """
    size, levels, steps = (
        _whole(*one) for one in (("size", size), ("levels", levels), ("steps", steps))
    )
    x, y = _range("x", x), _range("y", y)
    if not callable(f):
        raise TypeError(f"landscape: f must be a function of a tensor of two numbers, got {f!r}")
    if not (x[0] < x[1] and y[0] < y[1]) or size < 2:
        raise ValueError(
            f"landscape: expected ranges (low, high) and at least 2 points, got {x}, {y}, {size}"
        )
    if optimizers and start is None:
        raise ValueError("landscape: say where the optimizers start: start=(x, y)")
    values = _values(f, x, y, size, device)
    ways = {name: [_point(p) for p in points] for name, points in (paths or {}).items()}
    for name, make in (optimizers or {}).items():
        assert start is not None
        ways[name] = _walk(f, make, start, steps, device)
    flat = sorted({v for row in values for v in row if math.isfinite(v)})
    at = (
        [flat[round(k * (len(flat) - 1) / (levels + 1))] for k in range(1, levels + 1)]
        if flat
        else []
    )
    return Landscape(values, x, y, sorted(set(at)), ways)


def _range(name: str, given: Any) -> Point:
    try:
        low, high = given
        return float(low), float(high)
    except (TypeError, ValueError):
        raise TypeError(
            f"landscape: {name} must be a range of two numbers, (low, high), got {given!r}; landscape(f, x, y) "
            "draws a function f of a tensor of two numbers over the ranges x and y"
        ) from None


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"landscape: {name} must be a whole number, got {value!r}") from None


def _called(f: Any, p: tg.Tensor) -> tg.Tensor:
    found = f(p)
    if isinstance(found, tg.Tensor):
        return found
    raise TypeError(
        f"landscape: expected a function that returns a tensor of one number, got {type(found).__name__}; "
        "compute with the tensor itself, p[0] and p[1], without float() or .item()"
    )


def _point(p: Any) -> Point:
    listed = p.tolist() if hasattr(p, "tolist") else list(p)
    if len(listed) != 2:
        raise ValueError(f"landscape: expected points of two numbers, got {listed}")
    return float(listed[0]), float(listed[1])


def _values(f: Any, x: Point, y: Point, size: int, device: Any) -> list[list[float]]:
    across, up = tg.linspace(*x, size, device=device), tg.linspace(*y, size, device=device)
    points = tg.stack([across.repeat(size), up.repeat_interleave(size)], 1)
    with tg.no_grad():
        try:
            found = tg.vmap(lambda p: _called(f, p))(points)
        except (TabgradError, RuntimeError):
            found = tg.stack([_called(f, p) for p in points])
        if found.numel() != size * size:
            raise ValueError(
                "landscape: expected a function that returns one number, got a tensor of shape "
                f"{tuple(found.shape[1:])}"
            )
        values: list[list[float]] = found.reshape(size, size).tolist()
    return values


def _walk(f: Any, make: Any, start: Point, steps: int, device: Any) -> list[Point]:
    p = tg.tensor([float(v) for v in start], requires_grad=True, device=device)
    optimizer = make([p])

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = _called(f, p).reshape(())
        loss.backward()
        return loss

    points = [p.detach().clone()]
    for _ in range(steps):
        optimizer.step(closure)
        points.append(p.detach().clone())
    return [(float(a), float(b)) for a, b in tg.stack(points).tolist()]
