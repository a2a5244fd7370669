"""The pages of docs/notebooks.md in Chromium, as they stand there: PyScript, and Pyodide with nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.web.internet import ROOT, Internet
from tests.web.neighbours import Process
from tests.web.stage import Stage

SECONDS = 1000
ANSWER = ("gradient", "[3.0, 12.0, 27.0]", "on", "webgpu")


def documented(title: str) -> str:
    """The page with this title in the documentation."""
    text = (ROOT / "docs" / "notebooks.md").read_text("utf-8")
    (page,) = (p for p in re.findall(r"```html\n(.*?)```", text, re.S) if f"<title>{title}</" in p)
    return page


@pytest.fixture(scope="module")
def course(stage: Stage) -> Iterator[Process]:
    """Opens pages beside each other: what one has compiled need not be compiled for the next."""
    stage.make()
    course = Process(stage.browser, "https://course.example/")
    course.first.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
    course.first.goto(course.url)
    yield course
    course.close()


def check(course: Process, text: str, *, isolated: bool = False) -> None:
    """Open a page and wait for what it shows in the end; nothing else may be asked of the internet."""
    internet = Internet(text, isolated)
    said: list[str] = []
    page = course.open()
    page.route("**/*", internet.answer)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    page.goto(course.url)
    done = "() => document.body.innerText.includes('webgpu')"
    try:
        page.wait_for_function(done, timeout=120 * SECONDS, polling=100)
    except Exception as error:
        raise AssertionError(f"{said}; refused: {internet.refused}") from error
    shown = page.evaluate("document.body.innerText")
    assert tuple(re.findall(r"\[.*\]|\S+", shown)) == ANSWER, shown
    assert internet.refused == []


def test_pyscript_on_the_main_thread(course: Process) -> None:
    check(course, documented("tabgrad in PyScript"))


def test_pyscript_in_a_worker(course: Process) -> None:
    text = documented("tabgrad in PyScript")
    assert text.count('<script type="py">') == 1
    check(course, text.replace('<script type="py">', '<script type="py" worker>'), isolated=True)


def test_a_bare_page_with_micropip(course: Process) -> None:
    check(course, documented("tabgrad in a bare page"))
