"""Reductions of long rows in two steps: of parts of each row, and then of what the parts have given.

A row that the number of parts does not divide is filled up for sums and products. For a maximum, and all
others that many equal elements do not change, its parts overlap instead, which costs no test at each element.
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.spec import Params, spec
from tabgrad.lower.ir import FULL, Node, Program
from tabgrad.lower.kernel import TURNS
from tabgrad.lower.simplify import Rule, apply, rule
from tabgrad.lower.taps import reaching
from tabgrad.lower.variants import size_class, steps_of

LONG_ROW = 4096
"""Reductions of a few rows longer than this are done in two steps."""
FEW_ROWS, FEW_SOFTWARE = 256, 31
"""So many rows are few; where a processor does the GPU's work, its cores have enough in fewer."""
FAR_ROW = 1 << 20
"""Longer rows are never left to one workgroup, because the turns of a thread are limited (`kernel.TURNS`)."""
LONG_COLUMN = 1024
"""Columns of this length are done in two steps on a GPU, where neighbouring threads have neighbouring ones."""
MANY_COLUMNS = 1 << 14
"""So many columns keep a GPU busy with a thread each."""
COLUMN_THREADS = 1 << 16
"""The threads that parts of columns are to have together."""
SHORT_PART = 64
"""The fewest elements of a part of a column."""
MOST_PARTS = 1024
IDEMPOTENT = frozenset(
    (
        "argmax",
        "argmin",
        "first_max",
        "peak",
        "reduce_all",
        "reduce_any",
        "reduce_max",
        "reduce_min",
    )
)
"""Reductions of which many equal elements give that element, or the place of the first."""
ZERO, ONE = -1, -2
"""The numbers of constants, see `Plan.uniforms`."""


