"""Chromium's compiler takes every shader, and the library keeps its error bounds there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tabgrad.lower import library, shared_tiles, tiles
from tabgrad.lower.dims import FIXED
from tests.shaders import page as chromium_page, test_lib

pytestmark = pytest.mark.one_host("browser")


@pytest.fixture(scope="module")
def page() -> Iterator[chromium_page.Page]:
    from playwright.sync_api import sync_playwright

    from tests.web import chromium

    with sync_playwright() as playwright, chromium.launch(playwright) as browser:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        chromium_page.open_device(page)
        yield page


def test_the_whole_library_compiles(page: chromium_page.Page) -> None:
    assert chromium_page.compile_messages(page, library.functions(library.all_functions())) == []


@pytest.mark.parametrize("name", library.kernel_names())
def test_a_kernel_compiles_as_it_stands(page: chromium_page.Page, name: str) -> None:
    source = library.with_library(library.kernel(name).source)
    assert chromium_page.compile_messages(page, source) == []


@pytest.mark.parametrize("quad", [False, True])
@pytest.mark.parametrize("name", ["matmul", "matmul_direct"])
def test_fitted_products_compile(page: chromium_page.Page, name: str, quad: bool) -> None:
    for m, n, k in ((1, 1, 1), (7, 10, 6), (512, 512, 512), (300, 300, 33)):
        dims = f"const BATCH = 2u; const M = {m}u; const N = {n}u; const K = {k}u;\n"
        sizes = (1, m, n, k)
        tile = tiles.written(tiles.chosen(name, sizes, quad, 50), sizes)[0]
        blocks = {"dims": dims, "tile": tile}
        source = library.kernel(name).with_blocks(blocks)
        assert chromium_page.compile_messages(page, source) == []


WIDE = {
    "lhs_row": "fn lhs_row(b: u32, i: u32) -> u32 { return (b * M + i) * K; }\n",
    "lhs_step": "fn lhs_step(b: u32, k: u32) -> u32 { return k; }\n",
    "load_lhs": "fn load_lhs_four(row: u32, step: u32) -> vec4<elem> { return lhs[(row + step) / 4u]; }\n",
    "rhs_column": "fn rhs_column(b: u32, j: u32) -> u32 { return b * K * N + j; }\n",
    "rhs_step": "fn rhs_step(b: u32, k: u32) -> u32 { return k * N; }\n",
    "load_rhs": "fn load_rhs_four(k: u32, column: u32) -> vec4<elem> { return rhs[(k + column) / 4u]; }\n",
}
"""Loads of four elements of operands that are not turned."""


def test_each_tile_of_workgroup_memory_compiles(page: chromium_page.Page) -> None:
    """With one buffer of steps and with two, at a k that no tile divides."""
    bindings = (
        library.kernel("matmul")
        .blocks["bindings"]
        .replace("read> lhs: array<elem>", "read> lhs: array<vec4<elem>>")
    )
    blocks = {
        "dims": "const BATCH = 2u; const M = 36u; const N = 68u; const K = 20u;\n",
        "bindings": bindings.replace("read> rhs: array<elem>", "read> rhs: array<vec4<elem>>"),
        "load_lhs": WIDE["lhs_row"] + WIDE["lhs_step"] + WIDE["load_lhs"],
        "load_rhs": WIDE["rhs_column"] + WIDE["rhs_step"] + WIDE["load_rhs"],
    }
    lies = shared_tiles.Vectors("inner", "across")
    for one in shared_tiles.TILES:
        for tile in (one, shared_tiles.twice(one)):
            if tile.nbytes <= shared_tiles.MEMORY:
                sizes = (2, 36, 68, 20)
                text, _ = tiles.written(tile, sizes, frozenset(("lhs", "rhs")), FIXED, lies)
                source = library.kernel("matmul").with_blocks({**blocks, "tile": text})
                assert chromium_page.compile_messages(page, source) == [], str(tile)


@pytest.mark.parametrize("name", [n for n in test_lib.REFERENCED if test_lib.parameters(n)[0]])
def test_function_is_within_its_error_bound(page: chromium_page.Page, name: str) -> None:
    inputs = test_lib.samples(name)
    result = test_lib.parameters(name)[1]
    got = chromium_page.map_function(page, library.functions([name]), name, inputs, result)
    test_lib.assert_within(name, inputs, got)


@pytest.mark.parametrize("name", test_lib.AT_SPECIALS)
def test_function_at_infinities_zeros_and_nan(page: chromium_page.Page, name: str) -> None:
    inputs = test_lib.special_inputs(name)
    got = chromium_page.map_function(page, library.functions([name]), name, inputs, "f32")
    test_lib.assert_specials(name, inputs, got)
