"""Steps: the dispatches of a decomposition, each of which reads and writes parts of matrices in buffers.

All sizes and places are uniform words, so one text serves every step, and matrices of every size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DeviceError
from tabgrad.lower import tiles
from tabgrad.lower.dims import VARYING, defined
from tabgrad.lower.emit import Emitter, Index
from tabgrad.lower.index import unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import BLOCK, Kernel, grid_of
from tabgrad.lower.matrices import Dispatch, Matrices, power_of_two, stored, value_of
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Scratch
from tabgrad.lower.simplify import FAR_PRODUCT
from tabgrad.lower.tokens import Size

if TYPE_CHECKING:
    from tabgrad.core.op import Op
    from tabgrad.core.spec import Params, Spec
    from tabgrad.lower.dialect import Dialect
    from tabgrad.lower.limits import Limits

FEW = 4
"""The threads of a workgroup on a software adapter, those of one vector: it pays for more at each barrier."""
TURNS = 60000
"""The turns of loops that a thread may take: Mesa's llvmpipe counts them, and leaves loops after 65,535."""
NB = 32
"""The columns of a panel, and the largest matrix that one step factors whole."""
RUNS = 100
"""How often the text of a product is expected to run: it serves all steps of all sizes."""


def refused(op: Op, specs: Sequence[Spec], params: Params, d: Dialect, limits: Limits) -> Any:
    """Refuse an op that has no kernels, but where a library of the host computes it."""
    name = op.lowering
    if name in limits.routines:
        return None
    return DeviceError(
        f"{name}: is not on this device yet, only on cpu; move the matrices with .to('cpu')"
    )


def without_templates(
    op: Op, specs: Sequence[Spec], params: Params, d: Dialect, limits: Limits
) -> Any:
    """Refuse an op in a language without these kernels, which are for all dtypes that a device has."""
    return None if d.templates else refused(op, specs, params, d, limits)


