"""Checks, inside the kernels that read them, of indices and of numbers that must keep a rule.

A kernel that meets an index outside its dim writes the index and the number of the site to a small buffer of
the device, which `hosts/error_reports.py` brings back with the next read. Each check of a kernel has its own
place for the index, so that a site never reads the index of another, and a later kernel does not overwrite it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tabgrad.lower.dialect import FLAGS, I32, I64, U32, U64
from tabgrad.lower.ir import Node, Program
from tabgrad.lower.record import notes_errors, op_notes_errors
from tabgrad.lower.tokens import Size

if TYPE_CHECKING:
    from tabgrad.lower.emit import Emitter

ERRORS = -2
"""The key of the buffer of errors in the table of places, beside the ids of nodes."""
PLACES = 15
"""Checks of one kernel whose indices have places of their own."""
NBYTES = 4 + 8 * PLACES
"""The size of the buffer: a word for the site, two for each place."""


@dataclass(frozen=True)
class Site:
    """A check in a plan, recorded at raw node `origin`; `params` are the parameters of its op.

    It stands among the uniform words of a kernel, where a run puts the number that its device has for it.
    """

    origin: int
    params: Any
    bits: int
    signed: bool
    place: int

    @property
    def key(self) -> Any:
        """Everything in which it differs from other sites."""
        return (*self.params.values(), self.bits, self.signed, self.place)


def needed(p: Program) -> bool:
    """Test whether a program checks an index, in a loop or outside."""
    return any(notes_errors(n) or _loops(n.params.get("body")) for n in p.nodes)


def _loops(body: Any) -> bool:
    return body is not None and any(
        op_notes_errors(op) or _loops(params.get("body")) for op, params, _, _ in body.steps
    )


def emit(e: Emitter, n: Node, value: str, kind: str) -> str:
    """Emit the check of an index; return the index counted from the front."""
    d, params = e.d, n.params
    if not n.spec.size:
        # a value that is used for no element is not an index: it may stand before a loop of no turns
        return value
    size: Any = params["size"]
    wide = {I32: U32, I64: U64}.get(kind, kind)
    zero, end = ("0u", f"{Size(size)}") if wide == U32 else ("0ULL", f"{size}ULL")
    signed = wide != kind
    # counted from 0, a negative number is a huge one
    at = d.convert(value, kind, wide)
    if params["wraps"] and signed:
        at += f" + {d.choose(f'{value} < {d.literal(0, kind)}', end, zero)}"
    at = e.let(wide, at)
    test = f"{at} >= {end}"
    ignore: Any = params["ignore"]
    if ignore is not None and (signed or ignore >= 0):
        test = f"({test}) & ({value} != {d.literal(ignore, kind)})"
    flag(e, n, test, d.convert(value, kind, wide), wide, signed)
    return e.let(kind, d.convert(at, wide, kind)) if params["wraps"] else value


def note(e: Emitter, n: Node, test: str) -> None:
    """Emit a note in the buffer of errors that a number breaks the rule of `n`, where `test` holds."""
    if n.spec.size:
        flag(e, n, test, "0u", U32, False)


def flag(e: Emitter, n: Node, test: str, value: str, kind: str, signed: bool) -> None:
    """Emit the note of a value, of an unsigned type, in the buffer of errors where `test` holds."""
    place = e.checks % PLACES
    e.checks += 1
    site = Site(e.origin(n), n.params, 32 * e.d.words(kind), signed, place)
    word = e.word(("site", n.id), site, U32)
    e.line(f"if ({test}) {{")
    for statement in e.d.flag(buffer(e), 1 + 2 * place, value, kind, word):
        e.line(f"  {statement}")
    e.line("}")


def buffer(e: Emitter) -> str:
    """Bind the buffer of errors, and return the name of the binding."""
    return e.bind(e.places[ERRORS][0], "w", FLAGS)


__all__ = ["ERRORS", "NBYTES", "PLACES", "Site", "emit", "needed"]
