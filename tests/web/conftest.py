"""Tests in Chromium: functions that run inside Pyodide, and pages driven from outside."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests import collected
from tests.web.collect import STAGE, InsideFile
from tests.web.desk import Desk
from tests.web.interpreter import ROOT
from tests.web.site import Site
from tests.web.stage import Stage

# it needs what the stage wgpu kept
collect_ignore = [] if collected.COLLECTING else ["test_shaders.py"]

INSIDE = pathlib.Path(__file__).parent / "inside"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STAGE] = Stage(config.getoption("--engine"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if STAGE in config.stash:
        config.stash[STAGE].close()


def pytest_pycollect_makemodule(
    module_path: pathlib.Path, parent: pytest.Collector
) -> pytest.Collector | None:
    if module_path.parent == INSIDE:
        return InsideFile.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config) -> Stage:
    """The server, the browser and the shared interpreters."""
    return pytestconfig.stash[STAGE]


@pytest.fixture
def browser(stage: Stage) -> Browser:
    """A browser with WebGPU."""
    return stage.browser


@pytest.fixture
def site_url(stage: Stage) -> str:
    """The address of the built page, ending in a slash."""
    return stage.site.url


@pytest.fixture
def plain(stage: Stage) -> Iterator[Site]:
    """The built page on a host as most static ones, which sends no headers and compresses nothing."""
    assert stage.site.url  # built
    site = Site(isolated=False)
    yield site
    site.close()


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    """A fresh page, not yet at `site_url`; an exception that nobody catches fails the test."""
    uncaught: list[str] = []
    page = stage.neighbours.open()
    page.on("pageerror", lambda error: uncaught.append(str(error)))
    yield page
    stage.neighbours.tidy()
    assert not uncaught, f"uncaught in the page: {uncaught}"


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], pathlib.Path]:
    """Save what the page shows as `.cache/screenshots/<name>.png`, for people to look at."""

    def save(name: str) -> pathlib.Path:
        path = ROOT / ".cache" / "screenshots" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=path)
        return path

    return save


class Desks:
    """Makes the page that most tests of a module share, and another one in its place."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.uncaught: list[str] = []
        self.latest: Desk | None = None

    def make(self) -> Desk:
        """Open a page in place of that of the module before, or of one that does not answer."""
        self.latest = self.stage.new_desk(lambda error: self.uncaught.append(str(error)))
        return self.latest


@pytest.fixture(scope="module")
def desks(stage: Stage) -> Iterator[Desks]:
    """One page for most tests of a module; an exception that nobody catches fails them in the end."""
    desks = Desks(stage)
    yield desks
    assert not desks.uncaught, f"uncaught in the page: {desks.uncaught}"


@pytest.fixture
def desk(desks: Desks) -> Desk:
    """The page, when Python has started; another one if the test before failed and left a program running."""
    desk = desks.latest
    if desk is None or desk.busy:
        desk = desks.make()
    desk.until_ready()
    return desk