class Steps:
    """Makes the dispatches of one op on a batch of matrices."""

    def __init__(self, printer: KernelPrinter, n: Node, scratch: Scratch) -> None:
        self.printer, self.n, self._scratch = printer, n, scratch
        self.batch = math.prod(n.srcs[0].shape[:-2])
        self.made: list[Kernel] = []
        self.dtype = n.srcs[0].spec.dtype
        self.software = printer.limits.software

    def words(self, count: int) -> int:
        """Count the elements of the matrices that take as much memory as so many of float32."""
        return count * 4 // self.dtype.itemsize

    @cached_property
    def results(self) -> dict[int, Node]:
        """The results of the op that have places, by their number."""
        places = self.printer.places
        return {getattr(m.op, "index", 0): m for m in self.n.siblings if m.id in places}

    def result(
        self, number: int, rows: int, columns: int, dtype: dt.DType = dt.float32
    ) -> Matrices:
        """Find the matrices of a result; scratch memory where nobody wants it."""
        m = self.results.get(number)
        if m is None:
            return self.scratch(rows, columns, dtype)
        slot, offset = self.printer.places[m.id]
        return Matrices(slot, rows, columns, offset, rows * columns, columns, dtype=dtype)

    def scratch(self, rows: int, columns: int, dtype: dt.DType = dt.float32) -> Matrices:
        """Make matrices in scratch memory."""
        slot = self._scratch(max(4, dtype.itemsize * self.batch * rows * columns))
        return Matrices(slot, rows, columns, 0, rows * columns, columns, dtype=dtype)

    def lanes(self, columns: int) -> int:
        """Choose the threads of a small matrix."""
        return FEW if self.software else columns if columns <= 8 else 4 * columns

    def panel_lanes(self, usual: int, turns: int) -> int:
        """Choose the threads of a panel that would take one of them so many turns of loops."""
        return min(power_of_two(-(-turns // TURNS), FEW), 256) if self.software else usual

    def many(self, lanes: int, columns: int, most: int) -> int:
        """Choose how many small matrices share a workgroup, of whose memory they may have `most`."""
        if self.software:
            return 4 if columns <= 8 else 1
        return max(1, min(64 // lanes, most))

    def dispatch(self) -> Dispatch:
        """Begin a dispatch."""
        return Dispatch(self.printer, self.n)

    def add(self, k: Kernel) -> None:
        """Add a finished dispatch."""
        self.made.append(k)

    # -- element by element ------------------------------------------------------------------------

    def source(self, n: Node) -> Matrices:
        """Find the matrices of an operand, or copy it to scratch memory."""
        found = stored(self.printer, n)
        if found is None:
            rows, columns = n.shape[-2:]
            found = self.scratch(rows, columns, n.spec.dtype)
            self.copy(n, found)
        return found

    def fill(self, value: Callable[[Emitter, Index], str], *targets: Matrices) -> None:
        """Write the value of each element (b, i, j) to some matrices of one shape."""
        step = self.dispatch()
        e, d = step.e, step.d
        shape = (self.batch, targets[0].rows, targets[0].columns)
        count = math.prod(shape)
        grid = grid_of(math.ceil(count / BLOCK))
        self.printer.thread_index(e, grid, count)
        index = unflatten(var("g", count), shape)
        for m, made in [(m, value(e, index)) for m in targets]:
            e.line(d.store(e.bind(m.slot, "w", m.dtype), e.place(m.place(index)), made, m.dtype))
        self.add(self.printer.finish(e, grid, BLOCK))

    def copy(self, n: Node, *targets: Matrices) -> None:
        """Write an operand of the op to some matrices."""
        self.fill(lambda e, index: value_of(e, n, index), *targets)

    def identity(self, m: Matrices) -> None:
        """Write ones to the diagonals of some matrices, and zeros elsewhere."""

        def value(e: Emitter, index: Index) -> str:
            _, i, j = index
            one, zero = (e.d.literal(x, e.d.compute_type(m.dtype)) for x in (1, 0))
            return e.d.choose(f"{e.at(i)} == {e.at(j)}", one, zero)

        self.fill(value, m)

    def reduce(self, out: Matrices, a: Matrices, b: Matrices, result: str = "sum") -> None:
        """Write the real products of columns of `a` with those of `b`, or what `result` makes of the `sum`."""

        def value(e: Emitter, index: Index) -> str:
            matrix, j, _ = index
            e.line(e.d.var("sum", "f32", "0.0f"))
            e.open(e.d.loop("t", "0u", f"{Size(a.rows)}", "1u"), "t")
            at = (matrix, var("t", a.rows), j)
            left, right = a.load(e, at), b.load(e, at)
            term = f"dot({left}, {right})" if a.dtype.is_complex else f"{left} * {right}"
            e.line(f"sum = sum + {term};")
            e.close()
            return result

        self.fill(value, out)

    # -- products ----------------------------------------------------------------------------------

    def multiply(
        self,
        out: Matrices,
        a: Matrices,
        b: Matrices,
        subtract: bool = False,
        most: int = FAR_PRODUCT,
    ) -> None:
        """Write a @ b to `out`, or subtract it from what is there; `most` terms are added up at once."""
        sign = "-" if subtract else ""
        for at in range(0, a.columns, most):
            end = min(at + most, a.columns)
            left, right = a.part(0, a.rows, at, end), b.part(at, end, 0, b.columns)
            self._multiply(out, left, right, sign)
            sign = sign or "+"

    def _multiply(self, out: Matrices, a: Matrices, b: Matrices, sign: str) -> None:
        step = self.dispatch()
        d = step.d
        names = {side: step.e.bind(m.slot, "r", m.dtype) for side, m in (("lhs", a), ("rhs", b))}
        name = step.e.bind(out.slot, "w", out.dtype)
        dims = (self.batch, out.rows, out.columns, a.columns)
        step.blocks["dims"] = "".join(
            defined(one, step.word(size)) + "\n" for one, size in zip(VARYING, dims, strict=False)
        )
        for side, m, own, index in (("lhs", a, "row", "i"), ("rhs", b.mT, "column", "j")):
            base, far, down, across = map(step.word, (m.start, m.step, m.down, m.across))
            order = f"{own}: u32, step: u32" if side == "lhs" else f"step: u32, {own}: u32"
            place = f"{base} + b * {far} + {index} * {down}"
            load = m.read(d, names[side], f"{own} + step")
            step.blocks[f"load_{side}"] = (
                f"fn {side}_{own}(b: u32, {index}: u32) -> u32 {{ return {place}; }}\n"
                f"fn {side}_step(b: u32, k: u32) -> u32 {{ return k * {across}; }}\n"
                f"fn load_{side}({order}) -> elem {{ return {load}; }}\n"
            )
        base, far, down, across = map(step.word, (out.start, out.step, out.down, out.across))
        before = f"{d.load(name, 'place', out.dtype)} {sign} acc" if sign else "acc"
        step.blocks["store"] = (
            "fn store(b: u32, i: u32, j: u32, acc: elem) {\n"
            f"  let place = {base} + b * {far} + i * {down} + j * {across};\n"
            f"  {d.store(name, 'place', before, out.dtype)}\n}}\n"
        )
        self.add(self._product(step, dims, out.dtype))

    def _product(self, step: Dispatch, dims: tuple[int, int, int, int], elem: dt.DType) -> Kernel:
        """Make the dispatch of a product, with a tile that depends on the size only roughly."""
        limits = self.printer.limits
        name = "matmul_direct" if limits.software else "matmul"
        rows, columns, inner = (power_of_two(size, 1) for size in dims[1:])
        tile = tiles.chosen(
            name, (dims[0], rows, columns, inner), limits.quads, RUNS, elem.is_complex
        )
        hoisted = frozenset(("lhs", "rhs"))
        step.blocks["tile"], groups = tiles.written(tile, dims, hoisted, VARYING)
        return step.kernel(name, dims[0] * groups, elem=elem)


__all__ = ["FEW", "NB", "Steps", "refused", "without_templates"]
