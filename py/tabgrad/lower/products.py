"""Tiled products: `shaders/kernels/matmul*.wgsl` with the reads of operands and the stores printed in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import float16
from tabgrad.lower import library, tiles
from tabgrad.lower.dialect import FOURS
from tabgrad.lower.dims import FIXED, VARYING, Names, dims_block
from tabgrad.lower.emit import Emitter
from tabgrad.lower.group import Group, operand_index, product_dims
from tabgrad.lower.index import Expr, condition, flatten, separate, text
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import TURNS, Kernel, grid_of
from tabgrad.lower.shared_tiles import SharedTile, Vectors
from tabgrad.lower.tiles import DirectTile
from tabgrad.lower.tokens import Size
from tabgrad.lower.variants import size_class
from tabgrad.lower.windows import PART, Cut

if TYPE_CHECKING:
    from tabgrad.lower.printer import KernelPrinter

Writer = Callable[[DirectTile | SharedTile, Names], tuple[str, int]]

SELDOM = 4
"""The assumed number of runs of a product whose large tile would take too long to compile."""
HOT = 1000
"""The assumed number of runs of a product whose tiles are measured."""


def tiled(
    printer: KernelPrinter, g: Group, e: Emitter, writes: list[Node], large: bool
) -> list[Kernel]:
    """Make the kernels of a product, several if a buffer is `large`; none where there are no tiles for it."""
    name = "matmul_direct" if printer.limits.software else "matmul"
    if printer.limits.tensor_cores:
        from tabgrad.lower.tensor_cores import product as on_tensor_cores

        return on_tensor_cores(printer, g, e, writes)
    if not printer.d.templates:
        return []
    b, m, n, k = product_dims(g.heavies[0])
    if large:
        e.cut = Cut(printer.windows, "b", b, 1) if b > 1 else Cut(printer.windows, "i", m, 1)
    product = TiledProduct(printer, g, e, writes, name)
    if e.cut is None:
        return [product.kernel((b, m, n, k))]
    made = []
    for part in printer.cut(e):
        e.cut.take(e, part, 0)
        made.append(product.kernel((part.count, m, n, k) if b > 1 else (b, part.count, n, k)))
    return made


def rewritten(made: Kernel, batch: int, write: Writer, tile: DirectTile | SharedTile) -> Kernel:
    """Make a product's kernel again with another tile, for its sizes alone."""
    source, groups = write(tile, FIXED)
    work = replace(made.work, count=batch * groups)
    return replace(made, source=source, grid=grid_of(batch * groups), work=work, again=None)


def windows_of(n: Node) -> Node | None:
    """Return the windows of an input that an operand is a view of, if it is one."""
    while n.family == "view" and n.name != "rewindow":
        n = n.srcs[0]
    return n if n.name == "rewindow" else None


