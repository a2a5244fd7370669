"""The page shows what a program has: pictures, tables, values, curves, a pad; and what to do about an error."""

from __future__ import annotations

import pytest
from playwright.sync_api import FrameLocator, Page

from tests.web.desk import Desk

SHOW = "from tabgrad.utils import progress\n"
ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PICTURE = f"""
import base64
from tabgrad.utils import progress


class Picture:
    def _repr_png_(self):
        return base64.b64decode({ONE_PIXEL!r})


class Drawing:
    def _repr_svg_(self):
        return '<svg viewBox="0 0 20 10" width="20" height="10"><rect width="20" height="10"/></svg>'


print("before")
progress.show(Picture())
progress.show(Drawing())
print("after")
"""

# Each would set a title, fetch from the page's own host, or lead away; the figure keeps what is harmless.
HOSTILE = """
<script>top.document.title = 'script'</script>
<img src=x onerror="top.document.title = 'onerror'">
<img src="/leak-img"><link rel="stylesheet" href="/leak-link"><link rel="preconnect" href="/leak-preconnect">
<iframe src="/leak-frame"></iframe><object data="/leak-object"></object><embed src="/leak-embed">
<meta http-equiv="refresh" content="0;url=/leak-refresh"><base href="/leak-base/">
<style>@import "/leak-import"; body { background: url(/leak-style) }</style>
<div style="background: url(/leak-inline)">div</div><div style="color: red; position: fixed; inset: 0">red</div>
<a href="javascript:top.document.title='href'">link</a><form action="/leak-form"><input autofocus></form>
<svg><script>top.document.title = 'svg'</script><image href="/leak-image"/><use href="/leak-use#a"/>
<rect fill="url(/leak-fill#a)" width="5" height="5"/><animate onbegin="top.document.title = 'begin'"/>
<foreignObject><img src="/leak-foreign"></foreignObject></svg>
<svg><style><img src=x onerror="top.document.title = 'mutation'"></style></svg>
<math><mtext><table><mglyph><style><img src=x onerror="top.document.title = 'mathml'">
"""


def shown(desk: Desk, number: int = 0) -> FrameLocator:
    """The frame of something that was shown."""
    return desk.page.frame_locator(f"#output .shown >> nth={number} >> iframe")


def test_nothing_is_shown_that_a_program_has_not(desk: Desk) -> None:
    desk.run("print('only text')")
    for panel in ("training", "draw"):
        assert not desk.page.locator(f"#{panel}").is_visible()
    desk.run(
        SHOW + "with progress.bar(total=3) as bar:\n    bar.update(3)\n    bar.log(height=1)\n"
    )
    assert desk.page.locator(".chart h3").all_text_contents() == ["Height"]
    assert not desk.page.locator("#draw").is_visible()
    desk.run(SHOW + "progress.publish(predict=lambda pixels: [0.1] * 10)")
    assert desk.page.locator("#draw").is_visible()
    assert not desk.page.locator("#training").is_visible()


def test_the_pad_can_be_drawn_on_by_keys(desk: Desk) -> None:
    desk.run(SHOW + "progress.publish(predict=lambda pixels: [float(sum(pixels) > 2)] + [0.0] * 9)")
    pad = desk.page.locator("#pad")
    pad.press("ArrowDown")
    pad.press(" ")
    for _ in range(8):
        pad.press("ArrowDown")
    desk.until("document.getElementById('verdict').textContent === 'Looks like a 0 (100 %)'")


def test_a_bar_without_a_total_is_shown(desk: Desk) -> None:
    desk.run(SHOW + "with progress.bar() as bar:\n    bar.update(3)\n    bar.log(height=1)\n")
    assert (desk.page.locator("#count").text_content() or "").startswith("3 steps in")
    assert desk.page.locator(".chart h3").all_text_contents() == ["Height"]


def test_the_panels_of_another_program_never_stay(desk: Desk) -> None:
    desk.run(
        SHOW
        + "progress.publish(predict=lambda pixels: [0.1] * 10)\nwith progress.bar(total=1) as bar:\n"
        + "    bar.log(loss=1)\nprint('x')"
    )
    desk.page.locator("#program").select_option(label="Tensors and derivatives")
    assert not desk.page.locator("#training").is_visible()
    assert not desk.page.locator("#draw").is_visible()
    assert desk.output == ""
    desk.page.locator("#program").select_option(label="Handwritten digits")


WAITS = (
    SHOW
    + "import asyncio\nprogress.publish(predict=lambda pixels: [0.1] * 10)\nprint('old')\n"
    + "with progress.bar() as bar:\n    while True:\n        bar.update()\n        bar.log(loss=1)\n"
    + "        await asyncio.sleep(0.05)\n"
)


