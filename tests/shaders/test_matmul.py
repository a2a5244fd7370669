"""The product kernels, in every shape of tile, against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tabgrad.lower import library, shared_tiles, tiles
from tests.shaders import gpu

pytestmark = pytest.mark.one_host("wgpu")

KERNELS = ("matmul", "matmul_direct")


def blocks_of(b: int, m: int, n: int, k: int, lhs: str, rhs: str) -> dict[str, str]:
    return {
        "dims": f"const BATCH = {b}u;\nconst M = {m}u;\nconst N = {n}u;\nconst K = {k}u;\n",
        "load_lhs": f"fn load_lhs(b: u32, i: u32, k: u32) -> elem {{ return lhs[{lhs}]; }}\n",
        "load_rhs": f"fn load_rhs(b: u32, k: u32, j: u32) -> elem {{ return rhs[{rhs}]; }}\n",
    }


def run(
    source: str, groups: int, lhs: np.ndarray, rhs: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    out = np.full(shape, 99, lhs.dtype)
    program = gpu.Program({"lhs": lhs, "rhs": rhs, "out": out})
    program.dispatch(source, (math.ceil(groups / 3), 3, 1), ["lhs", "rhs"], ["out"])
    return program.read("out")


def operands(b: int, m: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m * 1000 + n)
    shapes = ((b, m, k), (b, k, n))
    return tuple(rng.uniform(-1, 1, shape).astype(np.float32) for shape in shapes)  # type: ignore[return-value]


@pytest.mark.parametrize("name", KERNELS)
def test_the_file_as_it_stands(name: str) -> None:
    lhs, rhs = operands(2, 7, 10, 6)
    got = run(library.kernel(name).source, 8, lhs, rhs, (2, 7, 10))
    np.testing.assert_allclose(got, lhs @ rhs, rtol=1e-5, atol=1e-6)


def test_the_files_hold_what_the_tile_writer_writes() -> None:
    direct = tiles.direct_body(tiles.DirectTile(4, 2, 2, False), 6)
    assert library.kernel("matmul_direct").blocks["tile"] == direct
    shared = shared_tiles.shared_body(shared_tiles.SharedTile(32, 32, 16, 4, 4), 6)
    assert library.kernel("matmul").blocks["tile"] == shared


SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 3, 7),
    (1, 64, 64, 64),
    (2, 33, 70, 19),
    (1, 128, 10, 33),
    (1, 9, 300, 4),
]


def fitted(name: str, dims: tuple[int, int, int, int], quad: bool) -> tuple[str, int]:
    """Return the `tile` block of the kernel that suits the sizes, and how many groups each product takes."""
    return tiles.written(tiles.chosen(name, dims, quad, 50), dims)


@pytest.mark.parametrize("quad", [False, True])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fitted_tiles(name: str, shape: tuple[int, int, int, int], quad: bool) -> None:
    b, m, n, _ = shape
    lhs, rhs = operands(*shape)
    blocks = blocks_of(*shape, "(b * M + i) * K + k", "(b * K + k) * N + j")
    blocks["tile"], groups = fitted(name, shape, quad)
    source = library.kernel(name).with_blocks(blocks)
    assert run(source, b * groups, lhs, rhs, (b, m, n)) == pytest.approx(
        lhs @ rhs, rel=1e-4, abs=1e-5
    )


@pytest.mark.parametrize(
    "tile",
    [
        tiles.DirectTile(1, 1, 1, False),
        tiles.DirectTile(2, 3, 2, False),
        tiles.DirectTile(4, 1, 1, True),
        tiles.DirectTile(8, 4, 4, True),
        tiles.DirectTile(16, 8, 1, True),
        shared_tiles.SharedTile(32, 32, 16, 4, 4),
        shared_tiles.SharedTile(64, 64, 16, 4, 4),
        shared_tiles.SharedTile(128, 128, 8, 8, 8),
    ],
    ids=str,
)
@pytest.mark.parametrize("hoisted", [False, True])
def test_each_tile_with_transposed_operands_and_an_epilogue(
    tile: tiles.DirectTile | shared_tiles.SharedTile, hoisted: bool
) -> None:
    b, m, n, k = 2, 67, 45, 11
    lhs, rhs = operands(b, m, n, k)
    blocks = blocks_of(b, m, n, k, "(b * K + k) * M + i", "(b * N + j) * K + k")
    if hoisted:
        blocks["load_lhs"] = """
fn lhs_row(b: u32, i: u32) -> u32 { return b * K * M + i; }
fn lhs_step(b: u32, k: u32) -> u32 { return k * M; }
fn load_lhs(row: u32, step: u32) -> elem { return lhs[row + step]; }
"""
        blocks["load_rhs"] = """
