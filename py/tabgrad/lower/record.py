"""Records: the lowering of each op with a loop of its own, from its file in `lower/kernels`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import RegistryError
from tabgrad.core.op import REGISTRY, USER_KERNEL, Op
from tabgrad.core.several import Part
from tabgrad.lower.index import Expr
from tabgrad.lower.ir import Node, Program

if TYPE_CHECKING:
    from tabgrad.lower.emit import Emitter
    from tabgrad.lower.kernel import Kernel
    from tabgrad.lower.printer import KernelPrinter
    from tabgrad.lower.routines import Call

Index = tuple[Expr, ...]
Scratch = Callable[[int], int]
Refusal = Callable[..., "Exception | None"]


def _always(n: Node) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Record:
    """The lowering of one op to kernels.

    Inlined, where its elements are needed, unless it is `heavy`:
    - `sources(n, index)` says which elements of its sources element `index` is made of, and
      `element(e, n, index, kind)` prints it;
    - `weight` is roughly how many instructions that takes; `blocks` says that the sources are read in blocks,
      each under a condition; `checks` that it notes indices in the buffer of errors; `alone` that it is stored
      all the same; `buried` is how much its first source may weigh and still be computed inside.

    A kernel of its own:
    - `line(e, n, count)` prints what thread `g` of the `threads(n)` does;
    - `passes(printer, n, scratch)` returns several dispatches, or none where `line` does it; `scratch` makes a
      buffer of so many bytes;
    - `routine(p, n)` returns the call of a host's library in the place of `n`, None where a kernel is better;
      `printed(p, n, limits)` is asked before, whether one is better on this device; `joined(p, n, call,
      limits)` may return a call that does more, and the node that it computes besides;
    - `pieces`: its sources are written straight to where they lie in it, and there is no kernel;
    - `adds_up`: it adds or multiplies in several steps, in float32 where it is given half precision.

    `refusal(op, specs, params, dialect, limits)` returns the error of what a device can't compute, or None;
    it is raised where the op is called.

    Of an op with several results `n` is the first one, whichever are wanted, so that the threads are a fact of
    the call; `results(e, n)` are those with a place.
    """

    op: str
    heavy: Callable[[Node], bool] = _always
    weight: int = 0
    blocks: bool = False
    checks: bool = False
    alone: Callable[[Node], bool] | None = None
    buried: int | None = None
    sources: Callable[[Node, Index], list[tuple[Node, Index]]] | None = None
    element: Callable[[Emitter, Node, Index, str], str] | None = None
    threads: Callable[[Node], int] | None = None
    line: Callable[[Emitter, Node, int], None] | None = None
    passes: Callable[[KernelPrinter, Node, Scratch], list[Kernel]] | None = None
    routine: Callable[[Program, Node], tuple[Node, Call] | None] | None = None
    printed: Callable[[Program, Node, Any], bool] | None = None
    joined: Callable[[Program, Node, Call, Any], tuple[Call, Node | None]] | None = None
    pieces: bool = False
    adds_up: bool = False
    refusal: Refusal | None = None


CHEAP = 3
"""The most instructions of a value that is computed again rather than stored."""

RECORDS: dict[str, Record] = {}
"""The records by the name of the op."""


def register(*records: Record) -> None:
    """Add records; raise RegistryError for one that there is, or that says of no way to lower the op."""
    for r in records:
        if r.op in RECORDS:
            raise RegistryError(f"{r.op}: its lowering is registered already")
        if r.element is None and r.line is None and r.passes is None and r.routine is None:
            raise RegistryError(
                f"{r.op}: a record of lowering needs `element`, `line`, `passes` or `routine`"
            )
        if (r.line is None) != (r.threads is None):
            raise RegistryError(f"{r.op}: `line` and `threads` go together")
        if (r.element is None) != (r.sources is None):
            raise RegistryError(f"{r.op}: `element` needs `sources`, and these it")
        RECORDS[r.op] = r


def check(op: Op) -> None:
    """Raise RegistryError for an op of the kernel family without a record; note if devices may refuse it."""
    if op.family != "kernel":
        return
    room = None if op.lowering in RECORDS else REGISTRY.room_of(op.lowering)
    if room is not None:
        import_module(f"tabgrad.lower.kernels.{room.rpartition('.')[2]}")
    if op.lowering in RECORDS:
        op.may_be_refused = RECORDS[op.lowering].refusal is not None
    else:
        raise RegistryError(
            f"{op.name}: an op of the kernel family needs a record of its lowering; register one in "
            "tabgrad/lower/kernels"
        )


def check_names() -> None:
    """Raise RegistryError for a record of no op."""
    known = {USER_KERNEL, *REGISTRY.rooms, *(op.lowering for op in REGISTRY.ops.values())}
    for name in RECORDS:
        if name not in known:
            raise RegistryError(f"{name}: has a record of its lowering, but no op has this name")


def record_of(n: Node) -> Record | None:
    """Find the record of a node's op, None for an op that its family lowers."""
    return None if n.op is None else RECORDS.get(n.op.lowering)


def call_of(n: Node) -> Node:
    """Find the node that a record is asked about: the first result of an op with several, else `n` itself.

    Where nobody wants that result the node is made up, and has no place.
    """
    if not isinstance(n.op, Part) or not n.op.index:
        return n
    first = n.op.several.parts[0]
    found = next((m for m in n.siblings if m.op is first), None)
    if found is None:
        found = Node(
            -1, first, n.params, n.srcs, first.infer(tuple(s.spec for s in n.srcs), n.params), -1
        )
        found.origin, found.siblings = n.origin, n.siblings
    return found


def results(e: Emitter, n: Node) -> list[Node | None]:
    """List the results of an op with several, None for those that nobody wants."""
    op: Any = n.op
    found: list[Node | None] = [None] * op.several.results
    for m in n.siblings:
        if m.id in e.places:
            found[m.op.index] = m
    return found


def notes_errors(n: Node) -> bool:
    """Test whether a node writes to the buffer of errors."""
    return n.op is not None and op_notes_errors(n.op)


def op_notes_errors(op: Op) -> bool:
    """Test whether an op writes to the buffer of errors."""
    record = RECORDS.get(op.lowering)
    return record is not None and record.checks
