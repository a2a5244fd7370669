"""What a value looks like on the page: HTML, a drawing or an image; None where its text will do."""

import binascii
import io
import sys
from typing import Any

MOST = 2_000_000  # characters of one value; the page takes no more


class TooMuch(Exception):
    """The page does not take so much; the message says what it takes."""


class Undrawn(Exception):
    """A method of a value that draws it has failed; the cause is its error."""


def drawn(value: Any) -> tuple[str, str] | None:
    """Return the form of a value ("html", "svg" or "png") and what it is, PNG as base64.

    Raises Undrawn where a method of the value fails, TooMuch where it is more than the page takes.
    """
    if isinstance(value, type):
        return None
    if "matplotlib" in sys.modules and hasattr(value, "savefig"):
        return bounded("png", binascii.b2a_base64(figure(value), newline=False).decode())
    for name, form in (("_repr_html_", "html"), ("_repr_svg_", "svg"), ("_repr_png_", "png")):
        made = asked(value, name)
        if isinstance(made, str) and len(made) > MOST and hasattr(value, "_within"):
            made = asked(value._within(MOST), name)  # a drawing of viz
        if isinstance(made, tuple):  # with metadata
            made = made[0]
        if form == "png" and isinstance(made, bytes):
            made = binascii.b2a_base64(made, newline=False).decode()
        if isinstance(made, str) and made:
            return bounded(form, made)
    return None


def asked(value: Any, name: str) -> Any:
    """Call a method if there is one; raises Undrawn where it fails."""
    method = getattr(value, name, None)
    try:
        return method() if callable(method) else None
    except Exception as error:
        raise Undrawn from error


def figure(value: Any) -> bytes:
    """Return a figure of matplotlib as a PNG."""
    file = io.BytesIO()
    value.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


def bounded(form: str, made: str) -> tuple[str, str]:
    """Return both if the page takes as much; raises TooMuch otherwise."""
    if len(made) > MOST:
        raise TooMuch(
            f"show: a page takes at most {MOST:,} characters of {form}, got {len(made):,}; show less"
        )
    return form, made
