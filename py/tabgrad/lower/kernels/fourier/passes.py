"""The passes of a transform: each transforms lines of a few thousand elements at most.

A longer line whose length has small factors takes a pass for each of a few divisors; between two passes
elements are turned. Any other length is done as a convolution with a *chirp*, the numbers exp(iπ k²/n): as a
product of spectra of a longer line, whose length is a power of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tabgrad.lower import library
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.fourier import stages
from tabgrad.lower.line_kernels import LineKernels, emitter, size_functions
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Scratch
from tabgrad.lower.tokens import Size

EACH = 8
"""The elements of a thread."""
GROUPS, GROUPS_SOFTWARE = 64, 8
"""Fewer workgroups leave cores of a GPU, or of a processor, idle: each takes fewer lines then."""
NBYTES = 8
"""The bytes of a complex number."""


@dataclass(frozen=True)
class Held:
    """A scratch buffer of complex numbers, `length` a row, by the name it is bound to.

    They lie as those of a tensor do: `inner` neighbours are of as many rows.
    """

    name: str
    slot: int
    length: int
    inner: int

    def at(self, i: str) -> str:
        """Write element `i` of row `row`."""
        if self.inner == 1:
            return f"{self.name}[row * {self.length}u + {i}]"
        inner = f"{Size(self.inner)}"
        return f"{self.name}[(row / {inner} * {self.length}u + {i}) * {inner} + row % {inner}]"


@dataclass(frozen=True)
class End:
    """One end of a transform: the functions to print, and the scratch buffers that they take.

    Where it begins there is `element(row, i)`, where it ends `result(row, o, v)`.
    """

    text: Callable[[LineKernels], str]
    held: tuple[Held, ...] = ()


def reading(h: Held) -> End:
    """Begin with what a scratch buffer holds."""
    head = "fn element(row: u32, i: u32) -> vec2f"
    return End(lambda lines: f"{head} {{ return {h.at('i')}; }}\n", (h,))


def writing(h: Held) -> End:
    """End in a scratch buffer."""
    head = "fn result(row: u32, o: u32, v: vec2f)"
    return End(lambda lines: f"{head} {{ {h.at('o')} = v; }}\n", (h,))


@dataclass(frozen=True)
class Lines:
    """The lines of one pass: each of `rows` has `spots` of them, of `length` elements.

    `results` are stored of each. `across` says whether neighbouring lines lie beside each other where they are
    loaded, `beside` where they are stored.
    """

    rows: int
    spots: int
    length: int
    results: int
    across: bool
    beside: bool


@dataclass
class Passes:
    """The dispatches of one op, as they are made."""

    printer: KernelPrinter
    n: Node
    scratch: Scratch
    kernels: list[Kernel] = field(default_factory=list)

    @property
    def inner(self) -> int:
        """How many rows neighbouring elements are of."""
        axis: Any = self.n.params["axis"]
        return math.prod(self.n.shape[axis + 1 :])

    @property
    def rows(self) -> int:
        """How many rows there are."""
        axis: Any = self.n.params["axis"]
        return self.n.spec.size // self.n.shape[axis]

    def hold(self, name: str, length: int, one: bool = False) -> Held:
        """Make a scratch buffer for complex numbers: for `one` row, or for all."""
        rows, inner = (1, 1) if one else (self.rows, self.inner)
        return Held(name, self.scratch(rows * length * NBYTES), length, inner)

    def dispatch(
        self, own: Lines, begin: End, end: End, load: str, store: str, wanted: str = ""
    ) -> None:
        """Make a dispatch; `load` and `store` are what its functions do for `line` with `row` and `spot`.

        Where results follow from whole lines, `wanted` finds one.
        """
        lines = LineKernels(self.printer, self.n, emitter(self.printer, self.n))
        count = own.rows * own.spots
        each = self.printer.limits.decide("lines of a workgroup", lambda: self.each(own))
        radices = stages.factors(own.length) or ()
        located = "let row = row_of(line); let spot = spot_of(line);"
        loaded, stored = begin.text(lines), end.text(lines)
        blocks = {
            "dims": size_functions(lines=count) + self.located(own) + self.sizes(own, each),
            "load": f"{loaded}fn load(line: u32, r: u32) -> vec2f {{ {located} {load} }}\n",
            "store": f"{stored}fn store(line: u32, r: u32, v: vec2f) {{ {located} {store} }}\n",
            "place": f"fn place(r: u32) -> u32 {{ {stages.places(radices)} }}\n",
            "stages": (
                (f"fn wanted(at: u32, r: u32) -> vec2f {{ {wanted} }}\n" if wanted else "")
                + stages.transform(radices, each, bool(wanted))
            ),
            "bindings": self.printer.d.bindings(lines.e.bindings()),
        }
        slots, spans = lines.e.bound()
        more = [*((h, "r") for h in begin.held), *((h, "w") for h in end.held)]
        for i, (h, mode) in enumerate(more):
            access = "read" if mode == "r" else "read_write"
            at = f"@group(0) @binding({len(slots) + i})"
            blocks["bindings"] += f"{at} var<storage, {access}> {h.name}: array<vec2f>;\n"
        source = library.kernel("fft").with_blocks(blocks)
        made = lines.kernel(source, math.ceil(count / each), {})
        self.kernels.append(
            replace(
                made,
                bindings=made.bindings + "".join(mode for _, mode in more),
                slots=[*made.slots, *(h.slot for h, _ in more)],
                spans=(*spans, *[None] * len(more)) if spans else (),
            )
        )

    def each(self, own: Lines) -> int:
        """Choose how many lines a workgroup takes: a power of two."""
        groups = GROUPS_SOFTWARE if self.printer.limits.software else GROUPS
        wanted = max(1, min(stages.WITHIN // own.length, own.rows * own.spots // groups))
        return 1 << wanted.bit_length() - 1

    def sizes(self, own: Lines, each: int) -> str:
        """Write the numbers of a dispatch that its text is made for."""
        limits = self.printer.limits
        wanted = 1 << (each * own.length // EACH).bit_length()
        # a processor pays at a barrier for each thread
        threads = max(4, wanted // 64) if limits.software else max(32, wanted)
        numbers = {
            "LINES": each, "LENGTH": own.length, "RESULTS": own.results,
            "THREADS": min(threads, 256, limits.threads),
        }  # fmt: skip
        flags = {"ACROSS": own.across, "BESIDE": own.beside}
        return "".join(f"const {k} = {v}u;\n" for k, v in numbers.items()) + "".join(
            f"const {k} = {str(v).lower()};\n" for k, v in flags.items()
        )

    def located(self, own: Lines) -> str:
        """Write the functions of the row of a line, and of its number in the row.

        Neighbouring lines are of neighbouring rows, if neighbouring elements are.
        """
        inner, spots = self.inner if own.rows > 1 else 1, own.spots
        row, spot = "line", "0u"
        if spots > 1 and inner == 1:
            row, spot = f"line / {spots}u", f"line % {spots}u"
        elif spots > 1:
            i = f"{Size(inner)}"
            row = f"line / {Size(inner * spots)} * {i} + line % {i}"
            spot = f"line / {i} % {spots}u"
        return (
            f"fn row_of(line: u32) -> u32 {{ return {row}; }}\n"
            f"fn spot_of(line: u32) -> u32 {{ return {spot}; }}\n"
        )


# -- transforms ------------------------------------------------------------------------------------


def transformed(p: Passes, length: int, begin: End, end: End, results: int) -> None:
    """Transform lines of any length, of which `results` elements are wanted."""
    if stages.factors(length) is None:
        by_chirp(p, length, begin, end, results)
    else:
        chain(p, length, begin, end, results)


def chain(
    p: Passes, length: int, begin: End, end: End, results: int, name: str = "held", one: bool = False
) -> None:  # fmt: skip
    """Transform lines of a length that has factors, in one pass or several; `one` if there is one row only."""
    sizes = stages.split(length)
    done, inner = 1, 1 if one else p.inner
    for i, size in enumerate(sizes):
        last, spots = i == len(sizes) - 1, length // size
        kept = None if last else p.hold(f"{name}{i}", length, one)
        load = f"element(row, spot + r * {spots}u)"
        if done > 1:
            load = f"times({load}, unit(r * (spot % {done}u), {done * size}u))"
        store = f"let o = spot / {done}u * {done * size}u + spot % {done}u + r * {done}u;"
        guard = f"if (o < {results}u) " if last and results < length else ""
        own = Lines(
            1 if one else p.rows, spots, size, size,
            across=inner > 1 or spots > 1, beside=inner > 1 or done > 1,
        )  # fmt: skip
        sink = end if kept is None else writing(kept)
        store += f" {guard}{{ result(row, o, v); }}"
        p.dispatch(own, begin, sink, f"return {load};", store)
        if kept is not None:
            begin = reading(kept)
        done *= size


SPLIT = "let d = (a - b) * 0.5; return (a + b) * 0.5 + times(unit({k}, {n}u), vec2f(d.y, -d.x));"
"""Finds element k of a real line's spectrum from two of its pairs': a is number k, b its mirror image."""


def packed(p: Passes, half: int, begin: End, end: End) -> None:
    """Transform 2 * `half` real elements; `begin` gives pairs of them. One more than `half` are wanted."""
    if half <= stages.WITHIN and stages.factors(half) is not None:
        own = Lines(p.rows, 1, half, half + 1, p.inner > 1, p.inner > 1)
        wanted = (
            f"let a = values[at + r % {half}u]; let b = conjugate(values[at + ({half}u - r) % {half}u]); "
            f"{SPLIT.format(k='r', n=2 * half)}"
        )
        p.dispatch(own, begin, end, "return element(row, r);", "result(row, r, v);", wanted)
        return
    pairs = p.hold("pairs", half)
    transformed(p, half, begin, writing(pairs), half)
    own = Lines(p.rows, half + 1, 1, 1, False, False)
    load = (
        f"let a = element(row, spot % {half}u); let b = conjugate(element(row, ({half}u - spot) % {half}u)); "
        f"{SPLIT.format(k='spot', n=2 * half)}"
    )
    p.dispatch(own, reading(pairs), end, load, "result(row, spot, v);")


# -- lengths without factors -----------------------------------------------------------------------


def by_chirp(p: Passes, length: int, begin: End, end: End, results: int) -> None:
    """Transform lines of any length by a product with a chirp."""
    longer = 1 << (2 * length - 2).bit_length()
    chirp, product = p.hold("chirp", longer, one=True), p.hold("product", longer)
    turn = (
        f"{squares(length)}fn turn(i: u32) -> vec2f {{ return unit(square(i), {2 * length}u); }}\n"
    )
    head = "fn element(row: u32, i: u32) -> vec2f {"

    def wave(lines: LineKernels) -> str:
        near = f"min(i, {longer}u - i)"
        test = f"select(vec2f(0.0), conjugate(turn({near})), {near} < {length}u)"
        return f"{turn}{head} return {test}; }}\n"

    def turned(lines: LineKernels) -> str:
        inside = f"if (i < {length}u) {{ return times(given(row, i), turn(i)); }}"
        return (
            turn
            + renamed(begin.text(lines), "element", "given")
            + (f"{head} {inside} return vec2f(0.0); }}\n")
        )

    def spectra(lines: LineKernels) -> str:
        return f"{head} return conjugate(times({product.at('i')}, {wave_at})); }}\n"

    def back(lines: LineKernels) -> str:
        value = f"times(conjugate(v), turn(o)) * {1 / longer!r}"
        return (
            turn
            + renamed(end.text(lines), "result", "wanted")
            + (f"fn result(row: u32, o: u32, v: vec2f) {{ wanted(row, o, {value}); }}\n")
        )

    wave_at = f"{chirp.name}[i]"
    chain(p, longer, End(wave), writing(chirp), longer, "waves", one=True)
    chain(p, longer, End(turned, begin.held), writing(product), longer, "turns")
    chain(p, longer, End(spectra, (product, chirp)), End(back, end.held), results, "backs")


def renamed(text: str, old: str, new: str) -> str:
    """Rename the function that one end of a transform has."""
    return text.replace(f"fn {old}(", f"fn {new}(")


def squares(length: int) -> str:
    """Write the function of i² modulo 2 * `length`, in steps whose products fit 32 bits."""
    modulus = 2 * length
    bits = (length - 1).bit_length()
    room = 32 - modulus.bit_length()
    text = "let n = i; var s = 0u;"
    for low in range((bits - 1) // room * room, -1, -room) if bits else ():
        digit = f"(n >> {low}u) & {(1 << room) - 1}u" if low else f"n & {(1 << room) - 1}u"
        text += f" s = (s * {1 << room}u % {modulus}u + n * ({digit}) % {modulus}u) % {modulus}u;"
    return f"fn square(i: u32) -> u32 {{ {text} return s; }}\n"
