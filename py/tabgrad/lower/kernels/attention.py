"""attention: tiles of k and v through workgroup memory, or one thread for each element of the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DeviceError
from tabgrad.lower.dialect import F32, pack_words
from tabgrad.lower.emit import Emitter
from tabgrad.lower.index import unflatten, var
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import TURNS, Kernel
from tabgrad.lower.matrices import Dispatch, Matrices, value_of
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register
from tabgrad.lower.tokens import Size
from tabgrad.lower.variants import size_class

if TYPE_CHECKING:
    from tabgrad.core.op import Op
    from tabgrad.core.spec import Params, Spec
    from tabgrad.lower.dialect import Dialect
    from tabgrad.lower.limits import Limits

SHARED = 4096
"""The elements that fit into the workgroup memory that every device has."""
KEYS = 32
"""The most rows of k in a tile."""
THREADS = 64
DEEPEST = 128
"""The most elements of a row of q, k or v that a tile holds."""


Form = tuple[int, int, int]
FORMS: tuple[Form, ...] = (
    (8, 64, 32), (8, 64, 16), (16, 64, 32), (16, 64, 16), (16, 64, 64), (32, 64, 32), (32, 64, 16),
    (16, 128, 32), (16, 128, 64), (32, 128, 32),
)  # fmt: skip
"""The tiles to choose from: the rows of q, the threads, and the rows of k."""


@dataclass(frozen=True)
class Tile:
    """How many rows of q a workgroup has, how many threads share each, how many rows of k it holds at once."""

    each: int
    lanes: int
    keys: int

    def __str__(self) -> str:
        return f"{self.each}x{self.keys} {self.lanes * self.each}"

    def words(self, depth: int, width: int) -> int:
        """Count the words of workgroup memory for rows of q and v of `depth` and `width` numbers."""
        deep, wide = math.ceil(depth / 4), math.ceil(width / 4)
        return 4 * self.each * deep + self.keys * (4 * deep + 4 * wide + self.each)

    def turns(self, rows: int, length: int, depth: int, width: int) -> int:
        """Count the turns of the loops of a thread, for `rows` rows of q and `length` of k and v."""
        deep, wide, threads = math.ceil(depth / 4), math.ceil(width / 4), self.lanes * self.each
        loads = math.ceil(self.keys * deep / threads) + math.ceil(self.keys * wide / threads)
        part = math.ceil(wide / self.lanes)
        scores = math.ceil(self.keys / self.lanes) * (1 + deep)
        turns = 5 * loads + scores + self.keys * (2 + part) + part + 1
        return math.ceil(length / self.keys) * turns


K = TypeVar("K", bound=Tile)
"""The tiles of one op."""


def fixed_tile(kind: type[K], d: Dialect, depth: int, width: int) -> K | None:
    """Choose the fixed tile for rows of q and v of `depth` and `width` numbers, None where there is none."""
    if not d.templates or not (0 < depth <= DEEPEST and 0 < width <= DEEPEST):
        return None
    each = 16 if max(depth, width) <= DEEPEST // 2 else 8
    tile = kind(each, THREADS // each, KEYS)
    while tile.words(depth, width) > SHARED:
        tile = replace(tile, keys=tile.keys // 2)
    return tile


def best_tile(
    printer: KernelPrinter, n: Node, operands: Sequence[Node], fixed: K, forms: Sequence[Form], name: str
) -> K:  # fmt: skip
    """Choose the tile among `forms`: as measured on the adapter, else the fixed one.

    `operands` are q, k, v and perhaps a mask; `name` is that of the choice.
    """
    limits = printer.limits
    q, _, v, *mask = operands
    (rows, depth), (length, width) = q.shape[-2:], v.shape[-2:]

    def fits(t: K) -> bool:
        whole = not limits.software or t.turns(rows, length, depth, width) <= TURNS
        return t.words(depth, width) <= SHARED and whole

    def variants() -> list[K]:
        made = [type(fixed)(each, threads // each, keys) for each, threads, keys in forms]
        return [t for t in made if fits(t)]

    batch = math.prod(q.shape[:-2])
    sizes = " ".join(str(size_class(s)) for s in (batch, rows, length, depth, width))
    seen = " causal" * bool(n.params["causal"]) + " masked" * bool(mask)
    question = f"{name} {n.spec.dtype.name} {sizes}{seen}"
    found = limits.decide(name, lambda: limits.pick(question, n.origin, variants, lambda: fixed))
    return found if fits(found) else fixed


def _refusal(
    op: Op, specs: Sequence[Spec], params: Params, d: Dialect, limits: Limits
) -> Exception | None:
    """Refuse so many keys that a thread would not finish its loops."""
    (rows, depth), (length, width) = specs[0].shape[-2:], specs[2].shape[-2:]
    tile = fixed_tile(Tile, d, depth, width)
    turns = length * (depth + 1) if tile is None else tile.turns(rows, length, depth, width)
    if not limits.software or turns <= TURNS:
        return None
    return DeviceError(
        "attention: has too many keys for one kernel of this device, on which a processor does the work of "
        "a GPU; use fewer keys, or compute the scores in steps"
    )


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make the dispatch in a language with kernel templates."""
    q, _, v, *mask = n.srcs
    rows, depth = q.shape[-2:]
    length, width = v.shape[-2:]
    fixed = fixed_tile(Tile, printer.d, depth, width)
    if not n.spec.size or fixed is None:
        return []
    tile = best_tile(printer, n, n.srcs, fixed, FORMS, "attention")
    step = Dispatch(printer, n)
    deep, wide = math.ceil(depth / 4), math.ceil(width / 4)
    count, tiles = math.prod(n.shape[:-2]), math.ceil(rows / tile.each)
    step.sizes(count=count, tiles=tiles, height=rows, length=length)
    (bits,) = pack_words(n.params["scale"], F32)
    step.blocks["scale"] = f"fn scale() -> f32 {{ return bitcast<f32>({step.word(bits)}); }}\n"
    for name, operand in zip("qkv", n.srcs, strict=False):
        step.operand(name, operand)
    for operand in mask:
        masked(step, operand)
    slot, place = printer.places[n.id]
    step.matrices("y", Matrices(slot, rows, width, place, rows * width, width), "w")
    dims = {
        "ROWS": tile.each, "LANES": tile.lanes, "KEYS": tile.keys, "DEPTH": depth, "WIDTH": width,
        "DEEP": deep, "WIDE": wide, "PART": math.ceil(wide / tile.lanes),
        "CAUSAL": int(bool(n.params["causal"])),
    }  # fmt: skip
    return [step.kernel("attention", count * tiles, dims)]


