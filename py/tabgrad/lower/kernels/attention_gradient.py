"""attention_gradient: one kernel by rows of q, and one by rows of k, that compute tiles of scores again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import DeviceError
from tabgrad.lower.dialect import F32, pack_words
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import TURNS, Kernel
from tabgrad.lower.kernels import attention
from tabgrad.lower.kernels.attention import DEEPEST, best_tile, fixed_tile, masked
from tabgrad.lower.matrices import Dispatch, Matrices
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register

if TYPE_CHECKING:
    from tabgrad.core.op import Op
    from tabgrad.core.spec import Params, Spec
    from tabgrad.lower.dialect import Dialect
    from tabgrad.lower.limits import Limits

FORMS = (
    (16, 64, 32), (16, 64, 16), (16, 64, 8), (8, 64, 32), (8, 64, 16), (8, 64, 8), (8, 64, 4), (32, 64, 16),
    (16, 128, 16), (32, 128, 8),
)  # fmt: skip
"""The tiles to choose from: the rows that stay, the threads, and the rows that pass by."""


class Tile(attention.Tile):
    """A tile of both kernels: of rows of q beside those of k and v, and the other way round."""

    def words(self, depth: int, width: int) -> int:
        """Count the words of workgroup memory of the kernel that takes more."""
        long, threads = 4 * (math.ceil(depth / 4) + math.ceil(width / 4)), self.lanes * self.each
        both = (self.each + self.keys) * long + self.keys * self.each
        return both + max(4 * threads, self.keys * (4 + self.each))

    def turns(self, rows: int, length: int, depth: int, width: int) -> int:
        """Count the turns of the loops of a thread, of the kernel that takes more."""
        deep, wide, threads = math.ceil(depth / 4), math.ceil(width / 4), self.lanes * self.each
        loads = 5 * (math.ceil(self.keys * deep / threads) + math.ceil(self.keys * wide / threads))
        scores = math.ceil(self.keys / self.lanes) * (1 + deep + wide)
        sums = self.keys * (1 + math.ceil(max(deep, wide) / self.lanes))
        ends = 5 * (math.ceil(self.each * deep / threads) + math.ceil(self.each * wide / threads))
        ends += 2 * self.lanes + 5 * math.ceil(max(deep, wide) / self.lanes)
        once = loads + scores + 2
        of_rows = math.ceil(length / self.keys) * (2 * once + sums)
        of_columns = math.ceil(rows / self.keys) * (once + 1 + sums)
        return ends + max(of_rows, of_columns)


def _refusal(
    op: Op, specs: Sequence[Spec], params: Params, d: Dialect, limits: Limits
) -> Exception | None:
    """Refuse rows that no tile has room for, and so many that a thread would not finish its loops."""
    if not d.templates:
        return DeviceError(
            "attention_gradient: is not on this device yet, whose kernels are not in WGSL; compute the scores "
            "in steps"
        )
    (rows, depth), (length, width) = specs[1].shape[-2:], specs[3].shape[-2:]
    tile = fixed_tile(Tile, d, depth, width)
    if tile is None:
        return DeviceError(
            f"attention_gradient: has kernels for rows of q, k and v of 1 to {DEEPEST} elements, got {depth} "
            f"and {width}; compute the scores in steps"
        )
    if not limits.software or tile.turns(rows, length, depth, width) <= TURNS:
        return None
    return DeviceError(
        "attention_gradient: has too many rows for one kernel of this device, on which a processor does the "
        "work of a GPU; use fewer, or compute the scores in steps"
    )


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make a dispatch for the rows of q, and one for those of k and v where their gradients are wanted."""
    _, q, _, v, *_ = n.srcs
    (rows, depth), (length, width) = q.shape[-2:], v.shape[-2:]
    fixed = fixed_tile(Tile, printer.d, depth, width)
    count = math.prod(q.shape[:-2])
    assert fixed is not None  # see _refusal
    tile = best_tile(printer, n, n.srcs[1:], fixed, FORMS, "attention gradient")
    wanted: dict[int, Matrices] = {}
    for m in n.siblings:
        if m.id in printer.places:
            number: int = getattr(m.op, "index", 0)
            slot, place = printer.places[m.id]
            high, long = m.shape[-2:]
            wanted[number] = Matrices(slot, high, long, place, high * long, long)
    facts = Matrices(scratch(max(4, 12 * count * rows)), rows, 3, 0, rows * 3, 3)
    made = []
    if count * rows:
        step = _step(printer, n, tile, rows)
        step.matrices("facts", facts, "w")
        _result(step, "dq", wanted.get(0))
        dims = _dims(tile, n, depth, width, depth) | {"WANTED": int(0 in wanted)}
        made.append(step.kernel("attention_rows", count * math.ceil(rows / tile.each), dims))
    if count * length and (1 in wanted or 2 in wanted):
        step = _step(printer, n, tile, length)
        step.matrices("facts", facts)
        _result(step, "dk", wanted.get(1))
        _result(step, "dv", wanted.get(2))
        dims = _dims(tile, n, depth, width, max(depth, width))
        made.append(step.kernel("attention_columns", count * math.ceil(length / tile.each), dims))
    return made


def _step(printer: KernelPrinter, n: Node, tile: Tile, kept: int) -> Dispatch:
    """Begin a dispatch whose workgroups keep some of `kept` rows each."""
    ct, q, k, v, *mask = n.srcs
    step = Dispatch(printer, n)
    step.sizes(
        count=math.prod(q.shape[:-2]),
        tiles=math.ceil(kept / tile.each),
        height=q.shape[-2],
        length=k.shape[-2],
    )
    (bits,) = pack_words(n.params["scale"], F32)
    step.blocks["scale"] = f"fn scale() -> f32 {{ return bitcast<f32>({step.word(bits)}); }}\n"
    for name, operand in (("ct", ct), ("q", q), ("k", k), ("v", v)):
        step.operand(name, operand)
    for operand in mask:
        masked(step, operand)
    return step


def _result(step: Dispatch, name: str, found: Matrices | None) -> None:
    """Write the function `name`_store, which does nothing where nobody wants the result."""
    if found is None:
        head = f"fn {name}_store(b: u32, i: u32, j: u32, value: f32)"
        step.blocks[name] = f"{head} {{ }}\n"
    else:
        step.matrices(name, found, "w")


def _dims(tile: Tile, n: Node, depth: int, width: int, longest: int) -> dict[str, Any]:
    deep, wide = math.ceil(depth / 4), math.ceil(width / 4)
    return {
        "ROWS": tile.each, "LANES": tile.lanes, "KEYS": tile.keys, "DEPTH": depth, "WIDTH": width,
        "DEEP": deep, "WIDE": wide, "PART": math.ceil(math.ceil(longest / 4) / tile.lanes),
        "CAUSAL": int(bool(n.params["causal"])),
    }  # fmt: skip


register(Record(op="attention_gradient", passes=_passes, adds_up=True, refusal=_refusal))
