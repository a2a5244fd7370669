"""Products on the tensor cores of CUDA devices: `shaders/lib/tensor.cu` with operands and stores printed in.

Operands in half precision are multiplied as they are and added up in float32; float32 operands are rounded to
tf32, which `set_float32_matmul_precision` must allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.lower.dialect import U32
from tabgrad.lower.emit import Emitter
from tabgrad.lower.group import Group, operand_index, product_dims
from tabgrad.lower.index import Expr, condition, flatten
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel, grid_of
from tabgrad.lower.limits import Limits
from tabgrad.lower.tokens import Size

if TYPE_CHECKING:
    from tabgrad.lower.printer import KernelPrinter

KINDS = {dt.float16: "tensor_f16", dt.bfloat16: "tensor_bf16", dt.float32: "tensor_tf32"}
BITS = {dt.float16: "f16_bits_from_f32({})", dt.bfloat16: "bf16_bits_from_f32({})"}
LEAST = 16
"""The least size of each dimension: below, most of a tile would be empty."""
MANY = 128
"""So many large tiles keep a device busy: about as many as it has multiprocessors."""


@dataclass(frozen=True)
class Tile:
    """The results that a workgroup computes, and how many warps share them down and across."""

    rows: int
    columns: int
    down: int
    across: int

    @property
    def threads(self) -> int:
        """The threads of a workgroup."""
        return 32 * self.down * self.across

    def groups(self, m: int, n: int) -> int:
        """Count the workgroups of one product."""
        return math.ceil(m / self.rows) * math.ceil(n / self.columns)


SMALL, LARGE = Tile(64, 64, 2, 2), Tile(128, 128, 2, 4)


@dataclass(frozen=True)
class Side:
    """How an operand is read: `source` is its lambda; if `wide`, 16 bytes at a time; what lies side by side are
    rows of lhs, or columns of rhs, if `across`, else steps of k."""

    source: str
    across: bool
    wide: bool

    @property
    def arguments(self) -> str:
        """The template arguments."""
        return f"{str(self.across).lower()}, {str(self.wide).lower()}"


def suits(h: Node, limits: Limits) -> bool:
    """Test whether the tensor cores compute a product: large enough, and in a precision that is allowed."""
    kind = h.spec.dtype
    if not limits.tensor_cores or kind not in KINDS or (kind is dt.float32 and not limits.tf32):
        return False
    return limits.decide("tensor cores", lambda: min(product_dims(h)[1:]) >= LEAST)


def tile_for(dims: tuple[int, int, int, int]) -> Tile:
    """Choose the large tile where there are enough of them, else the small one."""
    b, m, n, _ = dims
    return LARGE if b * LARGE.groups(m, n) >= MANY else SMALL


def product(printer: KernelPrinter, g: Group, e: Emitter, writes: list[Node]) -> list[Kernel]:
    """Make the kernel of a product, none where the tensor cores don't compute it."""
    h, limits = g.heavies[0], printer.limits
    if not suits(h, limits):
        return []
    dims = b, m, n, k = product_dims(h)
    tile = limits.decide("tensor tile", lambda: tile_for(dims))
    d, count = printer.d, b * tile.groups(m, n)
    grid = grid_of(count)
    group = d.group_x if grid[1] == 1 else f"{d.group_y} * {Size(grid[0])} + {d.group_x}"
    e.line(d.let("group", U32, group))
    e.guard("group", count, 1)
    e.line(d.let("m", U32, f"{Size(m)}"))
    e.line(d.let("n", U32, f"{Size(n)}"))
    e.line(d.let("down", U32, f"(m + {tile.rows - 1}u) / {tile.rows}u"))
    e.line(d.let("across", U32, f"(n + {tile.columns - 1}u) / {tile.columns}u"))
    e.line(d.let("b", U32, "group / (down * across)"))
    lhs, rhs = (side(printer, e, h, right) for right in (False, True))
    for name, source in (
        ("lhs", lhs.source),
        ("rhs", rhs.source),
        ("store", epilogue(printer, g, e, writes)),
    ):
        e.line(f"auto {name} = {source};")
    sizes = f"{tile.rows}, {tile.columns}, {tile.down}, {tile.across}"
    place = f"group / across % down * {tile.rows}u, group % across * {tile.columns}u"
    e.line(
        f"tensor_product<{KINDS[h.spec.dtype]}, {sizes}, {lhs.arguments}, {rhs.arguments}>"
        f"(m, n, {Size(k)}, {place}, lhs, rhs, store);"
    )
    return [printer.finish(e, grid, tile.threads)]


def side(printer: KernelPrinter, e: Emitter, h: Node, right: bool) -> Side:
    """Write the lambda of an operand: of (row, step), or of (column, step)."""
    operand, index, own = h.srcs[right], operand_index(h, right), "j" if right else "i"
    found = stored_at(printer, operand, index)
    across, wide = right, False
    if found is not None:
        base, place = found
        across, wide = lies(h, base, place, own)
    kind = h.spec.dtype

    def address() -> str:
        assert found is not None
        name, _ = e.buffer(base, "r")
        e.read.add(printer.places[base.id][0])
        return f"return &{name}[{e.place(e.noted(base, place))}];"

    def element() -> str:
        return f"return {BITS.get(kind, '{}').format(e.value(operand, index))};"

    body = e.function(address if wide else element)
    return Side(f"[&](unsigned int {own}, unsigned int k) {{\n{body}}}", across, wide)


def stored_at(printer: KernelPrinter, n: Node, index: tuple[Expr, ...]) -> tuple[Node, Expr] | None:
    """Find the stored node and the place in its buffer that `index` of an operand is read from, through views
    without conditions; None for any other operand."""
    while n.family == "view" and n.id not in printer.stored:
        index, conditions = n.op.index(index, n.srcs[0].shape, **n.params)
        if any(condition(*c) is not True for c in conditions):
            return None
        n = n.srcs[0]
    if n.id not in printer.stored or n.id not in printer.places:
        return None
    return n, flatten(index, n.shape) + printer.places[n.id][1]


def lies(h: Node, base: Node, place: Expr, own: str) -> tuple[bool, bool]:
    """Say whether rows of lhs (columns of rhs) are neighbours in memory, rather than steps of k, and whether
    16 bytes along these can be read at once: aligned, and inside of the operand or outside together."""
    sizes = dict(zip("bijk", product_dims(h), strict=True))
    each = 16 // base.spec.dtype.itemsize
    for variable in ("k", own):
        along = [(a, c) for a, c in place.terms if variable in a.names]
        if len(along) != 1 or along[0][0].of is not None or along[0][1] != 1:
            continue
        others = [c for a, c in place.terms if variable not in a.names]
        aligned = base.shift < 0 and not any(c % each for c in (*others, place.const))
        return variable == own, aligned and sizes[variable] % each == 0
    return own == "j", False


def epilogue(printer: KernelPrinter, g: Group, e: Emitter, writes: list[Node]) -> str:
    """Write the lambda that takes one finished result."""
    h = g.heavies[0]

    def emit() -> str:
        e.scope.values[h.id, g.index[h.id]] = printer.d.narrow("acc", h.spec.dtype)
        printer.write(g, e, writes)
        return ""

    return f"[&](unsigned int i, unsigned int j, float acc) {{\n{e.function(emit)}}}"


__all__ = ["product", "suits"]