def masked(step: Dispatch, n: Node) -> None:
    """Write the function `mask_load`, which reads what is added to a score."""
    e = step.e
    index = (var("b", math.prod(n.shape[:-2])), var("i", n.shape[-2]), var("j", n.shape[-1]))
    body = e.function(lambda: f"return {_added(e, n, value_of(e, n, index))};")
    step.blocks["mask"] = f"{e.head('mask_load', *'bij', result='f32')}\n{body}}}\n"


def _added(e: Emitter, n: Node, value: str) -> str:
    """Write what an element of a mask adds to a score: a bool one -inf where it is false."""
    if n.spec.dtype is not dt.bool_:
        return value
    return e.d.choose(value, e.d.literal(0, F32), e.d.literal(-math.inf, F32))


def _line(e: Emitter, n: Node, count: int) -> None:
    """Go through the keys with the largest score so far, and the sums relative to it."""
    d, kind = e.d, e.d.compute_type(n.spec.dtype)
    q, k, v, *mask = n.srcs
    *lead, i, j = unflatten(var("g", count), n.shape)
    length, depth = k.shape[-2:]
    e.line(d.var("high", kind, d.literal(-3.4e38, kind)))
    for name in ("total", "sum"):
        e.line(d.var(name, kind, d.literal(0, kind)))
    e.open(d.loop("t", "0u", f"{Size(length)}", "1u"), "t")
    t = var("t", length)
    start = d.literal(0, kind)
    if mask:
        start = d.convert(_added(e, mask[0], e.value(mask[0], (*lead, i, t))), F32, kind)
    e.line(d.var("score", kind, start))
    e.open(d.loop("c", "0u", f"{Size(depth)}", "1u"), "c")
    c = var("c", depth)
    product = f"{e.value(q, (*lead, i, c))} * {e.value(k, (*lead, t, c))}"
    e.line(f"score = score + {d.literal(n.params['scale'], kind)} * {product};")
    e.close()
    if n.params["causal"]:
        e.line(f"if (t > {e.at(i)}) {{ score = {d.literal(-math.inf, kind)}; }}")
    e.line(d.let("top", kind, d.choose("score > high", "score", "high")))
    e.line(d.let("shrink", kind, f"exp_{kind}(high - top)"))
    e.line(d.let("weight", kind, f"exp_{kind}(score - top)"))
    e.line("high = top;")
    e.line("total = total * shrink + weight;")
    e.line(f"sum = sum * shrink + weight * {e.value(v, (*lead, t, j))};")
    e.close()
    whole = d.choose(f"total == {d.literal(0, kind)}", d.literal(1, kind), "total")
    e.store(n, (*lead, i, j), f"sum / {whole}")


register(
    Record(
        op="attention",
        threads=lambda n: n.spec.size,
        line=_line,
        passes=_passes,
        adds_up=True,
        refusal=_refusal,
    )
)
