"""`show`: the drawing that fits an object."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from html import escape
from typing import Any

import tabgrad as tg
from tabgrad.viz import showing
from tabgrad.viz.drawing import COLOURS, Drawing, element, text
from tabgrad.viz.graph import graph
from tabgrad.viz.images import image

PIXELS = 8
"""From this height and width on a tensor is a picture."""


class Lines(Drawing):
    """Numbers over their positions as lines: `series` by name."""

    title = "lines"

    def __init__(self, series: Mapping[str, list[float]]) -> None:
        self.series = dict(series)

    def __repr__(self) -> str:
        told = [
            f"{n}: {len(v)} numbers" if n else f"{len(v)} numbers" for n, v in self.series.items()
        ]
        return f"<lines of {', '.join(told)}>"

    def svg(self) -> str:
        """Return it as an SVG element; a number that is not finite breaks its line."""
        w, h, left, top = 420.0, 180.0, 66.0, 10.0
        numbers = [v for its in self.series.values() for v in its if math.isfinite(v)]
        low, high = min(numbers, default=0.0), max(numbers, default=1.0)
        span = (high - low) or 1.0
        longest = max([len(v) for v in self.series.values()], default=1)
        body = (
            f'<rect x="{left}" y="{top}" width="{w}" height="{h}" fill="none" stroke="currentColor" '
            'stroke-opacity="0.3"/>'
        )
        for k, (name, its) in enumerate(self.series.items()):
            ink = COLOURS[k % len(COLOURS)]
            path, pen = [], "M"
            for i, v in enumerate(its):
                if not math.isfinite(v):
                    pen = "M"
                    continue
                x = left + w * i / max(longest - 1, 1)
                path.append(f"{pen}{x:.1f} {top + h * (high - v) / span:.1f}")
                pen = "L"
            body += f'<path d="{"".join(path)}" fill="none" stroke="{ink}" stroke-width="1.5"/>'
            if name:
                body += text(left + w + 8, top + 12 + 16 * k, name, more=f' fill="{ink}"')
        body += text(left - 5, top + 10, f"{high:.4g}", "end") + text(
            left - 5, top + h, f"{low:.4g}", "end"
        )
        body += text(left, top + h + 15, "0") + text(
            left + w, top + h + 15, str(longest - 1), "end"
        )
        room = 16 + 7.3 * max(map(len, self.series), default=0)
        return element(left + w + room, top + h + 22, "lines", body)


class Shown(Drawing):
    """HTML of an object that is no drawing of its own; its SVG is a frame around the plain text."""

    title = "object"

    def __init__(self, html: str, plain: str) -> None:
        self._html, self.plain = html, plain

    def __repr__(self) -> str:
        return self.plain

    def html(self) -> str:
        """Return the HTML."""
        return self._html

    def svg(self) -> str:
        """Return the plain text, line by line."""
        lines = self.plain.splitlines() or [""]
        body = "".join(
            text(6, 16 + 15 * i, line, more=' xml:space="preserve"') for i, line in enumerate(lines)
        )
        return element(12 + 7.3 * max(map(len, lines)), 12 + 15 * len(lines), "object", body)


def show(x: Any) -> Drawing:
    """Return the drawing that fits an object; notebooks and the page show it, `save` writes it to a file.

    A tensor of at least 8 x 8 pixels, also with 1, 3 or 4 channels in front and several of them, is an image;
    one of one dim that is long is a line; a number with a history is its graph; any other is a table or its
    text. A dict of lists of numbers is lines. Modules, optimizers, compiled functions and datasets are what
    notebooks show of them, a figure of matplotlib is its SVG, drawings are themselves.

    >>> import tabgrad as tg
    >>> tg.viz.show(tg.zeros(3, 32, 32, device="cpu"))
    <image of 32 x 32 pixels: [3, 32, 32] float32>
    >>> tg.viz.show({"loss": [3.0, 2.0, 1.5]})
    <lines of loss: 3 numbers>
    """
    if isinstance(x, Drawing):
        return x
    if isinstance(x, tg.Tensor):
        return _tensor(x)
    if isinstance(x, Mapping) and x and all(_numbers(v) for v in x.values()):
        return Lines({str(k): _listed(v) for k, v in x.items()})
    if isinstance(x, list | tuple) and len(x) > 1 and _numbers(x):
        return Lines({"": _listed(x)})
    if hasattr(x, "savefig"):
        file = io.StringIO()
        x.savefig(file, format="svg")
        drawn = file.getvalue()
        return Shown(drawn[drawn.index("<svg") :], repr(x))
    shown = getattr(x, "_repr_html_", lambda: None)()
    return Shown(f"<pre>{escape(repr(x))}</pre>" if shown is None else shown, repr(x))


def _tensor(x: Any) -> Drawing:
    shape = tuple(x.shape)
    real = not x.dtype.is_complex and not x.is_sparse and x.device.type != "meta"
    if real and 0 not in shape:
        several = len(shape) == 2 or (len(shape) in (3, 4) and shape[-3] in (1, 3, 4))
        if several and min(shape[-2:]) >= PIXELS:
            return image(x)
        if len(shape) == 1 and shape[0] > showing.COLUMNS:
            return Lines({"": x.detach().float().tolist()})
        if x.numel() == 1 and x.grad_fn is not None:
            return graph(x, values=True)
    table = showing.tensor(x)
    return Shown(f"<pre>{escape(repr(x))}</pre>" if table is None else table, repr(x))


def _numbers(values: Any) -> bool:
    if isinstance(values, tg.Tensor):
        return len(values.shape) == 1 and not values.dtype.is_complex
    return isinstance(values, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    )


def _listed(values: Any) -> list[float]:
    return [
        float(v) for v in (values.detach().tolist() if isinstance(values, tg.Tensor) else values)
    ]
