"""Names for the sizes of a product in its text."""

from __future__ import annotations

from typing import NamedTuple

from tabgrad.lower.tokens import Size

NONE: frozenset[str] = frozenset()


class Names(NamedTuple):
    """Names for the sizes of a product, and for numbers derived from them, in its text."""

    batch: str
    m: str
    n: str
    k: str
    across: str
    tiles: str
    groups: str


FIXED = Names("BATCH", "M", "N", "K", "ACROSS", "TILES", "GROUPS")
"""Constants: a compiler may count on them."""
VARYING = Names(*(f"{name}()" for name in FIXED))
"""Functions: a constant can't be a uniform word."""


def defined(name: str, value: str) -> str:
    """Write the definition of a name, whose value is an unsigned integer."""
    return (
        f"fn {name} -> u32 {{\n  return {value};\n}}" if "(" in name else f"const {name} = {value};"
    )


def dims_block(dims: tuple[int, int, int, int], names: Names = FIXED) -> str:
    """Write the `dims` block for sizes (batch, m, n, k)."""
    return "".join(
        defined(name, f"{size}u" if names is FIXED else f"{Size(size)}") + "\n"
        for name, size in zip(names, dims, strict=False)
    )
