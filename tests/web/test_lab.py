"""JupyterLite with tabgrad inside, on a host that sends no special headers and without a network."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.web.neighbours import Process
from tests.web.site import Site
from tests.web.stage import Stage

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 1000
CELLS = ".jp-Notebook .jp-CodeCell"


@pytest.fixture(scope="module")
def plain_site(stage: Stage) -> Iterator[Site]:
    stage.site  # noqa: B018 - builds web/dist
    site = Site(isolated=False)
    yield site
    site.close()


@pytest.fixture(scope="module")
def desktop(stage: Stage, plain_site: Site) -> Iterator[Process]:
    """Opens notebooks beside each other: what one has compiled need not be compiled for the next."""
    desktop = Process(stage.browser, plain_site.url)
    desktop.first.goto("lab/api/contents/all.json")
    yield desktop
    desktop.close()


@pytest.fixture
def lab(desktop: Process, plain_site: Site) -> Iterator[Page]:
    """A page that fails the test when it asks another host for anything."""
    page = desktop.open()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    own = (plain_site.url, f"blob:{plain_site.url}", "data:")
    assert not [url for url in asked if not url.startswith(own)]


def run_all(page: Page, notebook: str) -> list[str]:
    """Run all cells of a notebook and return what each printed, `""` for nothing."""
    page.goto(f"lab/notebooks/index.html?path={notebook}")
    expect(page.locator(CELLS).first).to_be_visible(timeout=60 * SECONDS)
    # what is run while the notebook has no kernel yet is not run at all
    expect(page.locator(".jp-KernelStatus-success")).to_have_count(1, timeout=120 * SECONDS)
    page.get_by_text("Run", exact=True).first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    cells = page.locator(CELLS)
    for i in range(cells.count()):
        # a cell shows its number when it has run
        prompt = cells.nth(i).locator(".jp-InputArea-prompt")
        expect(prompt).to_have_text(f"[{i + 1}]:", timeout=120 * SECONDS)
        errors = cells.nth(i).locator("[data-mime-type='application/vnd.jupyter.error']")
        assert errors.all_inner_texts() == []
    page.wait_for_timeout(1000)  # what the last cell prints is drawn a little after its number
    areas = [cells.nth(i).locator(".jp-OutputArea-output") for i in range(cells.count())]
    return ["\n".join(area.all_inner_texts()) for area in areas]


def test_the_files_it_lists_are_those_of_the_folder(lab: Page) -> None:
    """A later build has what an earlier one left, compressed, in the folder that it lists."""
    listed = lab.request.get("lab/api/contents/all.json").json()["content"]
    folder = ROOT / "notebooks"
    assert {one["name"] for one in listed} == {
        path.name for path in folder.iterdir() if not path.name.startswith(".")
    }


def test_a_pytorch_notebook_runs_unmodified(lab: Page) -> None:
    alias, versions, model, losses, accuracy, _plot = run_all(lab, "pytorch.ipynb")
    assert alias == "<torch means tabgrad; remove() undoes it>"
    assert "+tabgrad', 'cuda')" in versions  # the GPU is what the program asks for by that name
    assert model.startswith("Net 1,218 parameters")
    first, *_, last = (float(line.split("loss ")[1]) for line in losses.split("\n") if line)
    assert last < first
    assert accuracy.strip() in ("accuracy 99%", "accuracy 100%")
    image = lab.locator(f"{CELLS} .jp-OutputArea-output img")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") > 400


def test_the_first_steps_run_on_the_gpu(lab: Page) -> None:
    first, gradient, curvature, _points, minimum = run_all(lab, "first-steps.ipynb")
    assert "device(type='webgpu')" in first
    assert gradient.split()[:3] == ["2.829", "-0.077", "-1.382"]  # a table
    assert curvature.split() == ["12", "-1", "-1", "48", "float32", "[2,", "2]", "on", "webgpu"]
    assert minimum.split()[:2] == ["0.5", "0.5"]
