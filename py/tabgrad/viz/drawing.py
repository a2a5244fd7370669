"""What all drawings have: HTML for notebooks and SVG and pages in files, without scripts; colours; PNG."""

from __future__ import annotations

import base64
import pathlib
import struct
import zlib
from collections.abc import Sequence
from html import escape

COLOURS = (
    *("#2563eb", "#dc2626", "#16a34a", "#d97706", "#9333ea"),
    *("#0891b2", "#be185d", "#4d7c0f", "#606048", "#a878a8"),
)
"""Of what has a name in a drawing: as many as there are digits, told apart on light and on dark."""
"""Of lines that are told apart."""
_STOPS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


class Drawing:
    """A picture that notebooks show; `save` writes it to a file that ends in .svg or .html."""

    title = "drawing"

    def svg(self) -> str:
        """Return it as an SVG element."""
        raise NotImplementedError

    def html(self) -> str:
        """Return it as HTML, which may do more than the SVG: fold, or step."""
        return self.svg()

    def _within(self, most: int) -> Drawing:
        """Return a coarser drawing whose HTML has at most so many characters, or itself where there is none."""
        return self

    def _repr_html_(self) -> str:
        return f'<div style="overflow:auto">{self.html()}</div>'

    def save(self, path: str | pathlib.Path) -> None:
        """Write it to a file, as its ending says: `.svg` or `.html`. Raises ValueError for any other."""
        save(self, path)


def counted(n: int, kind: str) -> str:
    """Return a number with what it counts: 1 head, 2 heads."""
    return f"{n} {kind}" if n == 1 else f"{n} {kind}s"


def save(drawing: Drawing, path: str | pathlib.Path, more: Sequence[str] = ()) -> None:
    """Write a drawing to a file; `more` are the other endings that it takes, for the message."""
    file = pathlib.Path(path)
    if file.suffix == ".svg":
        file.write_text(drawing.svg(), "utf-8")
    elif file.suffix in (".html", ".htm"):
        file.write_text(page(drawing.title, drawing.html()), "utf-8")
    else:
        endings = ", ".join((".svg", ".html", *more))
        raise ValueError(f"save: expected a path that ends in one of {endings}, got {str(path)!r}")


def page(title: str, body: str) -> str:
    """Return a page of HTML, light or dark as the reader has it."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}'
        "body{font-family:system-ui,sans-serif;margin:1.5em}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def element(width: float, height: float, label: str, inside: str) -> str:
    """Return an SVG element in the colour of the text around it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" style="max-width:100%;height:auto" font-family="monospace" font-size="12" '
        f'fill="currentColor" role="img" aria-label="{escape(label)}">{inside}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    """Return a line of text in an SVG."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def colour(share: float) -> tuple[int, int, int]:
    """Return the colour of a number from 0 (dark violet) to 1 (yellow): five stops of viridis.

    >>> colour(0.0), colour(1.0)
    ((68, 1, 84), (253, 231, 37))
    """
    at = min(max(share, 0.0), 1.0) * (len(_STOPS) - 1)
    i = min(int(at), len(_STOPS) - 2)
    part = at - i
    r, g, b = (round(a + part * (z - a)) for a, z in zip(_STOPS[i], _STOPS[i + 1], strict=True))
    return r, g, b


def png(rows: Sequence[bytes], width: int, channels: int) -> bytes:
    """Encode rows of pixels as a PNG file (ISO/IEC 15948): 1 (grey), 3 (RGB) or 4 (RGBA) bytes each."""
    kind = {1: 0, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", width, len(rows), 8, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def placed_png(
    data: bytes, x: float, y: float, width: float, height: float, smooth: bool = False
) -> str:
    """Return a PNG file as a part of an SVG; its pixels stay squares, unless they are to be smooth."""
    coded = base64.b64encode(data).decode()
    style = "" if smooth else 'style="image-rendering:pixelated" '
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'preserveAspectRatio="none" {style}href="data:image/png;base64,{coded}"/>'
    )
