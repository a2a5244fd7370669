"""Batches of matrices in buffers, and the dispatch of a file of `shaders/kernels` that works on some."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tabgrad.core import dtype as dt
from tabgrad.lower import library
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.index import Expr, unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel, grid_of
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.routines import bottom
from tabgrad.lower.tokens import Word

NO_DIMS: Mapping[str, int] = {}
COMPLEX = """fn times(x: elem, y: elem) -> elem { return mul_c64(x, y); }
fn over(x: elem, y: elem) -> elem { return div_c64(x, y); }
fn size(x: elem) -> f32 { return abs_c64(x); }
fn weight(x: elem) -> f32 { return abs(x.x) + abs(x.y); }
fn conjugate(x: elem) -> elem { return conj_c64(x); }
fn real(x: elem) -> f32 { return x.x; }
fn imaginary(x: elem) -> f32 { return x.y; }
fn whole(x: f32) -> elem { return elem(x, 0.0); }
"""
"""The block `arithmetic` of kernels whose elements are complex."""
ROTATIONS = """alias quad = mat4x2f;
fn scaled(x: elem, by: quad) -> quad { return mat2x2f(x.x, x.y, -x.y, x.x) * by; }
fn sine(by: vec4f) -> elem { return by.xy; }
fn phase(x: elem, size: f32) -> elem { return select(elem(1.0, 0.0), x / size, size >= 0x1p-126f); }
"""
"""The block `rotations` of the same; a length that may count as zero has no phase."""


@dataclass(frozen=True)
class Matrices:
    """A batch of matrices in one slot: element (b, i, j) lies at `start` + b `step` + i `down` + j `across`.

    Places are counted modulo 2³², so a flipped matrix has negative strides.
    """

    slot: int
    rows: int
    columns: int
    start: int
    step: int
    down: int
    across: int = 1
    dtype: dt.DType = dt.float32
    conjugate: bool = False

    @property
    def mT(self) -> Matrices:
        """The transposed matrices."""
        turned = replace(self, rows=self.columns, columns=self.rows)
        return replace(turned, down=self.across, across=self.down)

    @property
    def mH(self) -> Matrices:
        """The conjugate transposes of the matrices, for reading."""
        return replace(self.mT, conjugate=self.dtype.is_complex and not self.conjugate)

    @property
    def flipped(self) -> Matrices:
        """The matrices with their rows from the last to the first."""
        start = self.start + (self.rows - 1) * self.down
        return replace(self, start=start, down=-self.down)

    def part(self, top: int, bottom: int, left: int, right: int) -> Matrices:
        """Rows `top` to `bottom` - 1 of columns `left` to `right` - 1."""
        start = self.start + top * self.down + left * self.across
        return replace(self, start=start, rows=bottom - top, columns=right - left)

    def place(self, index: Index) -> Expr:
        """Find the place of an element, of matrices that are not flipped."""
        b, i, j = index
        return b * self.step + i * self.down + j * self.across + self.start

    def load(self, e: Emitter, index: Index) -> str:
        """Write the reading of an element in a printed kernel."""
        return self.read(e.d, e.bind(self.slot, "r", self.dtype), e.place(self.place(index)))

    def read(self, d: Dialect, buffer: str, place: str) -> str:
        """Write the reading of the element at a place."""
        found = d.load(buffer, place, self.dtype)
        return f"conj_c64({found})" if self.conjugate else found

    def below(self, top: int, left: int) -> Matrices:
        """The rows from `top` on of the columns from `left` on."""
        return self.part(top, self.rows, left, self.columns)


def power_of_two(n: int, least: int) -> int:
    """Find the least power of two that is at least `n` and `least`.

    >>> [power_of_two(n, 4) for n in (1, 5, 8)]
    [4, 8, 8]
    """
    return max(least, 1 << max(n - 1, 0).bit_length())


def stored(printer: KernelPrinter, n: Node) -> Matrices | None:
    """Find the matrices of an operand in their buffer, None where their places are no sums of multiples."""
    count, rows, columns = math.prod(n.shape[:-2]), *n.shape[-2:]
    b, i, j = var("b", count), var("i", rows), var("j", columns)
    found = bottom(n, (*unflatten(b, n.shape[:-2]), i, j))
    if found is None or found[0].id not in printer.places or found[0].id not in printer.stored:
        return None
    base, place = found
    strides = {a.name: c for a, c in place.terms if a.of is None}
    if len(strides) != len(place.terms):
        return None
    slot, start = printer.places[base.id]
    step, down, across = (strides.get(name, 0) for name in "bij")
    return Matrices(slot, rows, columns, start + place.const, step, down, across, base.spec.dtype)


def value_of(e: Emitter, n: Node, index: Index) -> str:
    """Write the value of element (b, i, j) of a batch of matrices."""
    b, i, j = index
    return e.value(n, (*unflatten(b, n.shape[:-2]), i, j))


class Dispatch:
    """One dispatch while it is put together: the functions that access matrices, and the uniform words."""

    def __init__(self, printer: KernelPrinter, n: Node) -> None:
        self.printer, self.n, self.d = printer, n, printer.d
        self.e = Emitter(printer.d, n.siblings, printer.stored, printer.places, printer.windows)
        self.words: list[int] = []
        self.blocks: dict[str, str] = {}

    def word(self, value: int) -> str:
        """Write the reading of one more uniform word."""
        self.words.append(value & 0xFFFFFFFF)
        return f"{Word(len(self.words) - 1)}"

    def sizes(self, **values: int) -> None:
        """Write the functions that give a kernel its sizes, as the block `sizes`."""
        self.blocks["sizes"] = "".join(
            f"fn {name}() -> u32 {{ return {self.word(value)}; }}\n"
            for name, value in values.items()
        )

    def operand(self, name: str, n: Node) -> None:
        """Write the function `name`_load, which reads an operand of the op, as the block `name`."""
        found = stored(self.printer, n)
        if found is not None:
            self.matrices(name, found)
            return
        e = self.e
        index = (var("b", math.prod(n.shape[:-2])), var("i", n.shape[-2]), var("j", n.shape[-1]))
        body = e.function(lambda: f"return {value_of(e, n, index)};")
        self.blocks[name] = (
            f"{e.head(f'{name}_load', *'bij', result=self.kind(n.spec.dtype))}\n{body}}}\n"
        )

    def matrices(self, name: str, m: Matrices, mode: str = "r") -> None:
        """Write the functions that access some matrices as the block `name`."""
        self.blocks[name] = self.access(name, m, mode)

    def access(self, name: str, m: Matrices, mode: str) -> str:
        """Write the function `name`_load and, in mode "w", `name`_store."""
        kind = self.kind(m.dtype)
        buffer = self.e.bind(m.slot, mode, m.dtype)
        base, step, down, across = map(self.word, (m.start, m.step, m.down, m.across))
        at = f"{base} + b * {step} + i * {down} + j * {across}"
        head, load = "(b: u32, i: u32, j: u32", m.read(self.d, buffer, f"{name}_at(b, i, j)")
        made = f"fn {name}_at{head}) -> u32 {{ return {at}; }}\n"
        made += f"fn {name}_load{head}) -> {kind} {{ return {load}; }}\n"
        if mode == "w":
            store = self.d.store(buffer, f"{name}_at(b, i, j)", "value", m.dtype)
            made += f"fn {name}_store{head}, value: {kind}) {{ {store} }}\n"
        return made

    def nothing(self, name: str, dtype: dt.DType) -> str:
        """Write the function `name`_load of matrices that are not there."""
        kind = self.kind(dtype)
        return f"fn {name}_load(b: u32, i: u32, j: u32) -> {kind} {{ return {kind}(); }}\n"

    def kind(self, dtype: dt.DType) -> str:
        """Name the type of values of a dtype."""
        return self.d.types[self.d.compute_type(dtype)]

    def kernel(
        self, name: str, groups: int, dims: Mapping[str, int] = NO_DIMS, elem: dt.DType = dt.float32
    ) -> Kernel:
        """Make the dispatch of a file of `shaders/kernels`, with constants `dims`, and elements of a dtype."""
        if dims:
            self.blocks["dims"] = "".join(f"const {k} = {size}u;\n" for k, size in dims.items())
        self.blocks["bindings"] = self.d.bindings(self.e.bindings())
        file = library.kernel(name)
        if elem.is_complex:
            for block, text in (("arithmetic", COMPLEX), ("rotations", ROTATIONS)):
                if block in file.blocks:
                    self.blocks[block] = text
        source = file.with_blocks(self.blocks, self.kind(elem))
        self.e.own = tuple(self.words)
        return self.printer.package(self.e, source, grid_of(groups))


__all__ = ["Dispatch", "Matrices", "power_of_two", "stored", "value_of"]
