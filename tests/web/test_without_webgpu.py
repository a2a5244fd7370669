"""A browser whose WebGPU finds no adapter: programs run on the processor, and are said to."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.web import chromium
from tests.web.desk import START, Desk
from tests.web.stage import Stage
from tests.web.test_element import Guest, serve
from tests.web.test_page_digits import CURVE_PROGRAM, TRAINED, recorded


@pytest.fixture(scope="module")
def adapterless(stage: Stage) -> Iterator[Browser]:
    """Another browser, which has WebGPU and no adapter."""
    assert stage.browser  # starts Playwright
    assert stage.playwright
    with chromium.launch(stage.playwright, webgpu=False) as browser:
        yield browser


@pytest.fixture(scope="module")
def desk(adapterless: Browser, stage: Stage) -> Desk:
    """The page in it."""
    desk = Desk(adapterless.new_page(), stage.site.url)
    desk.until_ready()
    return desk


@pytest.fixture(scope="module")
def host(stage: Stage) -> Iterator[str]:
    """A site of someone else, with what the build makes under some folder of its own."""
    assert stage.site.url  # built
    yield from serve("/lessons/=tests/web/guest", "/tools/tabgrad/=web/dist")


def test_programs_run_on_the_processor(desk: Desk) -> None:
    assert "has WebGPU, but found no adapter" in (desk.page.locator("#notice").text_content() or "")
    assert desk.run("import tabgrad as tg\nprint(tg.get_default_device())") == "cpu\n"


def test_it_trains_on_the_processor(desk: Desk) -> None:
    losses = json.loads(desk.run(CURVE_PROGRAM, TRAINED).partition("curve ")[2])
    assert losses == pytest.approx(recorded(3), rel=0, abs=1e-3)
    assert "found no adapter" in (desk.page.locator("#notice").text_content() or "")


def test_the_element_says_so_and_runs_on_the_processor(adapterless: Browser, host: str) -> None:
    guest = Guest(adapterless.new_page(), host + "lessons/")
    guest.press("first")
    guest.until("first", "output", "rate 0.5 True a 1.0", START)
    assert "found no adapter" in guest.part("first", "told")
    assert "runs on the processor" in guest.part("first", "told")
    guest.press("needy")
    guest.until("needy", "told", "needs a GPU")
    assert guest.part("needy", "run") == "Run"
