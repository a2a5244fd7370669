"""Tiled products: `shaders/kernels/matmul*.wgsl` with the reads of operands and the stores printed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.lower import library, tiles
from tabgrad.lower.emit import Emitter
from tabgrad.lower.group import Group, operand_index, product_dims
from tabgrad.lower.index import Expr, condition, flatten, separate, text
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import TURNS, Kernel, grid_of
from tabgrad.lower.tokens import Size
from tabgrad.lower.windows import PART, Cut

if TYPE_CHECKING:
    from tabgrad.lower.printer import KernelPrinter

SELDOM = 4
"""The assumed number of runs of a product whose large tile would take too long to compile."""


def tiled(
    printer: KernelPrinter, g: Group, e: Emitter, writes: list[Node], large: bool
) -> list[Kernel]:
    """Make the kernels of a product, several if a buffer is `large`; none in a language without tiles."""
    name = "matmul_direct" if printer.limits.software else "matmul"
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


class TiledProduct:
    """A matrix product fused with the prologues of its operands and the epilogue of its result.

    `blocks` are its functions, `hoisted` the operands whose index is split.
    """

    def __init__(
        self, printer: KernelPrinter, g: Group, e: Emitter, writes: list[Node], name: str
    ) -> None:
        self.printer, self.g, self.e, self.name = printer, g, e, name
        self.d = printer.d
        self.h = g.heavies[0]
        self.blocks: dict[str, str] = {}
        self.hoisted: list[str] = []
        for side, operand in zip(("lhs", "rhs"), self.h.srcs, strict=True):
            split = self.split(operand, side)
            self.blocks[f"load_{side}"] = split or self.operand(operand, side)
            self.hoisted += [side] if split else []
        self.blocks["store"] = self.epilogue(writes)

    def kernel(self, dims: tuple[int, int, int, int]) -> Kernel:
        """Make one dispatch for these sizes."""
        e, limits, name = self.e, self.printer.limits, self.name
        b, _, _, k = dims
        names = tiles.FIXED if limits.dynamic is None else tiles.VARYING
        bindings = self.d.bindings(e.bindings()) + (PART if e.cut is not None else "")
        blocks = {**self.blocks, "dims": tiles.dims_block(dims, names), "bindings": bindings}
        hoisted = frozenset(self.hoisted)
        # an operand read through conditions is inlined at every load of the tile: large ones never compile
        runs = limits.runs if len(hoisted) == 2 else min(limits.runs, SELDOM)
        pairs = self.h.spec.dtype.is_complex
        tile = limits.decide("tile", lambda: tiles.chosen(name, dims, limits.quads, runs, pairs))
        if k // tile.depth > TURNS:
            tile = tiles.chosen(name, dims, limits.quads, runs, pairs)
        blocks["tile"], groups = tiles.written(tile, dims, hoisted, names)
        elem = self.d.types[self.d.compute_type(self.h.spec.dtype)]
        source = library.kernel(name).with_blocks(blocks, elem)
        e.count = b * groups
        return self.printer.package(e, source, grid_of(e.count))

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
        parts = [separate(c, own, "k") for c in (flatten(index, n.shape), *(c for c, _ in tests))]
        if None in parts:
            return ""
        name, offset = e.buffer(n, "r")
        e.noted(n, flatten(index, n.shape) + offset)
        kind = f"vec{len(parts)}u" if tests else "u32"
        place = f"({other} + step).x" if tests else f"{other} + step"
        read = self.d.load(
            name, place + (f" + {Size(offset)}" if offset else "") + e.shift(n), n.spec.dtype
        )
        if tests:
            # If a test fails, the index is arbitrary; a load from outside of a buffer is harmless.
            inside = (
                f"({other} + step).{'yzw'[i]} < {Size(size)}" for i, (_, size) in enumerate(tests)
            )
            read = f"select(elem(), {read}, {' && '.join(inside)})"
        order = (
            f"{other}: {kind}, step: {kind}" if side == "lhs" else f"step: {kind}, {other}: {kind}"
        )
        first = ", ".join(
            e.place(p[0], text) if i == 0 else text(p[0]) for i, p in enumerate(parts) if p
        )
        second = ", ".join(text(p[1]) for p in parts if p)
        return (
            f"{e.head(f'{side}_{other}', 'b', own, result=kind)} return {kind}({first}); }}\n"
            f"{e.head(f'{side}_step', 'b', 'k', result=kind)} return {kind}({second}); }}\n"
            f"fn load_{side}({order}) -> elem {{ return {read}; }}\n"
        )

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