def _unit(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
    """Replace a reduction of axes of size 1 by a reshape."""
    (x,) = srcs
    axes: Any = params["axes"]
    if all(x.shape[a] == 1 for a in axes):
        return apply(
            p, "reshape", x, shape=tuple(n for i, n in enumerate(x.shape) if i not in axes)
        )
    return None


def _two_steps(name: str) -> Rule:
    def split(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
        """Reduce long rows in parts, and then reduce the results."""
        unit = _unit(p, params, srcs)
        if unit is not None:
            return unit
        (x,) = srcs
        axes: Any = params["axes"]
        fewer = (
            reaching(p, apply, x, axes)
            if name == "reduce_sum" and x.name == "unwindow" and axes
            else None
        )
        if fewer is not None:
            return apply(p, name, fewer, axes=axes)
        row = math.prod(x.shape[a] for a in axes)
        if name in IDEMPOTENT and _is_uniform(x) and p.decide("filled row", lambda: row > 0):
            return _first_along(p, x, axes)
        found = _parted(p, name, x, axes)
        if found is None:
            return None
        parts, axis, _ = found
        first = apply(p, name, parts, axes=(axis + 1,))
        return apply(p, name, first, axes=(axis,))

    return split


def _is_uniform(x: Node, depth: int = 8) -> bool:
    """Whether `x` is computed of constants alone, so that all its elements are equal."""
    if x.op is None or not depth:
        return False
    uniform = x.op is FULL or x.op.family == "elementwise"
    return uniform and all(_is_uniform(s, depth - 1) for s in x.srcs)


def _first_along(p: Program, x: Node, axes: tuple[int, ...]) -> Node:
    """Take the first element along the axes.

    Compilers unroll the loop over a constant, and Mesa's then takes exponential time for what uses its result.
    """
    stops = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    none = (0,) * len(stops)
    first = apply(p, "slice", x, starts=none, stops=stops, steps=(1,) * len(stops))
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return apply(p, "reshape", first, shape=shape)


# -- parts -----------------------------------------------------------------------------------------


def _parted(p: Program, name: str, x: Node, axes: tuple[int, ...]) -> tuple[Node, int, int] | None:
    """Lay the parts of the rows of `x` side by side, if rows are reduced in two steps.

    Returns a view of `x`, in which two axes take the place of the reduced ones, the first of the two, and how
    far the parts lie apart.
    """
    row = math.prod(x.shape[a] for a in axes)
    rows = math.prod(x.shape) // max(row, 1)
    pays = row > LONG_ROW and rows <= (FEW_SOFTWARE if p.software else FEW_ROWS)
    if p.decide("long row", lambda: pays) or row > FAR_ROW:
        inner = row // max(x.shape[axes[0]], 1)
        parts = fixed = _number_of_parts(p, row, inner)
        if pays and row <= FAR_ROW:
            question = f"parts of a {name} {size_class(rows)} {size_class(row, FAR_ROW)}"
            parts = p.pick(question, p.origin, lambda: steps_of(row, fixed), lambda: fixed)
        return _cut(p, name, _rows_of(p, x, axes), _joined_axis(x, axes), parts)
    columns = len(axes) == 1 and row >= LONG_COLUMN and FEW_ROWS < rows < MANY_COLUMNS
    apart = columns and max(i for i, n in enumerate(x.shape) if n > 1) != axes[0]
    wanted = apart and not p.software and name != "peak" and not _has_peak(x, axes)
    if not p.decide("long column", lambda: wanted) or len(axes) > 1:
        return None
    return _cut(p, name, x, axes[0], _parts_of_column(row, rows))


def _has_peak(x: Node, axes: tuple[int, ...], depth: int = 8) -> bool:
    """Whether `x` reads the peak of the same columns, with which a softmax and its like are one kernel."""
    sources = x.srcs if depth and x.family in ("elementwise", "view") else ()
    peak = x.name == "peak" and x.params["axes"] == axes
    return peak or any(_has_peak(s, axes, depth - 1) for s in sources)


def _joined_axis(x: Node, axes: tuple[int, ...]) -> int:
    """Find the axis that `_rows_of` joins the reduced ones into."""
    return len(x.shape) - len(axes)


def _rows_of(p: Program, x: Node, axes: tuple[int, ...]) -> Node:
    """Join the reduced axes of `x` into one, behind the others."""
    keep = tuple(i for i in range(len(x.shape)) if i not in axes)
    lead = tuple(x.shape[i] for i in keep)
    turned = apply(p, "permute", x, dims=(*keep, *axes))
    return apply(p, "reshape", turned, shape=(*lead, math.prod(x.shape[a] for a in axes)))


def _number_of_parts(p: Program, row: int, inner: int) -> int:
    """Choose into how many parts to cut a row, if possible a divisor of `inner`, its inner axes, or of it."""
    most = min(math.isqrt(row), MOST_PARTS)
    least = max(16, most // 4)
    sizes = range(most, min(least, most) - 1, -1)
    equal = next((d for whole in (inner, row) for d in sizes if whole % d == 0), 0)
    if p.decide("equal parts", lambda: equal > 0) and equal:
        return equal
    return _nearly_equal(row, most)


def _parts_of_column(row: int, columns: int) -> int:
    """Choose into how many parts to cut each of so many columns."""
    most = max(1, min(row // SHORT_PART, COLUMN_THREADS // columns, MOST_PARTS))
    return next((d for d in range(most, most // 2, -1) if row % d == 0), _nearly_equal(row, most))


def _nearly_equal(row: int, most: int) -> int:
    """Choose the number of parts that leaves the smallest rest."""
    return min(range(most, most // 2, -1), key=lambda d: row % d)


def _cut(p: Program, name: str, x: Node, axis: int, parts: int) -> tuple[Node, int, int] | None:
    """Cut an axis into `parts`; None if that is one."""
    if parts <= 1:
        return None
    lead, row, tail = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    step = row // parts
    if row % parts and name in IDEMPOTENT:
        return _overlapping(p, x, axis, parts, step), axis, step
    if row % parts:
        step += 1
        x = _filled(p, name, x, axis, parts * step - row)
    return apply(p, "reshape", x, shape=(*lead, parts, step, *tail)), axis, step


def _overlapping(p: Program, x: Node, axis: int, parts: int, step: int) -> Node:
    """Cut an axis into parts that begin at each multiple of `step`, and are long enough for the last one."""
    rank, row = len(x.shape), x.shape[axis]
    size = row - step * (parts - 1)
    others = tuple(i for i in range(rank) if i != axis)
    x = apply(p, "permute", x, dims=(*others, axis))
    lead = x.shape[:-1]
    x = apply(p, "reshape", x, shape=(*lead, row, 1))
    x = apply(p, "expand", x, shape=(*lead, row, size))
    x = apply(p, "rewindow", x, sizes=(size,), strides=(step,), dilations=(1,))
    back = (*range(axis), rank - 1, rank, *range(axis, rank - 1))
    return apply(p, "permute", x, dims=back)


def _filled(p: Program, name: str, x: Node, axis: int, more: int) -> Node:
    """Make an axis longer by what changes no sum or product."""
    if name == "reduce_sum":
        none = (0,) * len(x.shape)
        high = tuple(more if i == axis else 0 for i in range(len(x.shape)))
        return apply(p, "pad", x, low=none, high=high, interior=none)
    ones = tuple(more if i == axis else n for i, n in enumerate(x.shape))
    return apply(p, "cat", x, p.constant(ONE, spec(ones, x.spec.dtype)), axis=axis)


# -- places of extremes ----------------------------------------------------------------------------


def _place(name: str, extreme: str) -> Rule:
    def split(p: Program, params: Params, srcs: tuple[Node, ...]) -> Node | None:
        """Find the first of the parts with the extreme of a long row, and take the place found in that part."""
        (x,) = srcs
        axes: Any = params["axes"]
        # one more kernel costs a software adapter more than shorter rows on all of its cores save
        few = p.software and x.shape[axes[0]] <= TURNS
        found = None if few else _parted(p, name, x, axes)
        if found is None:
            return None
        parts, axis, step = found
        dtype: Any = params["dtype"]
        best = apply(p, extreme, parts, axes=(axis + 1,))
        at = apply(p, name, parts, axes=(axis + 1,), dtype=dtype)
        first = apply(p, name, best, axes=(axis,), dtype=dtype)
        return _chosen(p, at, first, axis, step)

    return split


def _chosen(p: Program, at: Node, first: Node, axis: int, step: int) -> Node:
    """Take the place `at` in the part that `first` says, and add where that part begins."""
    shape, dtype = at.shape, at.spec.dtype
    number = apply(p, "counting", p.constant(ZERO, spec((), dtype)), size=shape[axis], dtype=dtype)
    line = tuple(n if i == axis else 1 for i, n in enumerate(shape))
    number = apply(p, "expand", apply(p, "reshape", number, shape=line), shape=shape)
    ones = tuple(1 if i == axis else n for i, n in enumerate(shape))
    chosen = apply(p, "expand", apply(p, "reshape", first, shape=ones), shape=shape)
    here = apply(p, "eq", number, chosen)
    begin = apply(p, "mul", number, p.constant(-1 - step, spec(shape, dtype)))
    place = apply(p, "add", begin, at)
    place = apply(p, "where", here, place, p.constant(ZERO, spec(shape, dtype)))
    return apply(p, "reduce_sum", place, axes=(axis,))


rule("argmax")(_place("argmax", "reduce_max"))
rule("argmin")(_place("argmin", "reduce_min"))
for _name in ("sum", "prod", "max", "min", "any", "all"):
    rule(f"reduce_{_name}")(_two_steps(f"reduce_{_name}"))
for _name in ("peak", "first_max"):
    rule(_name)(_two_steps(_name))


__all__: list[str] = []
