"""The page, whatever program runs in it: output, errors, stopping, safety, looks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Browser, Page

from tests.web.chromium import ROOT
from tests.web.desk import Desk, Stroke
from tests.web.site import Site
from tests.web.stage import Stage

EVERY_PANEL = """
from tabgrad.utils import progress

with progress.bar(total=2) as bar:
    bar.update()
    bar.log(loss=1.0)
progress.publish(predict=lambda pixels: [0.1] * 10)
"""

PRINT_IMAGE = """
from tabgrad.utils import progress

def predict(pixels):
    print(pixels)
    return [0.1] * 10

progress.publish(predict=predict)
"""


PLAIN_PYTORCH = """
import tabgrad; tabgrad.as_torch()
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

device = "cuda" if torch.cuda.is_available() else "cpu"
x = torch.arange(32.0).reshape(16, 2) / 16
data = TensorDataset(x, x.sum(1, keepdim=True) * 2 + 1)
model = nn.Linear(2, 1).to(device)
nn.init.zeros_(model.weight)
nn.init.zeros_(model.bias)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for a, b in DataLoader(data, batch_size=8):
        optimizer.zero_grad()
        loss = F.mse_loss(model(a.to(device)), b.to(device))
        loss.backward()
        optimizer.step()
    print(f"{loss.item():.3f}")