def test_what_still_runs_shows_nothing_beside_another_program(desk: Desk) -> None:
    page = desk.page
    desk.write(WAITS)
    desk.press()
    desk.until("!document.getElementById('training').hidden")
    page.locator("#program").select_option(label="Tensors and derivatives")
    for panel in ("results", "training", "draw"):
        assert not page.locator(f"#{panel}").is_visible()
    assert "“Handwritten digits” is running" in (page.locator("#elsewhere").text_content() or "")
    page.locator("#come-back").click()
    assert page.locator("#results").is_visible()
    assert page.locator("#training").is_visible()
    assert desk.output == "old\n"
    page.locator("#program").select_option(label="Tensors and derivatives")
    desk.press()
    desk.until_stage("Ready")
    assert page.locator("#results").is_visible()
    assert not page.locator("#training").is_visible()
    assert desk.output == ""
    page.locator("#program").select_option(label="Handwritten digits")


def test_pictures_stand_between_the_lines(desk: Desk) -> None:
    desk.run(PICTURE)
    desk.page.wait_for_selector("#output canvas")
    kinds = desk.page.eval_on_selector_all(
        "#output > *", "(all) => all.map((e) => (e.firstElementChild ?? e).localName)"
    )
    assert kinds == ["div", "canvas", "iframe", "div"]
    assert desk.page.locator("#output canvas").get_attribute("aria-label") == "Image: Picture"
    shown(desk, 1).locator("svg rect").wait_for()
    assert "data" not in desk.output


def test_the_value_of_a_last_expression_is_shown(desk: Desk) -> None:
    assert desk.run("x = 6\nx * 7") == "42\n"
    assert desk.run("x = 6\nx * 7;") == ""
    assert desk.run("print('only this')") == "only this\n"
    assert desk.run("print('begun', end='')\n10") == "begun\n10\n"
    assert desk.run("import asyncio\nawait asyncio.sleep(0, 'slept')") == "'slept'\n"
    desk.run("import tabgrad as tg\ntg.arange(6.0).reshape(2, 3)", 60_000)
    shown(desk).locator("td").nth(5).wait_for()
    assert shown(desk).locator("td").all_text_contents() == ["0", "1", "2", "3", "4", "5"]
    desk.run("from tabgrad import nn\nnn.Linear(2, 3)", 60_000)
    shown(desk).locator("text=9 parameters").wait_for()
    height = desk.page.locator("#output iframe").bounding_box()
    assert height is not None
    assert 15 < height["height"] < 60


TALL = SHOW + "class H:\n    def _repr_html_(self):\n        return '<p>line</p>' * 40\n"


def test_the_newest_is_in_view_and_of_a_picture_its_top(desk: Desk) -> None:
    output = desk.page.locator("#output")
    left = "(e) => e.scrollHeight - e.scrollTop - e.clientHeight"
    # one picture is whole, without a scroller in it or around it
    desk.run(TALL + "progress.show(H())\nprint('end')")
    desk.page.wait_for_timeout(500)
    assert output.evaluate("(e) => e.scrollHeight - e.clientHeight") == 0
    root = desk.page.frame_locator("#output .shown iframe").locator("html")
    assert root.evaluate("(e) => e.scrollHeight <= e.clientHeight")
    # of more the last one begins in view
    desk.run(TALL + "for _ in range(3):\n    progress.show(H())\nprint('end')")
    desk.page.wait_for_timeout(500)
    top = "(e) => e.getBoundingClientRect().top"
    last = desk.page.locator("#output .shown >> nth=2").evaluate(top)
    assert 0 <= last - output.evaluate(top) < 700
    # and the end is, when much comes after
    desk.run(TALL + "for _ in range(3):\n    progress.show(H())\nprint('end\\n' * 100)")
    desk.page.wait_for_timeout(500)
    assert output.evaluate(left) < 24


def test_drawings_of_viz_are_shown(desk: Desk) -> None:
    desk.run(
        SHOW
        + "import tabgrad as tg\nprogress.show('words')\nprogress.show(tg.viz.show({'loss': [3.0, 2.0]}))\n"
        + "tg.viz.show(tg.rand(16, 16))",
        60_000,
    )
    assert desk.output == "words\n"
    shown(desk).locator("svg path").wait_for()
    picture = shown(desk, 1).locator("svg image, svg rect, img").first
    picture.wait_for()
    if picture.evaluate("(e) => e.localName") == "image":
        assert (picture.get_attribute("href") or "").startswith("data:image/png;base64,")


def test_large_drawings_are_shown_coarser(desk: Desk) -> None:
    for made, told in {
        "viz.image(tg.rand(3, 730, 730))": "every 2nd pixel, to be small",
        "viz.attention(tg.rand(12, 260, 260))": "to be small, each square is the largest weight of 2",
    }.items():
        desk.run(f"import tabgrad as tg\nfrom tabgrad import viz\n{made}", 60_000)
        assert desk.stage.startswith("Finished")
        shown(desk).locator(f"text:has-text('{told}')").first.wait_for()
    output = desk.run("class H:\n    def _repr_html_(self):\n        return 'a' * 3_000_000\n"
                      "    def __repr__(self):\n        return 'an H'\nH()")  # fmt: skip
    assert "at most 2,000,000 characters of html" in output
    assert "an H" in output
    assert desk.stage.startswith("Finished")


