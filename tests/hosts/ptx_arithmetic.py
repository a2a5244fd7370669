"""The arithmetic of PTX in NumPy, by the name of the instruction without its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

KINDS = {
    **{f"{letter}{8 * n}": np.dtype(f"u{n}") for letter in "ub" for n in (1, 2, 4, 8)},
    **{f"s{8 * n}": np.dtype(f"i{n}") for n in (1, 2, 4, 8)},
    "f16": np.dtype("f2"), "f32": np.dtype("f4"), "f64": np.dtype("f8"), "pred": np.dtype(bool),
    "bf16": np.dtype("u2"), "tf32": np.dtype("u4"),
}  # fmt: skip

Values = Any


def multiplied(name: tuple[str, ...], a: Values, b: Values) -> Values:
    """Multiply: the low half of the result, or all of it."""
    if "wide" in name:
        wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
        return a.astype(wide) * b.astype(wide)
    if "hi" in name:
        wide = np.dtype(f"{a.dtype.kind}8")
        return (a.astype(wide) * b.astype(wide) >> wide.type(8 * a.dtype.itemsize)).astype(a.dtype)
    return a * b


def fused(name: tuple[str, ...], a: Values, b: Values, c: Values) -> Values:
    """Multiply and add, rounding once."""
    if a.dtype.kind != "f":
        return multiplied(name, a, b) + c
    return (a.astype("f8") * b + c).astype(a.dtype)


def inserted(name: tuple[str, ...], a: Values, b: Values, start: Values, length: Values) -> Values:
    """Put `length` bits of `a` into `b` from bit `start` on."""
    mask = ((np.uint64(1) << length.astype("u8")) - np.uint64(1) << start.astype("u8")).astype(
        b.dtype
    )
    return (b & ~mask) | (a << start & mask)


def shifted(name: tuple[str, ...], a: Values, by: Values) -> Values:
    """Shift; all bits are gone where the number is too large."""
    by, most = by.astype("u8"), 8 * a.dtype.itemsize
    kept = np.minimum(by, most - 1).astype(a.dtype)
    out = a << kept if name[0] == "shl" else a >> kept
    return np.where(by < most, out, out >> kept if a.dtype.kind == "i" else 0).astype(a.dtype)


def quotient(name: tuple[str, ...], a: Values, b: Values) -> Values:
    """Divide; integers towards zero."""
    return (
        a / b
        if a.dtype.kind == "f"
        else (np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)).astype(a.dtype)
    )


def smaller(name: tuple[str, ...], a: Values, b: Values) -> Values:
    """Return the smaller, or the larger; of a number and NaN the number, unless the name says otherwise."""
    keeps = a.dtype.kind != "f" or "NaN" in name
    low = np.minimum if keeps else np.fmin
    high = np.maximum if keeps else np.fmax
    return (low if name[0] == "min" else high)(a, b)


def permuted(name: tuple[str, ...], a: Values, b: Values, selector: Values) -> Values:
    """Pick bytes of `a` and `b`, four bits of the selector for each; bit 3 asks for its sign in place of it."""
    both = a.astype("u8") | b.astype("u8") << np.uint64(32)
    out = np.zeros(a.shape, np.uint32)
    for k in range(4):
        pick = selector >> np.uint32(4 * k) & np.uint32(15)
        byte = (both >> (pick.astype("u8") & np.uint64(7)) * np.uint64(8) & np.uint64(255)).astype(
            "u4"
        )
        sign = np.where(byte & 128, np.uint32(255), np.uint32(0))
        out |= np.where(pick & 8, sign, byte).astype("u4") << np.uint32(8 * k)
    return out


def _bits(pick: Callable[[Values, Values], Values]) -> Callable[..., Values]:
    return lambda name, a, b: pick(a, b)


ARITHMETIC: dict[str, Callable[..., Values]] = {
    "add": lambda name, a, b: a + b,
    "sub": lambda name, a, b: a - b,
    "mul": multiplied,
    "mad": fused,
    "fma": fused,
    "div": quotient,
    "rem": lambda name, a, b: np.fmod(a, b),
    "neg": lambda name, a: -a if a.dtype.kind != "u" else (~a + a.dtype.type(1)),
    "abs": lambda name, a: np.abs(a),
    "not": lambda name, a: ~a,
    "and": _bits(np.bitwise_and),
    "or": _bits(np.bitwise_or),
    "xor": _bits(np.bitwise_xor),
    "shl": shifted,
    "shr": shifted,
    "bfi": inserted,
    "prmt": permuted,
    "min": smaller,
    "max": smaller,
    "ex2": lambda name, a: np.exp2(a),
    "rcp": lambda name, a: (1 / a).astype(a.dtype),
    "copysign": lambda name, a, b: np.copysign(b, a),
}


def converted(name: tuple[str, ...], values: Values) -> Values:
    """Convert between types; to tf32 the bits of float32 are rounded, halves of them away from zero."""
    to, source = name[-2], name[-1]
    if to == "tf32":
        bits = values.view("u4")
        finite = bits & 0x7F800000 != 0x7F800000
        return np.where(finite, bits + np.uint32(0x1000), bits) & np.uint32(0xFFFFE000)
    if to == "bf16":
        bits = values.view("u4")
        bits = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
        return np.where(np.isnan(values), 0x7FFF, bits >> np.uint32(16)).astype("u2")
    if source == "bf16":
        return (values.astype("u4") << np.uint32(16)).view("f4")
    if KINDS[source].kind == "f" and "rni" in name:
        values = np.rint(values)
    return values.astype(KINDS[to])