class TiledProduct:
    """A matrix product fused with the prologues of its operands and the epilogue of its result.

    `blocks` are its functions, `hoisted` the operands whose index is split, `lies` says of each of these
    how its elements may be read four at a time, and `single` has the function that reads one of them.
    `windows` are those of the input of a convolution.
    """

    def __init__(
        self, printer: KernelPrinter, g: Group, e: Emitter, writes: list[Node], name: str
    ) -> None:
        self.printer, self.g, self.e, self.name = printer, g, e, name
        self.d = printer.d
        self.h = g.heavies[0]
        self.written = {printer.places[m.id][0] for m in writes}
        self.spare = printer.limits.buffers - len(
            self.written | {printer.places[i][0] for i in g.loads}
        )
        self.blocks: dict[str, str] = {}
        self.hoisted: list[str] = []
        self.lies = {"lhs": "", "rhs": ""}
        self.single: dict[str, str] = {}
        self.windows = windows_of(self.h.srcs[0]) or windows_of(self.h.srcs[1])
        for side, operand in zip(("lhs", "rhs"), self.h.srcs, strict=True):
            split = self.split(operand, side)
            self.blocks[f"load_{side}"] = split or self.operand(operand, side)
            self.hoisted += [side] if split else []
        self.blocks["store"] = self.epilogue(writes)

    def kernel(self, dims: tuple[int, int, int, int]) -> Kernel:
        """Make one dispatch for these sizes."""
        e, limits = self.e, self.printer.limits
        b, _, _, k = dims
        names = FIXED if limits.dynamic is None else VARYING
        tile = limits.decide("tile", lambda: self.tile(dims))
        if k // tile.depth > TURNS:
            tile = self.fixed(dims)
        write = self.writer(dims)
        source, groups = write(tile, names)
        e.count = b * groups
        made = self.printer.package(e, source, grid_of(e.count))
        if limits.later > limits.runs:
            better = self.tile(dims) if limits.choices else self.fixed(dims, limits.later)
            if (better != tile or names is not FIXED) and k // better.depth <= TURNS:
                made.again = functools.partial(rewritten, made, b, write, better)
        return made

    def writer(self, dims: tuple[int, int, int, int]) -> Writer:
        """Return a function that writes the text with a tile, and counts the workgroups of a batch entry."""
        e = self.e
        bindings = self.d.bindings(e.bindings()) + (PART if e.cut is not None else "")
        blocks, name = {**self.blocks, "bindings": bindings}, self.name
        hoisted, vectors, single = frozenset(self.hoisted), Vectors(**self.lies), self.single
        elem = self.d.types[self.d.compute_type(self.h.spec.dtype)]

        def write(tile: DirectTile | SharedTile, names: Names) -> tuple[str, int]:
            text, groups = tiles.written(tile, dims, hoisted, names, vectors)
            its = {**blocks, "dims": dims_block(dims, names), "tile": text}
            if isinstance(tile, DirectTile):
                its |= {block: its[block] + more for block, more in single.items()}
            return library.kernel(name).with_blocks(its, elem), groups

        return write

    def tile(self, dims: tuple[int, int, int, int]) -> DirectTile | SharedTile:
        """Choose the tile: as measured on the adapter, else the fixed one."""
        form = "".join(
            lies[:1] or ("-" if side in self.hoisted else "~") for side, lies in self.lies.items()
        )
        sizes = " ".join(str(size_class(n)) for n in dims)
        limits, pairs = self.printer.limits, self.h.spec.dtype.is_complex
        half = all(s.spec.dtype is float16 for s in self.h.srcs)
        question, windows = f"product {self.h.spec.dtype.name} {sizes} {form}", self.windows
        if windows is not None:
            its: Any = windows.params
            steps = ("x".join(map(str, its[k])) for k in ("sizes", "strides", "dilations"))
            question = f"convolution {self.h.spec.dtype.name} {sizes} {form} {' '.join(steps)}"
        return limits.pick(
            question,
            self.h.origin,
            lambda: tiles.variants(
                self.name, dims, limits.quads, HOT, pairs, half, windows is not None
            ),
            lambda: self.fixed(dims),
            lambda: tiles.direct_forms(dims, limits.quads, HOT, pairs),
        )

    def fixed(self, dims: tuple[int, int, int, int], runs: int = 0) -> DirectTile | SharedTile:
        """Choose a tile by estimates, for as many `runs` as are expected by default."""
        limits, pairs = self.printer.limits, self.h.spec.dtype.is_complex
        runs = runs or limits.runs
        # an operand read through conditions is inlined at every load of the tile: large ones never compile
        runs = runs if len(self.hoisted) == 2 else min(runs, SELDOM)
        if dims[1] == 1 and self.windows is not None and self.name == "matmul":
            # a row for each group of channels: most of a tile of workgroup memory would be empty
            return tiles.direct_windows(dims)[0]
        return tiles.chosen(self.name, dims, limits.quads, runs, pairs)

    def split(self, n: Node, side: str) -> str:
        """Write the functions that read an operand at an index of two parts, if it is a sum of such parts.

        One part is that of the row (or column) and one that of the step of k: a thread computes the first
        once. The index is followed by the tests of views that pad, each a sum that must be less than a size.
        """
        e, stored = self.e, self.printer.stored
        index: tuple[Expr, ...] = operand_index(self.h, side == "rhs")
        tests: list[tuple[Expr, int]] = []
        while n.family == "view" and n.id not in stored:
            index, conditions = n.op.index(index, n.srcs[0].shape, **n.params)
            tests += [
                (c - lo, hi - lo) for c, lo, hi in conditions if condition(c, lo, hi) is not True
            ]
            n = n.srcs[0]
        if n.id not in stored or len(tests) > 3:
            return ""
        own, other = ("i", "row") if side == "lhs" else ("j", "column")
        place = flatten(index, n.shape) + self.printer.places[n.id][1]
        parts = [separate(c, own, "k") for c in (place, *(c for c, _ in tests))]
        if None in parts:
            return ""
        e.noted(n, place)
        self.lies[side] = "" if tests else self.wide(n, place, own)
        if self.lies[side]:
            name = e.bind_fours(self.printer.places[n.id][0], n.spec.dtype)
        else:
            name, _ = e.buffer(n, "r")
        kind = f"vec{len(parts)}u" if tests else "u32"
        at = f"({other} + step).x" if tests else f"{other} + step"
        at += e.shift(n)
        result = "elem"
        if self.lies[side]:
            result, read = "vec4<elem>", f"vec4<elem>({name}[({at}) / 4u])"
            one = f"elem({name}[({at}) / 4u][({at}) % 4u])"
        else:
            read = self.d.load(name, at, n.spec.dtype)
        if tests:
            # If a test fails, the index is arbitrary; a load from outside of a buffer is harmless.
            # not `&&`: each would be a branch
            inside = (
                f"(({other} + step).{'yzw'[i]} < {Size(size)})" for i, (_, size) in enumerate(tests)
            )
            read = f"select(elem(), {read}, {' & '.join(inside)})"
        order = (
            f"{other}: {kind}, step: {kind}" if side == "lhs" else f"step: {kind}, {other}: {kind}"
        )
        first = ", ".join(
            e.position(n, p[0], place, text) if i == 0 else text(p[0])
            for i, p in enumerate(parts)
            if p
        )
        second = ", ".join(text(p[1]) for p in parts if p)
        if self.lies[side]:
            self.single[f"load_{side}"] = f"fn load_{side}({order}) -> elem {{ return {one}; }}\n"
        return (
            f"{e.head(f'{side}_{other}', 'b', own, result=kind)} return {kind}({first}); }}\n"
            f"{e.head(f'{side}_step', 'b', 'k', result=kind)} return {kind}({second}); }}\n"
            f"fn load_{side}{'_four' * bool(self.lies[side])}({order}) -> {result} {{ return {read}; }}\n"
        )

    def wide(self, n: Node, place: Expr, own: str) -> str:
        """Say along what four elements at a time may be read at `place`: "across" rows of lhs (or columns of
        rhs), along the "inner" dimension, or "" for neither.

        Four neighbours must lie in one vector of the buffer wherever they begin, and inside of the operand
        or outside together, whatever the size of the buffer.
        """
        slot = self.printer.places[n.id][0]
        sizes = dict(zip("bijk", product_dims(self.h), strict=True))
        if (
            self.name != "matmul" or n.spec.dtype not in FOURS or n.shift >= 0 or self.e.cut is not None
            or slot in self.printer.windows or slot in self.written or self.spare < 2 or place.const % 4
        ):  # fmt: skip
            return ""
        for variable, lies in (("k", "inner"), (own, "across")):
            along = [(a, c) for a, c in place.terms if variable in a.names]
            others = [c for a, c in place.terms if variable not in a.names]
            one = len(along) == 1 and along[0][0].of is None and along[0][1] == 1
            if one and sizes[variable] % 4 == 0 and not any(c % 4 for c in others):
                return lies
        return ""

    def operand(self, n: Node, side: str) -> str:
        """Write the function that reads one element of an operand."""
        e, index = self.e, operand_index(self.h, side == "rhs")
        body = e.function(lambda: f"return {e.value(n, index)};")
        head = e.head(f"load_{side}", *("bik" if side == "lhs" else "bkj"), result="elem")
        return f"{head}\n{body}}}\n"

    def epilogue(self, writes: list[Node]) -> str:
        """Write the function that takes one finished element."""
        e, g, h = self.e, self.g, self.h

        def emit() -> str:
            e.scope.values[h.id, g.index[h.id]] = self.d.narrow("acc", h.spec.dtype)
            self.printer.write(g, e, writes)
            return ""

        return f"{e.head('store', *'bij', more='acc: elem')}\n{e.function(emit)}}}\n"
