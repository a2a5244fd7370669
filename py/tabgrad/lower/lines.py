"""Ops with a loop of their own: placing by index, running combinations, ranks.

Each printer emits what one thread does. Lines along the op's axis are walked by one thread in order, so
results never depend on timing: reruns are bit-identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.shape import without
from tabgrad.lower.dialect import U32, Dialect
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import Expr, text, unflatten, var
from tabgrad.lower.ir import Node

Printer = Callable[[Dialect, Node, Emitter, int], None]
PRINTERS: dict[str, Printer] = {}


def printer(*names: str) -> Callable[[Printer], Printer]:
    """Register what prints the ops called `names`."""

    def add(fn: Printer) -> Printer:
        PRINTERS.update(dict.fromkeys(names, fn))
        return fn

    return add


def threads_of(n: Node) -> int:
    """Return how many threads the op takes: one a line, or one an element to rank."""
    axis: Any = n.params["axis"]
    return n.spec.size if n.name == "argsort" else math.prod(without(n.shape, (axis,)))


def line_index(n: Node, count: int, at: Expr) -> tuple[Expr, ...]:
    """Return the index of element `at` of line `g`."""
    axis: Any = n.params["axis"]
    outer = unflatten(var("g", count), without(n.shape, (axis,)))
    return (*outer[:axis], at, *outer[axis:])


@printer("scatter", "scatter_add")
def scatter(d: Dialect, n: Node, e: Emitter, count: int) -> None:
    """Copy the line of the target, then place the elements of the source in order."""
    axis: Any = n.params["axis"]
    x, index, _ = n.srcs
    size = x.shape[axis]
    e.open(d.loop("t", "0u", f"{size}u", "1u"), "t")
    at = line_index(n, count, var("t", size))
    e.store(n, at, e.value(x, at))
    e.close()
    place_sources(d, n, e, count, "0u", f"{index.shape[axis]}u")


def place_sources(d: Dialect, n: Node, e: Emitter, count: int, start: str, stop: str) -> None:
    """Place the elements of the source from `start` on, one after the other."""
    axis: Any = n.params["axis"]
    _, index, src = n.srcs
    size = n.shape[axis]
    e.open(d.loop("s", start, stop, "1u"), "s")
    place = line_index(n, count, var("s", index.shape[axis]))
    spot = d.convert(e.value(index, place), d.compute_type(index.spec.dtype), U32)
    to = e.opaque(n, spot, size)
    value = e.value(src, place)
    e.open(f"if ({text(to)} < {size}u) {{", guarded=True)
    target = line_index(n, count, to)
    if n.name == "scatter_add":
        sign = "||" if n.spec.dtype is dt.bool_ else "+"
        value = d.narrow(f"({e.reload(n, target)} {sign} {value})", n.spec.dtype)
    e.store(n, target, value)
    e.close()
    e.close()


def walk(d: Dialect, n: Node, e: Emitter, count: int) -> tuple[Expr, tuple[Expr, ...]]:
    """Open the loop along a line; return the step and the index of the element, from the end if reversed."""
    axis: Any = n.params["axis"]
    size = n.shape[axis]
    step = var("t", size)
    e.open(d.loop("t", "0u", f"{size}u", "1u"), "t")
    at = (size - 1) - step if n.params.get("reverse") else step
    return step, line_index(n, count, at)


@printer("cumsum", "linear_scan", "logcumsumexp")
def running(d: Dialect, n: Node, e: Emitter, count: int) -> None:
    """A running sum, recurrence or log-sum-exp."""
    kind = d.compute_type(n.spec.dtype)
    start = -math.inf if n.name == "logcumsumexp" else 0
    e.line(d.var("acc", kind, d.literal(start, kind)))
    _, at = walk(d, n, e, count)
    value = e.value(n.srcs[-1], at)
    if n.name == "cumsum":
        e.line(f"acc = acc + {value};")
    elif n.name == "linear_scan":
        first = d.literal(0, kind)
        e.line(
            f"if (t == 0u) {{ acc = {first}; }} else {{ acc = {e.value(n.srcs[0], at)} * acc; }}"
        )
        e.line(f"acc = acc + {value};")
    else:
        e.line(f"acc = logaddexp_{kind}(acc, {value});")
    e.line(f"acc = {d.narrow('acc', n.spec.dtype)};")
    e.store(n, at, "acc")
    e.close()


@printer("running_extreme")
def running_extreme(d: Dialect, n: Node, e: Emitter, count: int) -> None:
    """The place of the extreme so far: of ties the latest, and a nan stays."""
    (x,) = n.srcs
    kind = d.compute_type(x.spec.dtype)
    sign = "<=" if n.params["least"] else ">="
    e.line(d.var("best", kind, d.literal(0, kind)))
    e.line(d.var("place", U32, "0u"))
    _, at = walk(d, n, e, count)
    value = e.value(x, at)
    if x.spec.dtype is dt.bool_:
        wins = f"(!{value} || best)" if n.params["least"] else f"({value} || !best)"
    else:
        wins = f"{value} {sign} best"
    if x.spec.dtype.is_floating_point:
        wins += f" || is_nan({value})"
    e.line(f"if (t == 0u || {wins}) {{ best = {value}; place = t; }}")
    e.store(n, at, d.convert("place", U32, d.compute_type(n.spec.dtype)))
    e.close()


@printer("argsort")
def argsort(d: Dialect, n: Node, e: Emitter, count: int) -> None:
    """The rank of an element is how many come before it; equal ones keep their order."""
    axis: Any = n.params["axis"]
    (x,) = n.srcs
    size = x.shape[axis]
    index = unflatten(var("g", count), x.shape)
    mine = e.value(x, index)
    e.line(d.var("rank", U32, "0u"))
    e.line(d.let("own", U32, text(index[axis])))
    e.open(d.loop("t", "0u", f"{size}u", "1u"), "t")
    other = e.value(x, tuple(var("t", size) if i == axis else q for i, q in enumerate(index)))
    e.line(f"if ({_before(n, other, mine)}) {{ rank = rank + 1u; }}")
    e.close()
    rank = e.opaque(n, "rank", size)
    target = tuple(rank if i == axis else q for i, q in enumerate(index))
    e.store(n, target, d.convert("own", U32, d.compute_type(n.spec.dtype)))


def _before(n: Node, other: str, mine: str) -> str:
    """Return the test whether `other` at t comes before `mine` at `own`; a nan counts as the largest."""
    dtype = n.srcs[0].spec.dtype
    down = bool(n.params["descending"])
    same = f"({other} == {mine})"
    if dtype is dt.bool_:
        less = f"({other} && !{mine})" if down else f"(!{other} && {mine})"
    else:
        less = f"({other} {'>' if down else '<'} {mine})"
    if dtype.is_floating_point:
        a, b = (other, mine) if down else (mine, other)
        less = f"({less} || (is_nan({a}) && !is_nan({b})))"
        same = f"({same} || (is_nan({other}) && is_nan({mine})))"
    return f"{less} || ({same} && t < own)"
