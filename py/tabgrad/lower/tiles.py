"""The unrolled bodies of the product kernels, for any size of tile.

A tile's accumulators must be separate variables (arrays indexed by a loop variable spill), so
their number is fixed in the text. `shaders/kernels/matmul*.wgsl` hold the text for one size
between `//@begin tile` and `//@end`; the functions here write that block for the size that suits
the shape. Dialects without `templates` have no use for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tabgrad.lower.dims import FIXED, NONE, Names, defined
from tabgrad.lower.shared_tiles import (
    MOST,
    SCALAR,
    SharedTile,
    Vectors,
    candidates,
    shared_body,
    shared_groups,
    shared_tile,
)

DIRECT_GROUP = 8
"""Invocations in a workgroup of `matmul_direct`: two quads, and one subgroup of llvmpipe."""
DIRECT_WINDOWS = 4
"""The most such tiles that are tried for windows."""
GPU_GROUP = 64
"""The same on a GPU, where windows of a convolution may be read from caches alone."""


@dataclass(frozen=True)
class DirectTile:
    """The unrolling of `matmul_direct`.

    Four neighbouring invocations share one tile of `rows` x 4 `columns` outputs, and make `unroll`
    steps of k at once. With `quad` they share the loads of lhs. The elements of `pairs` are complex. A
    workgroup has `threads`.
    """

    rows: int
    columns: int
    unroll: int
    quad: bool
    pairs: bool = False
    threads: int = DIRECT_GROUP

    @property
    def depth(self) -> int:
        """The number of steps of k in one turn of the loop."""
        return self.unroll

    def __str__(self) -> str:
        # the steps at once that suit it differ among the sizes of a class
        return f"direct {self.rows}x{4 * self.columns}" + " quads" * self.quad


def chosen(
    name: str, dims: tuple[int, int, int, int], quad: bool, runs: int, pairs: bool = False
) -> DirectTile | SharedTile:
    """Choose the tile of the product kernel `name` that suits the sizes (batch, m, n, k)."""
    if name == "matmul_direct":
        return direct_tile(dims, quad, runs, pairs)
    return shared_tile(*dims[:3], pairs)


def variants(
    name: str, dims: tuple[int, int, int, int], quad: bool, runs: int, pairs: bool = False,
    half: bool = False, windows: bool = False,
) -> list[DirectTile | SharedTile]:  # fmt: skip
    """List the tiles that may suit the sizes, that of `chosen` first; more for `windows` of an input."""
    if name == "matmul_direct":
        return [*direct_candidates(dims, quad, runs, pairs)]
    more = direct_windows(dims) if windows and not pairs else []
    return [*candidates(*dims[:3], pairs, half), *more]


def written(
    tile: DirectTile | SharedTile,
    dims: tuple[int, int, int, int],
    hoisted: frozenset[str] = NONE,
    names: Names = FIXED,
    vectors: Vectors = SCALAR,
) -> tuple[str, int]:
    """Write the `tile` block for a tile, and count the workgroups of each entry of the batch.

    The text is for this k alone, unless `names` are VARYING: then it is the same for every k.
    """
    _, m, n, k = dims
    if isinstance(tile, DirectTile):
        return direct_body(tile, k, hoisted, names), direct_groups(tile, m, n)
    return shared_body(tile, k, hoisted, names, vectors), shared_groups(tile, m, n)


# -- in registers only ---------------------------------------------------------------------------


def direct_tile(
    dims: tuple[int, int, int, int], quad: bool, runs: int = 50, pairs: bool = False
) -> DirectTile:
    """Choose the tile with the least estimated time for a product of `dims`."""
    return min(direct_estimates(dims, quad, runs, pairs), key=lambda found: found[0])[1]


def direct_candidates(
    dims: tuple[int, int, int, int], quad: bool, runs: int = 50, pairs: bool = False
) -> list[DirectTile]:
    """List the tiles that may suit a product, each of another form, the least estimated time first."""
    return direct_forms(dims, quad, runs, pairs)[:MOST]


def direct_forms(
    dims: tuple[int, int, int, int], quad: bool, runs: int, pairs: bool
) -> list[DirectTile]:
    """List a tile of each form, the least estimated time first."""
    forms: dict[tuple[int, int], DirectTile] = {}
    ranked = sorted(direct_estimates(dims, quad, runs, pairs), key=lambda found: found[0])
    for _, tile in ranked:
        forms.setdefault((tile.rows, tile.columns), tile)
    return list(forms.values())


def direct_estimates(
    dims: tuple[int, int, int, int], quad: bool, runs: int, pairs: bool
) -> Iterator[tuple[float, DirectTile]]:
    """Estimate the time of each tile: of running, and a part of that of compiling.

    It has proportions measured on software adapters, in nanoseconds of one core: a load from a buffer costs ten
    multiply-adds, and keeping an accumulator for the next turn of the loop two. Quads leave registers for eight
    elements of rhs.
    """
    batch, m, n, k = dims
    for rows in (1, 2, 4, 8, 16):
        for columns in (1, 2, 3, 4, 8):
            for unroll in sorted({1, min(2, k), min(4, k)} if not pairs else {min(4, k)}):
                shared = quad and rows >= 4
                size, most = rows * columns, (128 if quad else 64) >> pairs
                if size * unroll > 256 >> pairs or size > most:
                    continue
                loads = (rows / 4 if shared else rows) + columns
                step, ends = 9 * loads + rows + size * (0.9 + 1.8 / unroll), 40 * size
                if quad:
                    step = 11 * loads + rows * (4 * shared + max(0, columns - 8 / unroll))
                    step, ends = step + 2 * size / unroll, 60 * size + 400
                # fewer tiles than this leave cores idle
                tiles = max(16, batch * math.ceil(m / rows) * math.ceil(n / (4 * columns)))
                compiling = 0.9e6 * (25 + size * math.sqrt(unroll)) / runs
                running = tiles * (step * k + ends)
                yield running + compiling, DirectTile(rows, columns, unroll, shared, pairs)


def direct_windows(dims: tuple[int, int, int, int]) -> list[DirectTile]:
    """List tiles in registers alone for a product with windows on a GPU, the least estimated time first.

    The windows of neighbouring threads overlap, so caches hold them, and all threads read the same weights.
    """
    _, m, n, k = dims
    forms = [
        (r, c) for r in (1, 2, 4, 8, 16) for c in (1, 2, 4) if r * c <= 32 and (r > 1 or c > 1)
    ]

    def estimate(form: tuple[int, int]) -> float:
        rows, columns = form
        tiles = math.ceil(m / rows) * math.ceil(n / (4 * columns))
        return max(tiles, 1024) * (rows * columns + 4 * (rows / 4 + columns))

    best = sorted(forms, key=estimate)[:DIRECT_WINDOWS]
    return [DirectTile(r, c, min(2, k), False, threads=GPU_GROUP) for r, c in best]


def direct_body(
    tile: DirectTile, k: int, hoisted: frozenset[str] = NONE, names: Names = FIXED
) -> str:
    """Write the `tile` block of `matmul_direct` for an inner size of k, or for any.

    `hoisted` names the operands ("lhs", "rhs") whose blocks split their index into parts that are computed
    once. Such a block defines, for lhs, `lhs_row(b, i)`, `lhs_step(b, k)` and `load_lhs(row, step)`, where
    row and step are what the first two return; for rhs, `rhs_column(b, j)`, `rhs_step(b, k)` and
    `load_rhs(step, column)`.
    """
    rows, columns = tile.rows, tile.columns
    held = rows // 4 if tile.quad else rows
    lines = [
        f"const TILE_ROWS = {rows}u;",
        f"const TILE_COLUMNS = {4 * columns}u;",
        defined(names.across, f"({names.n} + TILE_COLUMNS - 1u) / TILE_COLUMNS"),
        defined(names.tiles, f"({names.m} + TILE_ROWS - 1u) / TILE_ROWS * {names.across}"),
        defined(names.groups, f"({names.tiles} + {tile.threads // 4 - 1}u) / {tile.threads // 4}u"),
        "",
        f"@compute @workgroup_size({tile.threads})",
        "fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,",
        "        @builtin(local_invocation_index) local: u32) {",
        "  let place = group.y * groups.x + group.x;",
        f"  if (place >= {names.batch} * {names.groups}) {{ return; }}",
        f"  let b = place / {names.groups};",
        f"  let wanted = place % {names.groups} * {tile.threads // 4}u + local / 4u;",
        "  // Broadcasts want all of a quad, so a surplus tile is computed and not stored.",
        f"  let tile = min(wanted, {names.tiles} - 1u);",
        "  let lane = local % 4u;",
        f"  let top = tile / {names.across} * TILE_ROWS;",
        f"  let left = tile % {names.across} * TILE_COLUMNS + lane;",
    ]
    row = "lhs_row(b, %s)" if "lhs" in hoisted else "%s"
    column = "rhs_column(b, %s)" if "rhs" in hoisted else "%s"
    for r in range(held):
        at = f"min(top + {f'{4 * r}u + lane' if tile.quad else f'{r}u'}, {names.m} - 1u)"
        lines.append(f"  let i{r} = {row % at};")
    for c in range(columns):
        lines.append(f"  let j{c} = {column % f'min(left + {4 * c}u, {names.n} - 1u)'};")
    lines += [f"  var c{r}_{c} = elem();" for r in range(rows) for c in range(columns)]
    turns = direct_turns(tile, k, hoisted) if names is FIXED else direct_any_k(tile, hoisted, names)
    lines += [*turns, *direct_ending(rows, columns, names)]
    return "\n".join(lines) + "\n"


def direct_any_k(tile: DirectTile, hoisted: frozenset[str], names: Names) -> list[str]:
    """Write the loops over K: steps of `unroll` at once, then the rest one by one.

    That of complex elements has a sum of its own, as `direct_steps` has it.
    """
    if tile.unroll == 1:
        rest = [f"    {line}" for line in direct_steps(tile, ["k"], hoisted)]
        return [f"  for (var k = 0u; k < {names.k}; k++) {{", *rest, "  }"]
    steps = ["k", *(f"k + {s}u" for s in range(1, tile.unroll))]
    places = [f"{r}_{c}" for r in range(tile.rows) for c in range(tile.columns)] * tile.pairs
    rest = direct_steps(tile, ["k"], hoisted, "rest" if tile.pairs else "c")
    return [
        f"  let whole = {names.k} - {names.k} % {tile.unroll}u;",
        f"  for (var k = 0u; k < whole; k += {tile.unroll}u) {{",
        *(f"    {line}" for line in direct_steps(tile, steps, hoisted)),
        "  }",
        *(f"  var rest{at} = elem();" for at in places),
        f"  for (var k = whole; k < {names.k}; k++) {{",
        *(f"    {line}" for line in rest),
        "  }",
        *(f"  c{at} += rest{at};" for at in places),
    ]


def direct_turns(tile: DirectTile, k: int, hoisted: frozenset[str]) -> list[str]:
    """Write the loop over the first steps of k, `unroll` at once, and the rest behind it."""
    unroll, lines = tile.unroll, []
    whole = k - k % unroll
    if whole:
        lines.append(f"  for (var k = 0u; k < {whole}u; k += {unroll}u) {{")
        lines += [
            f"    {line}"
            for line in direct_steps(tile, ["k", *(f"k + {s}u" for s in range(1, unroll))], hoisted)
        ]
        lines.append("  }")
    if k > whole:
        lines.append("  {")
        lines += [
            f"    {line}"
            for line in direct_steps(tile, [f"{s}u" for s in range(whole, k)], hoisted)
        ]
        lines.append("  }")
    return lines


def direct_steps(
    tile: DirectTile, steps: list[str], hoisted: frozenset[str], to: str = "c"
) -> list[str]:
    """Write the lines that add the products of all `steps` of k to the accumulators `to`.

    They are added one after the other, so that all tiles give the same bits. Those of complex elements have one
    number of steps, whose sum is added, which is more exact: decompositions need it.
    """
    rows, columns, places = tile.rows, tile.columns, range(len(steps))
    lines = [
        f"let {side}{s} = {side}_step(b, {k});"
        for side in sorted(hoisted)
        for s, k in enumerate(steps)
    ]
    load_lhs = "load_lhs({i}, lhs{s})" if "lhs" in hoisted else "load_lhs(b, {i}, {k})"
    load_rhs = "load_rhs(rhs{s}, {j})" if "rhs" in hoisted else "load_rhs(b, {k}, {j})"
    for s, k in enumerate(steps):
        lines += [f"let r{c}_{s} = {load_rhs.format(k=k, s=s, j=f'j{c}')};" for c in range(columns)]
    for r in range(rows):
        name, held = (f"v{r // 4}", f"i{r // 4}") if tile.quad else (f"l{r}", f"i{r}")
        if r % 4 == 0 or not tile.quad:
            for s, k in enumerate(steps):
                lines.append(f"let {name}_{s} = {load_lhs.format(k=k, s=s, i=held)};")
        if tile.quad:
            lines += [f"let l{r}_{s} = quadBroadcast(v{r // 4}_{s}, {r % 4}u);" for s in places]
        for c in range(columns):
            product = "mul_c64({}, {})" if tile.pairs else "{} * {}"
            products = " + ".join(product.format(f"l{r}_{s}", f"r{c}_{s}") for s in places)
            sign = "+=" if tile.pairs else f"= {to}{r}_{c} +"
            lines.append(f"{to}{r}_{c} {sign} {products};")
    return lines


def direct_ending(rows: int, columns: int, named: Names) -> list[str]:
    """Write the lines that store a tile: a loop, since each copy of `store` takes compile time."""
    names = [f"c{r}_{c}" for r in range(rows) for c in range(columns)]
    chunks = [", ".join(names[at : at + 8]) for at in range(0, len(names), 8)]
    return [
        f"  var done = array<elem, {rows * columns}>(",
        *(f"    {chunk}," for chunk in chunks),
        "  );",
        f"  for (var e = 0u; e < {rows * columns}u; e++) {{",
        f"    let i = top + e / {columns}u;",
        f"    let j = left + e % {columns}u * 4u;",
        f"    if (i < {named.m} && j < {named.n} && wanted < {named.tiles}) {{ store(b, i, j, done[e]); }}",
        "  }",
        "}",
    ]


def direct_groups(tile: DirectTile, m: int, n: int) -> int:
    """Count the workgroups of one batch entry."""
    tiles = math.ceil(m / tile.rows) * math.ceil(n / (4 * tile.columns))
    return math.ceil(tiles / (tile.threads // 4))


__all__ = ["DirectTile", "SharedTile", "Vectors", "chosen", "variants", "written"]
