"""Fields in the text of a kernel that is not written out yet: numbers that may change while the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MARK = "\0"
"""The character before and after a field; no kernel language has it."""
UNIFORMS = f"{MARK}u{MARK}"
"""The field of the declaration of uniform words, whose number is known only when all is printed."""


class Size(int):
    """A number that follows from the sizes of tensors: written as it is, or read from a uniform word.

    >>> f"g * {Size(20)} + r".split(MARK)
    ['g * ', '20', ' + r']
    """

    def __str__(self) -> str:
        return f"{MARK}{int(self):d}{MARK}"


class Word(int):
    """The number of a uniform word of one dispatch; these words come after the words of constants."""

    def __str__(self) -> str:
        return f"{MARK}w{int(self):d}{MARK}"


class Template:
    """A kernel's text as pieces with fields between them: each a Size, a Word, or UNIFORMS."""

    def __init__(self, text: str) -> None:
        parts = text.split(MARK)
        self.pieces = tuple(parts[::2])
        self.fields: tuple[Any, ...] = tuple(
            Size(f) if f.isdecimal() else UNIFORMS if f == "u" else Word(f[1:]) for f in parts[1::2]
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes in the text, in order."""
        return tuple(int(f) for f in self.fields if isinstance(f, Size))

    @property
    def form(self) -> Any:
        """The text without its sizes: templates that differ in sizes only have equal forms."""
        return self.pieces, tuple(None if isinstance(f, Size) else str(f) for f in self.fields)

    def filled(self, fill: Callable[[Any], str]) -> str:
        """Write the text, with each field replaced by what `fill` makes of it."""
        rest = (
            text for f, p in zip(self.fields, self.pieces[1:], strict=True) for text in (fill(f), p)
        )
        return "".join((self.pieces[0], *rest))


__all__ = ["UNIFORMS", "Size", "Template", "Word"]