fn rhs_column(b: u32, j: u32) -> vec2u { return vec2u((b * N + j) * K, j); }
fn rhs_step(b: u32, k: u32) -> u32 { return k; }
fn load_rhs(step: u32, column: vec2u) -> elem { return rhs[column.x + step]; }
"""
    blocks["store"] = """
fn store(b: u32, i: u32, j: u32, acc: elem) { out[(b * N + j) * M + i] += tanh_f32(acc); }
"""
    sides = frozenset(("lhs", "rhs") if hoisted else ())
    if isinstance(tile, tiles.DirectTile):
        name, groups = "matmul_direct", tiles.direct_groups(tile, m, n)
        blocks["tile"] = tiles.direct_body(tile, k, sides)
    else:
        name, groups = "matmul", shared_tiles.shared_groups(tile, m, n)
        blocks["tile"] = shared_tiles.shared_body(tile, k, sides)
    source = library.kernel(name).with_blocks(blocks)
    turned = [np.ascontiguousarray(x.transpose(0, 2, 1)) for x in (lhs, rhs)]
    got = run(source, b * groups, turned[0], turned[1], (b, n, m))
    want = 99 + np.tanh(lhs.astype(float) @ rhs).transpose(0, 2, 1)
    np.testing.assert_allclose(got, want, rtol=2e-6)


def test_another_type_of_element() -> None:
    lhs, rhs = (x.astype(np.int32) for x in np.indices((2, 9, 9))[:2] - 3)
    blocks = blocks_of(1, 9, 9, 9, "i * K + k", "k * N + j")
    blocks["bindings"] = library.kernel("matmul").blocks["bindings"]
    for name in KERNELS:
        blocks["tile"], groups = fitted(name, (1, 9, 9, 9), True)
        source = library.kernel(name).with_blocks(blocks, alias_elem="i32")
        got = run(source, groups, lhs[0], rhs[0], (9, 9))
        np.testing.assert_array_equal(got, lhs[0] @ rhs[0])


def test_large_products_take_large_tiles_and_small_ones_small() -> None:
    large, small = (tiles.direct_tile((1, size, size, size), True) for size in (512, 8))
    assert large.rows * large.columns >= 64
    assert small.rows * small.columns <= 8
    assert shared_tiles.shared_tile(1, 1024, 1024).rows == 128
    assert shared_tiles.shared_tile(1, 64, 64).rows == 32


def test_what_a_class_has_measured_can_be_named_for_each_of_its_sizes() -> None:
    named = [
        {str(t) for t in tiles.direct_forms((1, m, n, k), True, 1000, False)}
        for m, n, k in ((20, 28, 24), (31, 32, 17), (32, 32, 32), (17, 17, 32))
    ]
    assert all(each == named[0] for each in named)
    few = [str(t) for t in tiles.direct_candidates((1, 20, 28, 24), True, 1000)]
    assert len(set(few)) == len(few) == tiles.MOST
    assert set(few) < named[0]


MEASURED = {
    (1, 128, 256, 784): (29.97, 24.7, 22.99, 20.85, 22.24, 19.74, 19.32, 19.43, 17.33),
    (1, 128, 256, 256): (10.71, 8.95, 7.93, 7.71, 8.31, 6.72, 6.95, 6.93, 6.21),
    (1, 256, 256, 128): (13.22, 8.66, 8.75, 7.6, 8.24, 7.63, 7.75, 7.16, 6.55),
    (1, 512, 192, 64): (10.24, 7.59, 7.98, 7.48, 7.1, 6.98, 8.07, 8.18, 6.14),
    (32, 64, 16, 64): (3.56, 2.89, 2.68, 4.38, 3.85, 2.29, 2.45, 4.38, 4.01),
    (1, 64, 192, 512): (9.1, 6.73, 6.71, 6.17, 7.82, 6.22, 6.56, 6.18, 5.35),
    (8, 100, 100, 24): (3.97, 3.33, 3.44, 3.39, 3.3, 3.28, 3.46, 3.49, 3.3),
}
"""The milliseconds of one core that products took with tiles in registers, on SwiftShader."""
TILES = "8x8x4 8x16x2 8x16x4 8x32x2 16x12x2 16x16x2 16x16x4 16x32x1 16x32x2".split()


@pytest.mark.parametrize("dims", MEASURED, ids=str)
def test_the_estimate_takes_a_tile_in_registers_that_measured_well(
    dims: tuple[int, int, int, int],
) -> None:
    tile = tiles.direct_tile(dims, True, 1000)
    taken = f"{tile.rows}x{4 * tile.columns}x{tile.unroll}"
    assert MEASURED[dims][TILES.index(taken)] <= 1.05 * min(MEASURED[dims])