"""
"""A program for PyTorch, but for its first line."""


@pytest.fixture
def plain_desk(browser: Browser, stage: Stage) -> Iterator[Desk]:
    """The page as most static hosts serve it: without memory shared with the worker."""
    assert stage.site.url  # built
    site = Site(isolated=False)
    with browser.new_context() as context:
        desk = Desk(context.new_page(), site.url)
        desk.until_ready()
        assert desk.page.evaluate("crossOriginIsolated") is False
        yield desk
    site.close()


@pytest.fixture
def frail_desk(browser: Browser, site_url: str) -> Iterator[Desk]:
    """A page in which the worker may break down."""
    with browser.new_context() as context:
        desk = Desk(context.new_page(), site_url)
        desk.until_ready()
        yield desk


def test_the_editor_opens_with_the_file_of_the_package(desk: Desk) -> None:
    desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.page.locator(".cm-content").press("Control+A")
    desk.page.keyboard.press("Control+C")
    text = desk.page.evaluate("navigator.clipboard.readText()")
    assert text == (ROOT / "py/tabgrad/examples/digits.py").read_text()


def test_what_is_printed_appears(desk: Desk) -> None:
    program = "import sys\nprint('a', end='')\nprint('b')\nprint('é✓', file=sys.stderr)"
    assert desk.run(program) == "ab\né✓\n"
    assert desk.stage.startswith("Finished")


def test_a_program_is_main_and_has_a_name_of_its_own_when_edited(desk: Desk) -> None:
    assert desk.run("import sys\nprint(__name__, sys.argv)") == "__main__ ['my_digits.py']\n"
    assert desk.page.locator("#name-shown").text_content() == "my_digits.py"


def test_top_level_await_works(desk: Desk) -> None:
    assert desk.run("import asyncio\nprint(await asyncio.sleep(0, 'slept'))") == "slept\n"


def test_an_error_shows_the_lines_of_the_program_alone(desk: Desk) -> None:
    output = desk.run("import json\n\ndef read():\n    return json.loads('{')\n\nread()\n")
    assert desk.stage == "Ended with an error"
    assert "line 6, in <module>" in output
    assert "line 4, in read" in output
    assert "JSONDecodeError: Expecting property name" in output
    assert "decoder.py" not in output
    assert "runner.py" not in output


def test_causes_are_shown_too(desk: Desk) -> None:
    program = "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e\n"
    output = desk.run(program)
    assert "ZeroDivisionError" in output
    assert "KeyError: 'k'" in output


def test_a_syntax_error_shows_where(desk: Desk) -> None:
    output = desk.run("x = (1,\n")
    assert 'File "my_digits.py", line 1' in output
    assert "SyntaxError: '(' was never closed" in output


def test_the_page_goes_on_after_an_error(desk: Desk) -> None:
    desk.run("1 / 0")
    assert desk.run("print('still here')") == "still here\n"


def test_one_run_sees_nothing_of_the_one_before(desk: Desk) -> None:
    desk.run("x = 1")
    assert desk.run("print('x' in globals())") == "False\n"


def test_a_program_for_pytorch_runs_below_one_line(desk: Desk) -> None:
    # what PyTorch prints
    assert desk.run(PLAIN_PYTORCH) == "29.152\n0.051\n"
    assert desk.stage.startswith("Finished")
    gone = "import importlib.util\nprint(importlib.util.find_spec('torch'))"
    assert desk.run(gone) == "None\n"


@pytest.mark.parametrize(
    "program",
    [
        "print('going')\nwhile True:\n    pass",
        "i = 0\nwhile True:\n    print('going', i)\n    i += 1",
        "import asyncio\nprint('going')\nawait asyncio.sleep(1000)",
        "from tabgrad.utils import progress\nprint('going')\n"
        "with progress.bar() as bar:\n    while True:\n        bar.update()",
    ],
    ids=["loop", "flood", "await", "progress"],
)
def test_stop_is_gentle_on_an_isolated_page(desk: Desk, program: str) -> None:
    desk.write(program)
    desk.press()
    desk.until_output("going")
    assert desk.draws()
    desk.press()
    desk.until_output("Stopped.", 2000)
    assert desk.output.endswith("Stopped.\n")
    desk.until_stage("Stopped")
    assert desk.run("print('again')") == "again\n"


def test_a_program_that_does_not_listen_is_stopped_with_its_worker(desk: Desk) -> None:
    desk.write(
        "print('going')\nwhile True:\n    try:\n        while True:\n            pass\n"
        "    except KeyboardInterrupt:\n        pass\n"
    )
    desk.press()
    desk.until_output("going")
    desk.press()
    desk.until_output("Python starts afresh", 2000)
    desk.until_ready()
    assert desk.run("print('again')") == "again\n"


def test_stop_works_on_any_host(plain_desk: Desk) -> None:
    plain_desk.write("print('going')\nwhile True:\n    pass")
    plain_desk.press()
    plain_desk.until_output("going")
    plain_desk.press()
    plain_desk.until_output("Python starts afresh", 1500)
    plain_desk.until_ready()
    assert plain_desk.run("print('again')") == "again\n"


def test_a_breakdown_of_python_is_said_and_mended(frail_desk: Desk) -> None:
    frail_desk.write(
        "class Link:\n    __slots__ = ('last',)\n\nchain = None\n"
        "for _ in range(100_000):\n    link = Link()\n    link.last = chain\n    chain = link\n"
        "del link\nchain = None\nprint('survived')"
    )
    frail_desk.press()
    frail_desk.until_output("Python broke down")
    frail_desk.until_ready()
    assert frail_desk.run("print('again')") == "again\n"


def test_a_program_started_early_waits_for_python(page: Page, site_url: str) -> None:
    desk = Desk(page, site_url)
    desk.write("print('at last')")
    desk.press()
    desk.until_output("at last", 90_000)


def test_output_is_text_and_never_a_page(desk: Desk) -> None:
    desk.run("print('<img src=x onerror=\"document.title = 1\"><b>bold</b>')")
    assert desk.page.locator("#output img, #output b").count() == 0
    assert "onerror" in desk.output


def test_a_program_reaches_nothing_of_the_document(desk: Desk) -> None:
    names = "('document', 'localStorage', 'parent', 'opener')"
    assert desk.run(f"import js\nprint([n for n in {names} if hasattr(js, n)])") == "[]\n"


def test_everything_comes_from_the_pages_own_origin(page: Page, site_url: str) -> None:
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    desk = Desk(page, site_url)
    desk.until_ready()
    desk.run("import numpy")
    assert any("/pyodide.asm-" in url and url.endswith(".wasm") for url in asked)
    assert any("numpy" in url for url in asked)
    inside = ("data:text/javascript", "blob:null/", "about:srcdoc")
    assert [url for url in asked if not url.startswith((site_url, *inside))] == []


def test_numpy_comes_when_a_program_asks_for_it(desk: Desk) -> None:
    assert desk.run("import sys\nprint('numpy' in sys.modules)") == "False\n"
    assert desk.run("import numpy\nprint(numpy.arange(5).sum())", 60_000) == "10\n"


def test_the_software_adapter_is_named(desk: Desk) -> None:
    assert "swiftshader" in (desk.page.locator("#device").text_content() or "").lower()
    assert "not on a GPU" in (desk.page.locator("#notice").text_content() or "")


def test_progress_draws_curves_and_a_bar(desk: Desk) -> None:
    desk.run(
        "from tabgrad.utils import progress\nwith progress.bar(total=40, desc='x') as bar:\n"
        "    for i in range(40):\n        bar.update()\n        bar.log(height=i / 2, width=1)\n"
    )
    assert desk.page.locator(".chart h3").all_text_contents() == ["Height", "Width"]
    assert desk.page.locator(".chart output").all_text_contents() == ["19.5", "1.00"]
    assert desk.page.locator("#progress").evaluate("(bar) => bar.value") == 1
    assert (desk.page.locator("#count").text_content() or "").startswith("40 steps in")
    label = desk.page.locator(".plot").first.get_attribute("aria-label")
    assert label == "Curve of height: 19.5 at step 40"


def test_of_nested_bars_the_outer_one_counts_and_both_are_drawn(desk: Desk) -> None:
    desk.run(
        "from tabgrad.utils import progress\nwith progress.bar(total=3) as outer:\n"
        "    for i in range(3):\n        with progress.bar(total=50) as inner:\n"
        "            inner.update(50)\n            inner.log(inside=i)\n"
        "        outer.update()\n        outer.log(outside=i)\n"
    )
    assert (desk.page.locator("#count").text_content() or "").startswith("3 steps in")
    assert desk.page.locator(".chart h3").all_text_contents() == ["Inside", "Outside"]


def test_what_is_drawn_reaches_the_published_function(desk: Desk) -> None:
    desk.run(
        "from tabgrad.utils import progress\n"
        "def predict(pixels):\n    assert len(pixels) == 64 and max(pixels) <= 1\n"
        "    left = sum(pixels[i] for i in range(64) if i % 8 < 4)\n"
        "    return [left / sum(pixels)] + [0.0] * 9\n"
        "progress.publish(predict=predict)\n"
    )
    desk.draw([[(0.5, 0.2), (0.5, 0.8)]])
    desk.until("document.getElementById('verdict').textContent !== ''")
    assert abs(desk.shares()[0] - 50) < 5
    desk.page.locator("#clear-drawing").click()
    assert desk.page.locator("#verdict").text_content() == ""


def image(desk: Desk, strokes: Sequence[Stroke]) -> list[float]:
    """What a program sees of a drawing, after `PRINT_IMAGE`."""
    seen = desk.output.count("]")
    desk.draw(strokes)
    desk.until(f"document.getElementById('output').textContent.split(']').length > {seen + 1}")
    desk.page.wait_for_timeout(300)
    pixels: list[float] = json.loads(desk.output.strip().splitlines()[-1])
    desk.page.locator("#clear-drawing").click()
    return pixels


def test_a_drawing_is_made_like_the_data(desk: Desk) -> None:
    desk.run(PRINT_IMAGE)
    bar = image(desk, [[(0.5, 0.2), (0.5, 0.8)]])
    assert all(0 <= 16 * pixel <= 16 and (16 * pixel).is_integer() for pixel in bar)
    assert 0.25 < sum(bar) / 64 < 0.36  # the ink of UCI's images
    rows = [bar[8 * i : 8 * i + 8] for i in range(8)]
    assert all(max(row) > 0 for row in (rows[0], rows[7]))
    assert sum(row[0] for row in rows) == 0
    elsewhere = image(desk, [[(0.2, 0.1), (0.2, 0.4)]])
    slanted = image(desk, [[(0.65, 0.2), (0.35, 0.8)]])
    for other in (elsewhere, slanted):
        assert max(abs(a - b) for a, b in zip(bar, other, strict=True)) <= 0.5
        assert sum(abs(a - b) for a, b in zip(bar, other, strict=True)) < 5
    flat = image(desk, [[(0.2, 0.5), (0.8, 0.5)]])
    assert sum(flat[:16]) == 0
    assert sum(flat[24:40]) > 4


def test_edits_survive_a_look_at_another_program(desk: Desk) -> None:
    page = desk.page
    desk.write("print('mine')")
    page.locator("#program").select_option(label="Tensors and derivatives")
    assert "Tensors and derivatives" in (page.locator(".cm-content").text_content() or "")
    page.locator("#program").select_option(label="Handwritten digits")
    assert page.locator(".cm-content").text_content() == "print('mine')"
    page.locator("#reset").click()
    assert "Train a small" in (page.locator(".cm-content").text_content() or "")
    assert not page.locator("#reset").is_visible()


def test_the_processor_can_be_chosen(desk: Desk) -> None:
    program = "import tabgrad as tg\ntg.set_default_device('cpu')\nprint(tg.ones(3).sum().item())"
    assert desk.run(program, 60_000) == "3.0\n"
    assert desk.run("import tabgrad as tg\nprint(tg.get_default_device())") == "webgpu\n"


def test_control_enter_runs(desk: Desk) -> None:
    desk.write("print('by keyboard')")
    desk.page.locator(".cm-content").press("Control+Enter")
    desk.until_output("by keyboard")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen(desk: Desk, width: int) -> None:
    desk.run(EVERY_PANEL)
    desk.page.set_viewport_size({"width": width, "height": 800})
    try:
        # charts learn of their new width a frame later
        desk.until(f"document.documentElement.scrollWidth === {width}", 5000)
        for name in ("program", "run", "editor", "output", "training", "pad", "bars"):
            box = desk.page.locator(f"#{name}").bounding_box()
            assert box is not None
            assert box["x"] >= 8, name
            assert box["x"] + box["width"] <= width - 8, name
    finally:
        desk.page.set_viewport_size({"width": 1280, "height": 800})