def test_steps_of_a_backward_pass_are_chosen_by_styles_alone(desk: Desk) -> None:
    desk.run(
        "import tabgrad as tg\nx = tg.ones(2, requires_grad=True)\ntg.viz.steps((x * x).sum())",
        60_000,
    )
    inside = shown(desk)
    inside.locator("label").nth(1).wait_for()
    assert inside.locator("svg >> visible=true").count() == 1
    first = inside.locator("p >> visible=true").text_content()
    inside.locator("label").nth(1).click()
    assert inside.locator("svg >> visible=true").count() == 1
    assert inside.locator("p >> visible=true").text_content() != first


def test_an_error_of_what_draws_is_told_and_the_text_is_shown(desk: Desk) -> None:
    odd = "class Odd:\n    def _repr_html_(self):\n        return 1 / 0\n"
    output = desk.run(
        f"import tabgrad as tg\n{odd}from tabgrad.utils import progress\nprogress.show(Odd())\n"
        "tg.eye(2, device='cpu').to_sparse()"
    )
    assert "ZeroDivisionError" in output
    assert "line 4, in _repr_html_" in output
    assert "Odd object at" in output
    assert "layout=tabgrad.sparse_coo" in output
    assert desk.stage.startswith("Finished")


def test_a_place_shows_the_latest(desk: Desk) -> None:
    desk.run(
        SHOW
        + "class Html:\n    def __init__(self, n):\n        self.n = n\n"
        + "    def _repr_html_(self):\n        return f'<b>{self.n}</b>'\n"
        + "for n in range(500):\n    progress.show(Html(n), place='here')\n"
    )
    assert desk.page.locator("#output .shown").count() == 1
    shown(desk).locator("b:text('499')").wait_for()


def test_too_many_values_are_skipped_with_a_note(desk: Desk) -> None:
    output = desk.run(SHOW + "for n in range(300):\n    progress.show(n)\nprint('went on')\n")
    assert output.count("a page shows 200 values of one run, and the rest was skipped") == 1
    assert "\n199\n…" in output
    assert "\n200\n" not in output
    assert output.endswith("…\nwent on\n")
    assert "at most 2,000,000 characters of html" in desk.run(
        SHOW
        + "class H:\n    def _repr_html_(self):\n        return 'a' * 3_000_000\nprogress.show(H())"
    )


def test_markup_runs_nothing_and_reaches_nothing(page: Page, site_url: str) -> None:
    asked: list[str] = []
    desk = Desk(page, site_url)
    desk.until_ready()
    title = page.title()
    page.context.on("request", lambda request: asked.append(request.url))
    desk.run(
        SHOW
        + f"class H:\n    def _repr_html_(self):\n        return {HOSTILE!r}\nprogress.show(H())"
    )
    inside = shown(desk)
    inside.locator("text=red").wait_for()
    page.wait_for_timeout(500)
    assert page.title() == title
    assert [url for url in asked if "leak" in url] == []
    for tag in ("script", "iframe", "object", "embed", "link", "style", "form", "input", "base"):
        assert inside.locator(f"body {tag}").count() == 0, tag
    assert inside.locator("text=red").evaluate("(e) => e.style.color") == "red"
    assert inside.locator("text=div").first.get_attribute("style") in (None, "")
    box = page.locator("#output iframe").bounding_box()
    assert box is not None
    assert box["height"] <= 4000
    attributes = inside.locator("body").evaluate(
        "(body) => [...body.querySelectorAll('*')].flatMap((e) => e.getAttributeNames())"
    )
    assert not [name for name in attributes if name.startswith("on") or name in ("src", "href")]


