"""Tiles of products that pass through workgroup memory: which there are, and their text.

An operand of four-fold strides is read four elements at a time: `across` where neighbouring rows of lhs (or
columns of rhs) are neighbours in memory, `inner` where neighbouring steps of k are; then each thread turns
a block of 4 x 4. With `double`, the next steps are loaded while the present ones are multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from tabgrad.lower.dims import FIXED, NONE, VARYING, Names, defined


@dataclass(frozen=True)
class SharedTile:
    """The unrolling of `matmul`: a workgroup computes `rows` x `columns` outputs, `depth` steps of k
    at a time through workgroup memory; each of its threads `height` x `width` of them. `pairs` says that the
    elements are complex: four of them are a matrix, a column of real and one of imaginary parts. With
    `double` there are two buffers of steps. Of `half` precision is what lies in workgroup memory: operands in
    float16, whose products are added up in float32 all the same."""

    rows: int
    columns: int
    depth: int
    height: int
    width: int
    pairs: bool = False
    double: bool = False
    half: bool = False

    @property
    def threads(self) -> int:
        """The size of the workgroup."""
        return self.rows // self.height * (self.columns // self.width)

    @property
    def nbytes(self) -> int:
        """The workgroup memory that it takes."""
        return (self.rows + self.columns) * self.depth * 4 << self.pairs << self.double >> self.half

    def __str__(self) -> str:
        text = f"{self.rows}x{self.columns}x{self.depth} {self.height}x{self.width}"
        return text + " double" * self.double + " half" * self.half


class Vectors(NamedTuple):
    """How the elements of lhs and rhs lie that are loaded four at a time: "across", "inner", or "" for one."""

    lhs: str = ""
    rhs: str = ""


SCALAR = Vectors()
TILES = tuple(
    SharedTile(*sizes)
    for sizes in (
        (128, 128, 8, 8, 8), (128, 64, 8, 8, 4), (64, 128, 8, 4, 8), (64, 64, 16, 4, 4), (64, 64, 8, 8, 8),
        (32, 32, 16, 4, 4), (64, 32, 16, 4, 4), (32, 64, 16, 4, 4), (128, 16, 16, 4, 4), (16, 128, 16, 4, 4),
        (64, 16, 16, 4, 4), (16, 64, 16, 4, 4), (128, 8, 16, 4, 4), (8, 128, 16, 4, 4),
    )
)  # fmt: skip
"""The tiles to choose from."""
MEMORY = 16384
"""The bytes of workgroup memory of any WebGPU device."""
FULL = 64
"""The workgroups that fill a GPU, as far as is assumed where nothing was measured."""
MOST = 8
"""The most candidates of one product."""


def shared_tile(batch: int, m: int, n: int, pairs: bool = False) -> SharedTile:
    """Choose the tile with the least estimated time."""
    return candidates(batch, m, n, pairs)[0]


def candidates(
    batch: int, m: int, n: int, pairs: bool = False, half: bool = False
) -> list[SharedTile]:
    """List the tiles that may suit a product, the least estimated time first; of `half` precision some more."""
    tiles = TILES
    if pairs:
        tiles = tuple(SharedTile(*t, 16, 4, 4, True) for t in ((64, 64), (32, 32)))
    first, *rest = sorted(tiles, key=lambda t: estimate(t, batch, m, n))
    low = estimate(first, batch, m, n)
    near = [first, *(t for t in rest if estimate(t, batch, m, n) <= 2 * low)]
    more = [twice(t) for t in near[:2] if twice(t).nbytes <= MEMORY]
    more += [replace(t, half=True) for t in (*near[:2], *more)] if half else []
    return [*near[: MOST - len(more)], *more]


def twice(t: SharedTile) -> SharedTile:
    """Return the tile with two buffers of steps."""
    return replace(t, double=True)


def estimate(t: SharedTile, batch: int, m: int, n: int) -> float:
    """Estimate a time from the outputs computed, those outside included, the loads for each, and how few
    threads there are to hide the wait for them."""
    groups = max(batch * shared_groups(t, m, n), FULL)
    loads = 2 / t.height + 2 / t.width + 8 / t.rows + 8 / t.columns
    return groups * t.rows * t.columns * (1 + loads) * (1 + 32 / t.threads)


def shared_groups(tile: SharedTile, m: int, n: int) -> int:
    """Count the workgroups of one batch entry."""
    return math.ceil(m / tile.rows) * math.ceil(n / tile.columns)


def shared_body(
    tile: SharedTile, k: int, hoisted: frozenset[str] = NONE, names: Names = FIXED,
    vectors: Vectors = SCALAR,
) -> str:  # fmt: skip
    """Write the `tile` block of `matmul` for an inner size of k, or for any.

    For operands in `vectors` there is `load_lhs_four(row, step)`, or `load_rhs_four(step, column)`.
    """
    four = "mat2x4<f32>" if tile.pairs else "vec4<elem>"
    stored = "vec4<f16>" if tile.half else four
    rows4, columns4 = tile.rows // 4, tile.columns // 4
    lines = [
        f"const TILE_ROWS = {tile.rows}u;",
        f"const TILE_COLUMNS = {tile.columns}u;",
        f"const TILE_DEPTH = {tile.depth}u;",
        defined(names.across, f"({names.n} + TILE_COLUMNS - 1u) / TILE_COLUMNS"),
        defined(names.groups, f"({names.m} + TILE_ROWS - 1u) / TILE_ROWS * {names.across}"),
        "",
        "// Four neighbouring rows, or columns, of one step of k in each vector.",
        f"var<workgroup> lhs_tile: array<{stored}, {rows4 * tile.depth << tile.double}>;",
        f"var<workgroup> rhs_tile: array<{stored}, {columns4 * tile.depth << tile.double}>;",
        "",
        f"@compute @workgroup_size({tile.threads})",
        "fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,",
        "        @builtin(local_invocation_index) local: u32) {",
        "  let place = group.y * groups.x + group.x;",
        f"  if (place >= {names.batch} * {names.groups}) {{ return; }}",
        f"  let b = place / {names.groups};",
        f"  let top = place % {names.groups} / {names.across} * TILE_ROWS;",
        f"  let left = place % {names.across} * TILE_COLUMNS;",
        f"  let row = local / {tile.columns // tile.width}u;",
        f"  let column = local % {tile.columns // tile.width}u;",
    ]
    wide = tile.width // 4
    lines += [f"  var c{r}_{c} = {four}();" for r in range(tile.height) for c in range(wide)]
    turns = doubled_turns if tile.double else plain_turns
    lines += [f"  {line}" for line in turns(tile, names, vectors)]
    across, down = tile.columns // tile.width, tile.rows // tile.height
    for r in range(tile.height):
        for c in range(wide):
            i = f"top + (row + {r // 4 * down}u) * 4u + {r % 4}u"
            j = f"left + (column + {c * across}u) * 4u"
            lines.append(f"  store_four(b, {i}, {j}, c{r}_{c});")
    ragged = k % tile.depth > 0
    lines += ["}", "", *shared_functions(ragged, hoisted, names, four, vectors)]
    lines += OF_PAIRS if tile.pairs else []
    return "\n".join(lines) + "\n"


def plain_turns(tile: SharedTile, names: Names, vectors: Vectors) -> list[str]:
    """Write the loop over k: load some steps, then multiply them."""
    return [
        f"for (var k0 = 0u; k0 < {names.k}; k0 += TILE_DEPTH) {{",
        *(f"  {line}" for fill in fills(tile, vectors) for line in fill.loop(tile.threads)),
        "  workgroupBarrier();",
        *(f"  {line}" for line in multiply(tile)),
        "  workgroupBarrier();",
        "}",
    ]


def doubled_turns(tile: SharedTile, names: Names, vectors: Vectors) -> list[str]:
    """Write the loop over k with two buffers: the next steps are loaded before the present ones are
    multiplied, and stored after that in the other buffer."""
    both = fills(tile, vectors)
    return [
        "{",
        "  let k0 = 0u;",
        *(f"  {line}" for fill in both for line in fill.loop(tile.threads)),
        "}",
        "workgroupBarrier();",
        f"for (var k1 = TILE_DEPTH; k1 < {names.k} + TILE_DEPTH; k1 += TILE_DEPTH) {{",
        f"  let more = k1 < {names.k};",
        "  let other = k1 / TILE_DEPTH % 2u;",
        "  let half = 1u - other;",
        "  let k0 = select(0u, k1, more);",
        *(f"  {line}" for fill in both for line in fill.ahead(tile.threads)),
        *(f"  {line}" for line in multiply(tile)),
        "  if (more) {",
        *(f"    {line}" for fill in both for line in fill.put(tile.threads)),
        "  }",
        "  workgroupBarrier();",
        "}",
    ]


def multiply(tile: SharedTile) -> list[str]:
    """Write the loop that multiplies the steps in workgroup memory."""
    across, down = tile.columns // tile.width, tile.rows // tile.height
    left, right = (
        f"half * {n // 4 * tile.depth}u + " * tile.double for n in (tile.rows, tile.columns)
    )
    lines = ["for (var s = 0u; s < TILE_DEPTH; s++) {"]
    wide = "vec4<elem>(%s)" if tile.half else "%s"
    # Vectors of one thread lie a workgroup apart, so that neighbours read neighbouring words.
    for v in range(tile.height // 4):
        at = f"{left}s * {tile.rows // 4}u + row + {v * down}u"
        lines.append(f"  let l{v} = {wide % f'lhs_tile[{at}]'};")
    for v in range(tile.width // 4):
        at = f"{right}s * {tile.columns // 4}u + column + {v * across}u"
        lines.append(f"  let r{v} = {wide % f'rhs_tile[{at}]'};")
    for r in range(tile.height):
        for c in range(tile.width // 4):
            product = _times_four(tile, f"l{r // 4}", "xyzw"[r % 4], f"r{c}")
            lines.append(f"  c{r}_{c} += {product};")
    return [*lines, "}"]


OF_PAIRS = [
    "fn four_of(a: elem, b: elem, c: elem, d: elem) -> mat2x4<f32> {",
    "  return mat2x4<f32>(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y));",
    "}",
    "fn times_four(re: f32, im: f32, four: mat2x4<f32>) -> mat2x4<f32> {",
    "  return mat2x4<f32>(re * four[0] - im * four[1], re * four[1] + im * four[0]);",
    "}",
]


def _times_four(tile: SharedTile, left: str, letter: str, right: str) -> str:
    """Write the product of one of the four numbers `left` with all of `right`."""
    if tile.pairs:
        return f"times_four({left}[0].{letter}, {left}[1].{letter}, {right})"
    return f"{left}.{letter} * {right}"


# -- loads -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fill:
    """How the next steps of one operand get to workgroup memory: `count` loads, number v of which is for step
    `s` and the rows (or columns) from 4 * `four` on."""

    side: str
    origin: str
    fours: int
    count: int
    s: str
    four: str
    block: bool
    size: int
    narrow: str

    def value(self, s: str = "s", four: str = "four") -> str:
        """Write a load: four neighbours, or as many for each of four steps."""
        name = f"{self.side}_{'block' if self.block else 'four'}"
        return f"{name}(b, {self.origin} + {four} * 4u, k0 + {s})"

    def stores(self, value: str, base: str = "", s: str = "s", four: str = "four") -> list[str]:
        """Write the stores of a load."""
        narrow = self.narrow
        if not self.block:
            return [f"{self.side}_tile[{base}{s} * {self.fours}u + {four}] = {narrow % value};"]
        return [
            f"{self.side}_tile[{base}({s} + {e}u) * {self.fours}u + {four}] = {narrow % f'{value}[{e}]'};"
            for e in range(4)
        ]

    def loop(self, threads: int) -> list[str]:
        """Write a loop over the loads, each stored at once."""
        put = (
            ["  let block = " + self.value() + ";", *(f"  {x}" for x in self.stores("block"))]
            if self.block
            else [f"  {x}" for x in self.stores(self.value())]
        )
        return [
            f"for (var v = local; v < {self.count}u; v += {threads}u) {{",
            f"  let s = {self.s.format(v='v')};",
            f"  let four = {self.four.format(v='v')};",
            *put,
            "}",
        ]

    def turns(self, threads: int) -> Iterable[tuple[int, str]]:
        """List the loads of one thread, each with its number; past the end the last one is repeated."""
        for t in range(math.ceil(self.count / threads)):
            v = f"local + {t * threads}u" if t else "local"
            yield t, v if (t + 1) * threads <= self.count else f"min({v}, {self.count - 1}u)"

    def ahead(self, threads: int) -> list[str]:
        """Write the loads of one thread to registers."""
        side, lines = self.side, []
        for t, v in self.turns(threads):
            lines += [
                f"let {side}_v{t} = {v};",
                f"let {side}_s{t} = {self.s.format(v=f'{side}_v{t}')};",
                f"let {side}_f{t} = {self.four.format(v=f'{side}_v{t}')};",
                f"let {side}_n{t} = {self.value(f'{side}_s{t}', f'{side}_f{t}')};",
            ]
        return lines

    def put(self, threads: int) -> list[str]:
        """Write the stores of these registers to the other buffer."""
        side, lines = self.side, []
        for t, _ in self.turns(threads):
            stores = self.stores(
                f"{side}_n{t}", f"other * {self.size}u + ", f"{side}_s{t}", f"{side}_f{t}"
            )
            whole = (t + 1) * threads <= self.count
            guard = f"if (local + {t * threads}u < {self.count}u) {{"
            lines += stores if whole else [guard, *(f"  {x}" for x in stores), "}"]
        return lines


def fills(tile: SharedTile, vectors: Vectors) -> list[Fill]:
    """Say how both operands get to workgroup memory.

    Neighbouring invocations load what are neighbours in memory: of operands that are read one element at a
    time, neighbouring k of lhs and neighbouring columns of rhs, as both lie if they are not transposed.
    """
    out = []
    for side, origin, extent in (("lhs", "top", tile.rows), ("rhs", "left", tile.columns)):
        fours, depth = extent // 4, tile.depth
        lies = vectors.lhs if side == "lhs" else vectors.rhs
        block = lies == "inner"
        if block:
            s, four = f"{{v}} % {depth // 4}u * 4u", f"{{v}} / {depth // 4}u"
        elif side == "lhs" and not lies:
            s, four = f"{{v}} % {depth}u", f"{{v}} / {depth}u"
        else:
            s, four = f"{{v}} / {fours}u", f"{{v}} % {fours}u"
        count = fours * depth // (4 if block else 1)
        narrow = "vec4<f16>(%s)" if tile.half else "%s"
        out.append(Fill(side, origin, fours, count, s, four, block, fours * depth, narrow))
    return out


def shared_functions(
    ragged: bool, hoisted: frozenset[str], names: Names, four: str = "vec4<elem>",
    vectors: Vectors = SCALAR,
) -> list[str]:  # fmt: skip
    """Write the functions that load and store four neighbours; if `ragged`, k may pass the end."""
    lines = []
    plain = four == "vec4<elem>"
    for side, letter, size, lies in (
        ("lhs", "i", names.m, vectors.lhs),
        ("rhs", "j", names.n, vectors.rhs),
    ):
        result, kind = ("block", "mat4x4<elem>") if lies == "inner" else ("four", four)
        lines.append(f"fn {side}_{result}(b: u32, {letter}: u32, k: u32) -> {kind} {{")
        if ragged or names is VARYING:
            lines.append(f"  if (k >= {names.k}) {{ return {kind}(); }}")
        if side in hoisted or lies:
            lines.append(f"  let step = {side}_step(b, k);")
        if lies:
            lines += [*wide_load(side, letter, size, lies), "}", ""]
            continue
        at = f"min({letter} + %du, {size} - 1u)"
        load = {
            ("lhs", False): f"load_lhs(b, {at}, k)",
            ("rhs", False): f"load_rhs(b, k, {at})",
            ("lhs", True): f"load_lhs(lhs_row(b, {at}), step)",
            ("rhs", True): f"load_rhs(step, rhs_column(b, {at}))",
        }[side, side in hoisted]
        lines += [
            f"  return {four if plain else 'four_of'}(",
            *(f"    {load % e}," for e in range(4)),
            "  );",
            "}",
            "",
        ]
    lines += [
        f"fn store_four(b: u32, i: u32, j: u32, acc: {four}) {{",
        f"  if (i >= {names.m}) {{ return; }}",
    ]
    for e in range(4):
        letter = "xyzw"[e]
        one = f"acc.{letter}" if plain else f"vec2<f32>(acc[0].{letter}, acc[1].{letter})"
        lines.append(f"  if (j + {e}u < {names.n}) {{ store(b, i, j + {e}u, {one}); }}")
    return [*lines, "}"]


def wide_load(side: str, letter: str, size: str, lies: str) -> list[str]:
    """Write the loads of an operand whose elements lie four by four."""
    load, own = (
        ("load_lhs_four({}, step)", "row")
        if side == "lhs"
        else ("load_rhs_four(step, {})", "column")
    )
    if lies == "across":
        # sizes are multiples of four, so four neighbours are inside together
        return ["  return " + load.format(f"{side}_{own}(b, min({letter}, {size} - 4u))") + ";"]
    return [
        "  return transpose(mat4x4<elem>(",
        *(
            "    " + load.format(f"{side}_{own}(b, min({letter} + {e}u, {size} - 1u))") + ","
            for e in range(4)
        ),
        "  ));",
    ]


__all__ = ["SharedTile", "Vectors", "candidates", "shared_body", "shared_groups", "shared_tile"]
