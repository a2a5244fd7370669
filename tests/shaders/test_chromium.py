"""Chromium's compiler takes every shader, and the library keeps its error bounds there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tabgrad.lower import library, tiles
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
    assert chromium_page.compile_messages(page, library.kernel(name).source) == []


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
