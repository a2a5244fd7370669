"""The radix sort of long lines, `shaders/kernels/radix.wgsl`: for which lines, and in which passes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.lower import library
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.limits import Limits
from tabgrad.lower.line_kernels import LineKernels, extent, size_functions
from tabgrad.lower.passes import sort_block
from tabgrad.lower.record import Scratch
from tabgrad.lower.tokens import Word
from tabgrad.lower.variants import size_class

LONG_RADIX = 1 << 15
"""The longest line that a GPU sorts by a bitonic network: up to here that takes no more dispatches."""
LONG_RADIX_SOFTWARE = 256
"""The same on a processor, which pays for each comparison."""
MOST_SPANS = 64
"""The most spans of a line on a processor: several for each core."""
SHORT_SPAN = 8192
"""The fewest elements for which a processor takes another span, and about the most that are one by itself."""


BLOCKS = (128, 256, 512)
"""The sizes of blocks of a bitonic network to choose from."""
FORMS = ((64, 4, 16), (128, 4, 16), (256, 4, 16), (128, 4, 8), (128, 4, 32), (8, 8, 1024))
"""The radix sorts to choose from: the threads of a workgroup, the bits of a digit, the elements of a thread."""
MOST_NETWORK = 1 << 18
"""The longest line for which a network is a variant: its dispatches grow with the length."""


@dataclass(frozen=True)
class Shape:
    """The shape of a radix sort: `threads` of a workgroup, `bits` of a digit, `spans` of a line,
    and `run`, the number of elements of a thread."""

    threads: int
    bits: int
    spans: int
    run: int

    def __str__(self) -> str:
        return f"digits of {self.bits} bits {self.threads}x{self.run}"


@dataclass(frozen=True)
class Network:
    """A bitonic network: `block` elements of a line are in workgroup memory at once."""

    block: int

    def __str__(self) -> str:
        return f"network {self.block}"


def sort_of(n: Node, limits: Limits) -> Shape | Network:
    """Choose how lines are sorted: as measured on the adapter, else by fixed rules."""
    rows, length = extent(n)
    dtype = n.srcs[0].spec.dtype
    sizes = f"{size_class(rows, 1 << 20)} {size_class(length, 1 << 24)}"
    return limits.pick(
        f"sort {dtype.name} {sizes}", n.origin, lambda: sorts(rows, length, limits),
        lambda: radix_shape(rows, length, limits) or network(length, limits),
    )  # fmt: skip


def network(length: int, limits: Limits) -> Network:
    """Return the network with the largest blocks."""
    return Network(sort_block(length, min(256, limits.threads)))


def sorts(rows: int, length: int, limits: Limits) -> list[Shape | Network]:
    """List the sorts that may suit lines of a `length`."""
    most = network(length, limits).block
    found: list[Shape | Network] = []
    if length <= MOST_NETWORK:
        found += [Network(block) for block in BLOCKS if block <= most]
    for threads, bits, each in FORMS:
        run = min(each, math.ceil(length / threads))
        shape = Shape(threads, bits, math.ceil(length / (threads * run)), run)
        if not limits.binding or work_bytes(rows, length, shape) <= limits.binding:
            found.append(shape)
    return found


def radix_shape(rows: int, length: int, limits: Limits) -> Shape | None:
    """Choose the shape of a radix sort of lines, None where a bitonic network is better."""
    if length <= (LONG_RADIX_SOFTWARE if limits.software else LONG_RADIX):
        return None
    if limits.software:
        threads, bits = 8, 8
        spans = (
            1
            if rows >= 8 and length <= 2 * SHORT_SPAN
            else min(MOST_SPANS, -(-length // SHORT_SPAN))
        )
    else:
        threads, bits = 128, 4
        spans = math.ceil(length / (threads * 16))
    run = math.ceil(length / (spans * threads))
    shape = Shape(threads, bits, math.ceil(length / (run * threads)), run)
    return None if limits.binding and work_bytes(rows, length, shape) > limits.binding else shape


def work_bytes(rows: int, length: int, shape: Shape) -> int:
    """Count the bytes of the counts and places between two digits."""
    return 4 * rows * (shape.spans << shape.bits) + 4 * rows * length


def key_bits(dtype: dt.DType) -> int:
    """Count the bits of a key in which elements differ."""
    if dtype is dt.bool_:
        return 1
    return 32 if dtype.is_floating_point else min(32, 8 * dtype.itemsize)


def radix(
    lines: LineKernels, blocks: dict[str, str], shape: Shape, scratch: Scratch
) -> list[Kernel]:
    """Make the passes of a radix sort of indices."""
    bits = key_bits(lines.n.srcs[0].spec.dtype)
    return passes(lines, blocks, (*extent(lines.n), bits), shape, scratch)


def passes(
    lines: LineKernels,
    blocks: dict[str, str],
    sizes: tuple[int, int, int],
    shape: Shape,
    scratch: Scratch,
    order: int | None = None,
) -> list[Kernel]:
    """Make the passes of a sort of rows of some length, by keys of some bits: one, or three for each digit.

    If the places are not those of the op, `order` is the slot of the buffer that takes them.
    """
    rows, length, bits = sizes
    count = math.ceil(bits / shape.bits)
    one = shape.spans == 1
    texts = {
        **blocks,
        "dims": size_functions(rows=rows, length=length, spans=shape.spans, run=shape.run)
        + f"const THREADS = {shape.threads}u;\nconst BITS = {shape.bits}u;\nconst COUNT = {count}u;\n",
        "params": f"fn number() -> u32 {{ return {'0u' if one else Word(0)}; }}\n",
        "bindings": lines.printer.d.bindings(lines.e.bindings())
        + declared(lines, "work", *(["order"] if order is not None else [])),
    }
    source = library.kernel("radix").with_blocks(texts)
    work = scratch(work_bytes(rows, length, shape))

    slots = (work,) if order is None else (work, order)

    def step(number: int, groups: int) -> Kernel:
        return with_slots(lines.kernel(source, groups, {"PASS": float(number)}), slots)

    if one:
        return [step(3, rows)]
    made = [step(0, rows * shape.spans), step(1, rows), step(2, rows * shape.spans)]
    return [replace(k, words=(digit,)) for digit in range(count) for k in made]


def declared(lines: LineKernels, *names: str) -> str:
    """Declare buffers of words that come after the op's own."""
    first = len(lines.e.bound()[0])
    return "".join(
        f"@group(0) @binding({first + i}) var<storage, read_write> {name}: array<u32>;\n"
        for i, name in enumerate(names)
    )


def with_slots(k: Kernel, slots: tuple[int, ...]) -> Kernel:
    """Make a kernel that also binds the buffers in `slots`."""
    spans: Any = (*k.spans, *(None for _ in slots)) if k.spans else ()
    return replace(k, bindings=k.bindings + "w" * len(slots), slots=[*k.slots, *slots], spans=spans)
