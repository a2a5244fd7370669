"""Tensors as pictures, and weights of attention as maps."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from html import escape
from typing import Any

import tabgrad as tg
from tabgrad.viz.drawing import Drawing, colour, counted, element, placed_png, png, save, text

WIDTH = 256
"""Small pictures are drawn at about this width."""
PIXELS = 2_000_000
"""More than this are thinned out: each takes a microsecond or more, and no screen shows them."""
MISSING = (255, 0, 255)
"""The colour of nan."""
RECTS = 4096
"""Up to so many weights each is a square of its own that tells its number; more are one picture."""


class Image(Drawing):
    """A picture: `rows` of bytes, `width` pixels of `channels` bytes each; `caption` tells what it shows."""

    title = "image"

    def __init__(self, rows: list[bytes], width: int, channels: int, caption: str) -> None:
        self.rows, self.width, self.channels, self.caption = rows, width, channels, caption
        self.height = len(rows)

    def __repr__(self) -> str:
        return f"<image of {self.height} x {self.width} pixels: {self.caption}>"

    def png(self) -> bytes:
        """Return it as a PNG file."""
        return png(self.rows, self.width, self.channels)

    def svg(self) -> str:
        """Return it as an SVG element; small pictures are enlarged by a whole number."""
        scale = max(1, WIDTH // max(self.width, 1))
        w, h = self.width * scale, self.height * scale
        inside = placed_png(self.png(), 0, 0, w, h)
        return element(
            max(w, 7.3 * len(self.caption)),
            h + 18,
            self.caption,
            inside + text(0, h + 13, self.caption, more=' fill-opacity="0.7"'),
        )

    def _within(self, most: int) -> Drawing:
        drawn, step = self, 1
        while (length := len(drawn._repr_html_())) > most and step < max(self.width, self.height):
            step = max(step + 1, math.ceil(step * math.sqrt(length / most)))
            c = self.channels
            rows = [
                b"".join(row[i : i + c] for i in range(0, len(row), c * step))
                for row in self.rows[::step]
            ]
            told = f"{self.caption}, every {_nth(step)} pixel, to be small"
            drawn = Image(rows, math.ceil(self.width / step), c, told)
        return drawn

    def save(self, path: str | pathlib.Path) -> None:
        """Write it to a file that ends in .png, .svg or .html."""
        if pathlib.Path(path).suffix == ".png":
            pathlib.Path(path).write_bytes(self.png())
        else:
            save(self, path, (".png",))


def _tensor(name: str, x: Any) -> tg.Tensor:
    """Return a tensor, or one of what numbers are given in: lists of lists, arrays."""
    if isinstance(x, tg.Tensor):
        return x
    try:
        return tg.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name}: expected a tensor, or numbers in lists of one length or an array, got "
            f"{type(x).__name__} ({error})"
        ) from None


def image(x: Any, *, limits: tuple[float, float] | None = None, columns: int = 8) -> Image:
    """Show a tensor as a picture: (H, W), (C, H, W) with C of 1, 3 or 4, or several as (N, C, H, W).

    Lists of lists and arrays are taken for one. Bytes and bools are taken as they are, floats between 0 and 1
    too. Any other numbers are stretched between their least and largest, which the caption tells; `limits` sets
    both ends, and what lies beyond has the colour of the end. A picture that is not finite somewhere is magenta
    there. Several stand in rows of `columns`. Of more than PIXELS in all, every second row and column is shown,
    or every third, and so on; the caption tells. Raises ValueError for other shapes, TypeError for what is no
    tensor of numbers.

    >>> import tabgrad as tg
    >>> tg.viz.image(tg.linspace(0, 1, 12, device="cpu").reshape(3, 4))
    <image of 3 x 4 pixels: [3, 4] float32>
    """
    x = _tensor("image", x)
    if x.ndim not in (2, 3, 4) or 0 in x.shape or (x.ndim > 2 and x.shape[-3] not in (1, 3, 4)):
        raise ValueError(
            "image: expected a tensor of shape (H, W), (C, H, W) or (N, C, H, W) with 1, 3 or 4 channels and "
            f"at least one pixel, got {tuple(x.shape)}"
        )
    if x.dtype.is_complex:
        raise ValueError(
            "image: complex numbers have no colour here; take .abs() or .angle() first"
        )
    caption = f"{list(x.shape)} {x.dtype}".replace("tabgrad.", "").replace("torch.", "")
    if columns < 1:
        raise ValueError(f"image: expected columns of at least 1, got {columns}")
    step = math.ceil(math.sqrt(x.numel() / (x.shape[-3] if x.ndim > 2 else 1) / PIXELS))
    if step > 1:
        caption += f", every {_nth(step)} pixel"
    with tg.no_grad():
        plain = x.detach()[..., ::step, ::step].to("cpu")
        low, high, told = _limits(plain, limits)
        shaped = plain.float().reshape(
            (-1, *plain.shape[-3:]) if x.ndim > 2 else (1, 1, *plain.shape)
        )
        pixels = ((shaped - low) * (255.0 / (high - low))).clamp(0, 255).round()
        good = tg.isfinite(shaped).all(1)
        planes = pixels.movedim(1, -1).nan_to_num().tolist()
        mask = None if bool(good.all()) else good.tolist()
    return _tiled(planes, mask, columns, caption + told)


def _nth(n: int) -> str:
    last = 0 if n // 10 % 10 == 1 else n % 10
    return f"{n}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def _limits(x: tg.Tensor, limits: tuple[float, float] | None) -> tuple[float, float, str]:
    if limits is not None:
        low, high = float(limits[0]), float(limits[1])
        if not low < high:
            raise ValueError(f"image: expected limits (low, high) with low < high, got {limits}")
        return low, high, f", from {low:g} to {high:g}"
    if x.dtype is tg.bool:
        return 0.0, 1.0, ""
    if x.dtype is tg.uint8:
        return 0.0, 255.0, ""
    numbers = x.float()
    finite = numbers[tg.isfinite(numbers)]
    if not finite.numel():
        return 0.0, 1.0, ", nothing finite"
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and high <= 1 and x.is_floating_point():
        return 0.0, 1.0, ""
    if low == high:
        return low - 0.5, high + 0.5, f", {low:.4g} everywhere"
    return low, high, f", from {low:.4g} to {high:.4g}"


def _tiled(planes: Any, mask: Any, columns: int, caption: str) -> Image:
    """Put pictures into a grid with a pixel between them."""
    count, height, width = len(planes), len(planes[0]), len(planes[0][0])
    channels = len(planes[0][0][0])
    if mask is not None and channels == 1:
        planes = [[[p * 3 for p in row] for row in plane] for plane in planes]
        channels = 3
    missing = bytes((*MISSING, 255)[:channels])
    across = max(1, min(columns, count))
    blank, gap = bytes(channels * width), bytes(channels)
    rows: list[bytes] = []
    for top in range(0, count, across):
        if top:
            rows.append(bytes(channels * (across * (width + 1) - 1)))
        for y in range(height):
            line = []
            for i in range(top, top + across):
                if i >= count:
                    line.append(blank)
                    continue
                seen = mask[i][y] if mask is not None else None
                line.append(
                    b"".join(
                        bytes(map(int, p)) if seen is None or seen[j] else missing
                        for j, p in enumerate(planes[i][y])
                    )
                )
            rows.append(gap.join(line))
    return Image(rows, across * (width + 1) - 1, channels, caption)


class Attention(Drawing):
    """Maps of weights, one for each head: rows are queries, columns keys."""

    title = "attention"

    def __init__(self, heads: list[list[list[float]]], queries: list[str], keys: list[str]) -> None:
        self.heads, self.queries, self.keys = heads, queries, keys
        self.note = ""

    def _within(self, most: int) -> Drawing:
        drawn, step = self, 1
        while (length := len(drawn._repr_html_())) > most:
            step = max(step + 1, math.ceil(step * math.sqrt(length / most)))
            if step > max(len(self.queries), len(self.keys)):
                break
            heads = [_coarser(weights, step) for weights in self.heads]
            drawn = Attention(heads, self.queries[::step], self.keys[::step])
            drawn.note = f"to be small, each square is the largest weight of {step} x {step}"
        return drawn

    def __repr__(self) -> str:
        return f"<attention of {counted(len(self.heads), 'head')}, {len(self.queries)} x {len(self.keys)}>"

    def svg(self) -> str:
        """Return the maps side by side as an SVG element; each square tells its weight where they are few."""
        rows, columns = len(self.queries), len(self.keys)
        cell = max(3.0, min(18.0, 420 / max(rows, columns)))
        named = cell >= 9
        left = 8 + 7.3 * max(map(len, self.queries)) if named else 8.0
        top = 26 + (7.3 * max(map(len, self.keys)) if named else 0.0)
        wide, high = left + cell * columns + 16, top + cell * rows + 12
        across = max(1, min(len(self.heads), int(900 // wide) or 1))
        parts = []
        for i, weights in enumerate(self.heads):
            x, y = wide * (i % across), high * (i // across)
            parts.append(self._map(weights, i, x, y, left, top, cell, named))
        down = math.ceil(len(self.heads) / across)
        if self.note:
            parts.append(text(8, high * down + 12, self.note, more=' fill-opacity="0.7"'))
        width = max(wide * across, 7.3 * len(self.note) + 16)
        height = high * down + (18 if self.note else 0)
        return element(width, height, "attention", "".join(parts))

    def _map(
        self, weights: list[list[float]], head: int, x: float, y: float, left: float, top: float,
        cell: float, named: bool,
    ) -> str:  # fmt: skip
        most = max((w for row in weights for w in row), default=0.0) or 1.0
        parts = (
            [text(x + left, y + 13, f"head {head}", more=' fill-opacity="0.7"')]
            if len(self.heads) > 1
            else []
        )
        for i, word in enumerate(self.queries if named else ()):
            parts.append(text(x + left - 5, y + top + cell * (i + 0.5) + 4, word, "end"))
        letters = max(map(len, self.keys), default=0) <= 1
        for j, word in enumerate(self.keys if named else ()):
            at_x, at_y = x + left + cell * (j + 0.5) + 4, y + top - 5
            parts.append(
                text(at_x - 4, at_y, word, "middle")
                if letters
                else text(at_x, at_y, word, more=f' transform="rotate(-90 {at_x:.1f} {at_y:.1f})"')
            )
        if len(self.heads) * len(self.queries) * len(self.keys) > RECTS:
            rows = [bytes(c for w in row for c in colour(w / most)) for row in weights]
            data = png(rows, len(self.keys), 3)
            size = cell * len(self.keys), cell * len(self.queries)
            return "".join(parts) + placed_png(data, x + left, y + top, *size)
        for i, row in enumerate(weights):
            for j, w in enumerate(row):
                r, g, b = colour(w / most)
                parts.append(
                    f'<rect x="{x + left + cell * j:.1f}" y="{y + top + cell * i:.1f}" width="{cell:.1f}" '
                    f'height="{cell:.1f}" fill="rgb({r},{g},{b})"><title>'
                    + _told(self.queries[i], self.keys[j], w)
                    + "</title></rect>"
                )
        return "".join(parts)


def _coarser(weights: list[list[float]], step: int) -> list[list[float]]:
    """Return the largest weight of each square of `step` by `step`."""
    rows = [
        list(map(max, zip(*weights[i : i + step], strict=True)))
        for i in range(0, len(weights), step)
    ]
    return [[max(row[j : j + step]) for j in range(0, len(row), step)] for row in rows]


def _told(query: str, key: str, weight: float) -> str:
    return escape(f"{query} looks at {key}: {weight:.3f}")


def attention(
    weights: Any, tokens: Sequence[Any] | None = None, keys: Sequence[Any] | None = None
) -> Attention:
    """Show weights of attention as maps: (L, S), or (heads, L, S), or a batch of one, (1, heads, L, S).

    Rows are queries, named by `tokens`, columns are keys, named by `keys`, or by `tokens` if there are as many.
    The colours of a head go from 0 to its largest weight. Raises ValueError for other shapes, for names that
    are not as many as rows or columns, and for weights that are negative or not finite.

    >>> import tabgrad as tg
    >>> weights = tg.softmax(tg.eye(3, device="cpu") * 2, -1)
    >>> tg.viz.attention(weights, ["the", "cat", "sat"])
    <attention of 1 head, 3 x 3>
    """
    weights = _tensor("attention", weights)
    shape = tuple(weights.shape)
    if weights.ndim == 4 and shape[0] == 1:
        weights = weights[0]
    if weights.ndim not in (2, 3) or 0 in shape:
        raise ValueError(
            "attention: expected weights of shape (L, S), (heads, L, S) or (1, heads, L, S), got "
            f"{shape}; choose one example of a batch"
        )
    heads = weights.detach().float().reshape(-1, *weights.shape[-2:]).tolist()
    rows, columns = weights.shape[-2:]
    if not all(0 <= w < math.inf for head in heads for row in head for w in row):
        raise ValueError(
            "attention: expected weights that are finite and not negative; is a softmax missing?"
        )
    queries = _names("tokens", tokens, rows)
    if keys is None and tokens is not None and len(tokens) == columns:
        keys = tokens
    return Attention(heads, queries, _names("keys", keys, columns))


def _names(which: str, given: Sequence[Any] | None, n: int) -> list[str]:
    if given is None:
        return [str(i) for i in range(n)]
    if len(given) != n:
        raise ValueError(f"attention: there are {n} {which}, and {len(given)} names for them")
    return [str(word) for word in given]