HINTS = {
    "breakpoint": ("breakpoint()\nprint('on')", "A debugger has nobody to ask here"),
    "multiprocessing": (
        "import multiprocessing\nif __name__ == '__main__':\n"
        "    multiprocessing.Process(target=print).start()",
        "can start no other program",
    ),
    "pool": ("import multiprocessing\nmultiprocessing.Pool(2)", "can start no other program"),
    "tqdm": ("from tqdm import tqdm", "from tabgrad.utils import progress"),
    "input": ("name = input('who?')", "reads no keyboard"),
    "absent": ("import pandas", "pandas is not here, and nothing can be installed"),
    "package": (
        "import pyodide_js\nawait pyodide_js.loadPackage('micropip')",
        "No package can be loaded or installed here",
    ),
    "torch": ("import torch.nn as nn", "PyTorch is not here, but tabgrad has its names"),
    "document": ("from js import document", "it sees no document"),
    "fetch": (
        "from pyodide.http import pyfetch\nawait pyfetch('https://example.org')",
        "has no network",
    ),
    "urllib": (
        "import urllib.request\nurllib.request.urlopen('http://example.org')",
        "has no network",
    ),
    "notebook": ("%pip install rich\nimport rich", "are for notebooks"),
    "shell": ("x = 1\n!pip install rich", "are for notebooks"),
    "socket": ("import socket\nsocket.create_connection(('example.org', 80))", "has no network"),
    "http": (
        "import http.client\nhttp.client.HTTPConnection('example.org').request('GET', '/')",
        "has no network",
    ),
    "window": ("import js\njs.document.title", "it sees no document"),
    "process": ("import subprocess\nsubprocess.run(['ls'])", "can start no other program"),
    "file": ("open('data.csv')", "sees no files of yours"),
    "exit": ("import sys\nsys.exit(3)", "sys.exit(3)"),
    "coroutine": ("async def main(): pass\nmain()\nprint(1)", "write await before the call"),
    "pad": (
        "from tabgrad.utils import progress\nprogress.publish(predict=3)",
        "predict must be a function, got int",
    ),
    "threads": ("import threading\nthreading.Thread(target=print).start()", "one thread"),
    "caused": (
        "try:\n    import pandas\nexcept ImportError as e:\n    raise ValueError from e",
        "pandas is not",
    ),
}


@pytest.mark.parametrize("name", HINTS)
def test_an_error_of_the_place_has_a_hint(desk: Desk, name: str) -> None:
    program, words = HINTS[name]
    output = desk.run(program)
    assert words in output
    assert "runner.py" not in output


def test_a_warning_names_the_line_of_the_program(desk: Desk) -> None:
    output = desk.run("import tabgrad as tg\n\ntg.ones(2, dtype=tg.float64, device='webgpu')")
    assert "my_digits.py:3: UserWarning: webgpu has no float64" in output


def test_other_errors_have_none(desk: Desk) -> None:
    desk.run("1 / 0")
    assert desk.page.locator("#output [data-kind=note]").count() == 0


def test_the_alias_can_be_put_in(desk: Desk) -> None:
    desk.run('"""What it is."""\n\nimport torch\nprint(torch.ones(3).sum().item())')
    desk.page.locator("#output button").click()
    desk.until_output("3.0", 60_000)
    text = desk.page.locator(".cm-content").inner_text()
    assert "import tabgrad; tabgrad.as_torch()\nimport torch" in text
    assert text.startswith('"""What it is."""')


def test_a_notice_can_be_closed(page: Page, site_url: str) -> None:
    desk = Desk(page, site_url)
    desk.until_ready()
    assert "on the processor" in (page.locator("#notice").text_content() or "")
    page.locator("#notice-close").click()
    assert not page.locator("#notice").is_visible()
    desk.run("print(1)")
    assert not page.locator("#notice").is_visible()
    page.reload()
    desk.until_ready()
    assert not page.locator("#notice").is_visible()


def test_a_phone_is_led_to_what_a_run_makes(page: Page, site_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    desk = Desk(page, site_url)
    desk.until_ready()
    desk.run("print('look')")
    page.wait_for_timeout(1000)
    top = page.locator("#results").evaluate("(e) => e.getBoundingClientRect().top")
    assert 0 <= top < 400
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, select, summary, a, input')]
            .filter((e) => e.checkVisibility() && !e.closest('.cm-editor'))
            .filter((e) => e.getBoundingClientRect().height < 44 || e.getBoundingClientRect().width < 44)
            .map((e) => e.outerHTML)"""
    )
    assert small == []


def test_the_page_names_its_source_licence_and_documentation(desk: Desk) -> None:
    foot = desk.page.locator(".foot")
    assert "pip install" in (foot.text_content() or "")
    for name in ("Documentation", "Source", "Licence (MIT)"):
        url = foot.locator(f"text={name}").evaluate("(link) => link.href")
        assert desk.page.request.get(url).ok, name


def test_the_documentation_can_be_read(page: Page, site_url: str) -> None:
    page.goto(f"{site_url}docs/")
    assert page.locator("h1").first.text_content()
    # by Sphinx or not
    links = page.eval_on_selector_all(
        "a",
        "(all) => [...new Set(all.map((a) => a.href.split('#')[0]))].filter((to) => to.includes('/docs/'))",
    )
    assert len(links) > 8
    for link in links:
        assert not link.endswith(".md")
        assert page.request.get(link).ok, link
    page.goto(f"{site_url}docs/gallery.html")
    assert page.locator("table, img").count() > 0
    assert page.eval_on_selector_all("img", "(all) => all.every((img) => img.naturalWidth > 0)")
