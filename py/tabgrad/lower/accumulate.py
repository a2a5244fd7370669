"""Accumulators: the variables in which a loop reduces a row, and the statements of its turns.

The turns of one thread come in the order of the row. So the first of equal values is found by `>` alone, and
nans are noted beside the comparison: what a driver makes of a nan in it does not matter.
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower.dialect import BOOL, U32, Dialect
from tabgrad.lower.emit import Emitter
from tabgrad.lower.ir import Node
from tabgrad.lower.tokens import Size


class Accumulator:
    """The variables of reduction `h` over rows of a `size`: its value, for an index the place of that, and for
    an extreme of floats whether there was a nan, or the place of the first one."""

    def __init__(self, e: Emitter, h: Node, size: int) -> None:
        self.d: Dialect = e.d
        self.h, self.size = h, size
        self.dtype = h.srcs[0].spec.dtype
        self.kind = self.d.compute_type(self.dtype)
        self.value = e.name()
        e.line(self.d.var(self.value, self.kind, self.d.literal(identity(h), self.kind)))
        self.place = self.nan = ""
        if is_arg(h):
            self.place = e.name()
            e.line(self.d.var(self.place, U32, "0u"))
        if h.op.kind in EXTREMES and self.dtype.is_floating_point:
            self.nan = e.name()
            none = (U32, f"{Size(size)}") if self.place else (BOOL, "false")
            e.line(self.d.var(self.nan, *none))

    def turn(self, e: Emitter, value: str) -> None:
        """Emit the turn of the loop over `r` that takes `value`."""
        choose = self.d.choose
        if self.place:
            better = e.let(BOOL, self._better(value))
            e.line(f"{self.value} = {choose(better, value, self.value)};")
            e.line(f"{self.place} = {choose(better, 'r', self.place)};")
            if self.nan:
                spot = choose(f"is_nan({value})", "r", f"{Size(self.size)}")
                e.line(f"{self.nan} = min({self.nan}, {spot});")
        elif self.nan:
            e.line(f"{self.value} = {self.h.op.kind}({self.value}, {value});")
            e.line(f"{self.nan} = {self.nan} | is_nan({value});")
        else:
            for statement in combine(e.d, self.h, self.value, value):
                e.line(statement)

    def _better(self, value: str) -> str:
        if self.dtype is dt.bool_:
            yes, no = (value, self.value) if self.h.op.kind == "argmax" else (self.value, value)
            return f"{yes} & !{no}"
        return f"{value} {'>' if self.h.op.kind == 'argmax' else '<'} {self.value}"

    def settle(self, e: Emitter) -> None:
        """Emit what follows the loop of a thread."""
        if not self.nan:
            return
        found = f"{self.nan} < {Size(self.size)}" if self.place else self.nan
        nan = self.d.literal(math.nan, self.kind)
        if self.place:
            e.line(f"{self.place} = {self.d.choose(found, self.nan, self.place)};")
        e.line(f"{self.value} = {self.d.choose(found, nan, self.value)};")

    def join(self, e: Emitter, value: str, place: str) -> list[str]:
        """Write the statements that take in what another thread has found."""
        if not self.place:
            return combine(e.d, self.h, self.value, value)
        better = self._joins(value, place)
        return [f"if ({better}) {{ {self.value} = {value}; {self.place} = {place}; }}"]

    def _joins(self, value: str, place: str) -> str:
        """Write the test whether another thread's find wins: a nan beats every number, and of equal values
        the first."""
        best, at = self.value, self.place
        earlier = f"{place} < {at}"
        if self.dtype is dt.bool_:
            return f"({self._better(value)}) || ({value} == {best} && {earlier})"
        plain = f"{self._better(value)} || ({value} == {best} && {earlier})"
        if not self.nan:
            return plain
        nans = f"(is_nan({value}) && (!is_nan({best}) || {earlier}))"
        return f"({nans} || (!is_nan({best}) && ({plain})))"

    def result(self) -> str:
        """Write the reduced value."""
        kind = self.d.compute_type(self.h.spec.dtype)
        if self.place:
            return self.d.convert(self.place, U32, kind)
        return self.d.narrow(self.value, self.h.spec.dtype)


EXTREMES = ("max", "min", "argmax", "argmin")


def is_arg(h: Any) -> bool:
    """Test whether a reduction gives an index instead of a value."""
    return h.op.kind in ("argmax", "argmin")


def combine(d: Dialect, h: Node, acc: str, value: str) -> list[str]:
    """Write the statements that combine `value` with the accumulator of reduction `h`."""
    kind = h.op.kind
    dtype = h.srcs[0].spec.dtype
    real = dtype.is_floating_point
    tail = f"_{d.compute_type(dtype)}" if real else ""
    if kind == "sum":
        return [f"{acc} = {acc} + {value};"]
    if kind == "prod":
        return [f"{acc} = {d.times(acc, value, d.compute_type(dtype))};"]
    if kind in ("any", "all") or dtype is dt.bool_:
        sign = "|" if kind in ("any", "max") else "&"
        return [f"{acc} = {acc} {sign} {value};"]
    return [f"{acc} = {kind}{tail}({acc}, {value});"]


def identity(h: Node) -> Any:
    """Give the number that a reduction begins with."""
    kind = h.op.kind
    dtype = h.srcs[0].spec.dtype
    if kind in ("sum", "prod"):
        return 0 if kind == "sum" else 1
    if kind in ("any", "all") or dtype is dt.bool_:
        return kind in ("all", "min", "argmin")
    low = kind in ("max", "argmax")
    if dtype.is_floating_point:
        return -math.inf if low else math.inf
    bits = 8 * max(dtype.itemsize, 4)
    if dtype.signed:
        return -(2 ** (bits - 1)) if low else 2 ** (bits - 1) - 1
    return 0 if low else 2**bits - 1


__all__ = ["Accumulator", "combine", "identity"]
