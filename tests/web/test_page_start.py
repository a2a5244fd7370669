"""How Python starts in the page: from a snapshot, and without one where that can't be used."""

from __future__ import annotations

import re
import struct

import pytest
from playwright.sync_api import Page, Request, Response, Route, expect

from tests.web.chromium import ROOT
from tests.web.desk import Desk
from tests.web.site import Site

SECONDS = 1000
PROGRAM = """
import random, sys
import tabgrad as tg
import tabgrad.linalg, decimal
print("number", tg.linspace(0, 1, 5).sum().item(), random.random())
print("frozen" if __import__("gc").get_freeze_count() else "fresh", tg.linalg.det(tg.eye(3)).item())
"""


def empty_snapshot() -> bytearray:
    """Return a snapshot of a memory of zeros: all that Pyodide looks at, and quick to hand over."""
    (path,) = (ROOT / "web/dist/python").glob("snapshot-*.bin")
    with path.open("rb") as file:
        start = file.read(8)
        (length,) = struct.unpack_from("<I", start, 4)
        head = start + file.read(length - 8)
        _, size = struct.unpack("<II", file.read(8))
    return bytearray(head + struct.pack("<II", 1, size))


def started(page: Page, site_url: str) -> list[str]:
    """Open the page, run the program and return the words that it prints."""
    desk = Desk(page, site_url)
    desk.until_ready()
    return desk.run(PROGRAM).split()


def test_a_snapshot_starts_with_random_numbers_of_its_own(page: Page, site_url: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    first = started(page, site_url)
    assert (first[:2], first[3:]) == (["number", "2.5"], ["frozen", "1.0"])
    assert not [text for text in said if "without its snapshot" in text]
    second = started(page, site_url)
    assert first[2] != second[2]


def test_what_is_loaded_is_told_in_bytes(page: Page, site_url: str) -> None:
    held: list[Route] = []
    page.route("**/python/snapshot-*", lambda route: held.append(route))
    desk = Desk(page, site_url)
    bar = page.locator("#loading")
    desk.until("document.getElementById('loading').value > 0.1")
    assert re.fullmatch(r"Loading Python: \d+ of \d\d MB…", desk.stage), desk.stage
    assert bar.is_visible()
    for route in held:
        route.continue_()
    page.unroute("**/python/snapshot-*")
    desk.until_ready()
    assert not bar.is_visible()


FAULTS = {
    "missing": "is missing (404)",
    "broken": "invalid magic number",
    "another": "build id mismatch",
    "cut off": "the snapshot is cut off",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_starts_without_a_snapshot_that_is_no_use(page: Page, site_url: str, fault: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))

    # the magic number of a snapshot; and the build of Pyodide that it is of
    body = empty_snapshot()
    if fault == "cut off":
        del body[-2:]
    else:
        place = 0 if fault == "broken" else 16
        body[place : place + 4] = b"none"

    def answer(route: Route) -> None:
        if fault == "missing" or route.request.url.endswith(".gz"):
            route.fulfill(status=404)
        else:
            route.fulfill(body=bytes(body), content_type="application/octet-stream")

    def answer_page(route: Route) -> None:
        response = route.fetch()
        text, found = re.subn(
            r'("snapshot.bin":\{[^}]*"size":)\d+', rf"\g<1>{len(body)}", response.text()
        )
        assert found == 1
        route.fulfill(response=response, body=text)

    page.route("**/python/snapshot-*", answer)
    page.route(site_url, answer_page)
    words = started(page, site_url)
    assert (words[:2], words[3:]) == (["number", "2.5"], ["fresh", "1.0"])
    (why,) = [text for text in said if "without its snapshot" in text]
    assert FAULTS[fault] in why
    expect(page.locator("#stage")).not_to_have_text("Python broke down")


def sent(page: Page, url: str) -> dict[str, int]:
    """Open the page and run a program; returns the bytes that were sent of each file that Python is made of."""
    assert started(page, url)[:2] == ["number", "2.5"]
    page.wait_for_function(  # these come when the program is over
        """() => ["python_stdlib", "tabgrad"].every((name) => performance.getEntriesByType("resource")
            .some((entry) => entry.name.includes(`/python/${name}-`) && entry.name.endsWith(".gz")))"""
    )
    entries: dict[str, int] = page.evaluate(
        """() => Object.fromEntries(performance.getEntriesByType("resource")
            .filter(({ name }) => name.includes("/python/"))
            .map(({ name, encodedBodySize }) => [name.split("/python/")[1], encodedBodySize]))"""
    )
    return entries


def test_a_host_that_does_not_compress_sends_packed_files(page: Page, plain: Site) -> None:
    """Which is what the page asks it for: each file is looked at, and its packed form taken."""
    files = sent(page, plain.url)
    packed = {name: size for name, size in files.items() if name.endswith(".gz")}
    assert len(packed) == 5
    assert sum(packed.values()) < 22_000_000  # of 70 MB


def test_no_file_is_fetched_twice(page: Page, site_url: str, plain: Site) -> None:
    def late(route: Route) -> None:
        page.wait_for_timeout(1000)
        route.continue_()

    for url in (site_url, plain.url, "early.js comes late"):
        if url not in (site_url, plain.url):
            url = site_url
            page.route("**/early-*.js", late)
        asked: list[str] = []
        missing: list[str] = []

        def note(request: Request, asked: list[str] = asked) -> None:
            if request.method == "GET":
                asked.append(re.sub(r"\.gz$", "", request.url))

        def look(response: Response, missing: list[str] = missing) -> None:
            if response.status >= 400:
                missing.append(response.url)

        page.on("request", note)
        page.on("response", look)
        desk = Desk(page, url)
        desk.until_ready()
        assert desk.run("import numpy\nprint(numpy.ones(3).sum())") == "3.0\n"
        page.remove_listener("request", note)
        page.remove_listener("response", look)
        names = [one.split("/python/")[1] for one in asked if "/python/" in one]
        assert (len(names), sorted(set(names))) == (6, sorted(names))
        assert not missing


def test_a_file_without_a_packed_form_is_taken_as_it_is(page: Page, plain: Site) -> None:
    page.route("**/*.gz", lambda route: route.fulfill(status=404))
    assert started(page, plain.url)[:2] == ["number", "2.5"]


LATE_FILES = "**/python/{python_stdlib,tabgrad}-*.zip"
LATER = """
layer = tg.nn.Linear(3, 2)
optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)
layer(tg.ones(4, 3)).softmax(-1).sum().backward()
optimizer.step()
print(tg.ones(3).sum().item())
import colorsys
from tabgrad import distributions
print(colorsys.rgb_to_hls(1, 0, 0)[1], distributions.Normal(0.0, 1.0).mean.item())
"""


def test_python_starts_before_all_can_be_imported_and_imports_wait(
    page: Page, site_url: str
) -> None:
    held: list[Route] = []
    free: list[bool] = []
    page.route(LATE_FILES, lambda route: route.continue_() if free else held.append(route))
    desk = Desk(page, site_url)
    desk.until_ready()
    desk.write(f"import tabgrad as tg\n{LATER}")
    desk.press()
    desk.until_output("3.0")
    desk.page.wait_for_timeout(500)
    assert (desk.output, desk.stage) == ("3.0\n", "Running…")
    assert len(held) == 2
    free.append(True)
    for route in held:
        route.continue_()
    desk.until_stage("Finished")
    assert desk.output == "3.0\n0.5 0.0\n"


def test_what_can_not_be_fetched_is_said_at_the_import(page: Page, site_url: str) -> None:
    page.route(f"{LATE_FILES}*", lambda route: route.abort())
    desk = Desk(page, site_url)
    desk.until_ready()
    output = desk.run(f"import tabgrad as tg\n{LATER}")
    assert output.startswith("3.0\n")
    assert "ImportError: colorsys: Python's library could not be fetched" in output


# What a first program does that reads the source of another module, or an error that has frames in it.
READERS = {
    "an error in Python's library": (
        'import json\njson.loads("x")',
        "JSONDecodeError: Expecting value",
    ),
    "an error in tabgrad": (
        "import tabgrad as tg\ntg.ones(2, 3) @ tg.ones(2)",
        "ShapeError: matmul",
    ),
    "no Python": ("for i in range(3)\n    print(i)", "SyntaxError: expected ':'"),
    "a word that is nearly one": (
        "improt json",
        "SyntaxError: invalid syntax. Did you mean 'import'?",
    ),
    "a report of its own": (
        'import json, traceback\ntry:\n    json.loads("x")\nexcept ValueError:\n    traceback.print_exc()',
        "in raw_decode\njson.decoder.JSONDecodeError: Expecting value",
    ),
    "a report on what is no ASCII": (
        "größe = 1\ngröße.naïve",
        "AttributeError: 'int' object has no attribute 'naïve'",
    ),
    "sources and data": (
        "import inspect, json\nimport tabgrad as tg\nprint(inspect.getsource(json)[:20])\n"
        "print(inspect.getsource(tg.nn.Linear)[:13])\n"
        'print(tg.__loader__.get_data(tg.__file__)[:3], json.__loader__.get_source("json")[3:9])',
        "class Linear(",
    ),
    "lists of what there is": (
        "import importlib\nimportlib.invalidate_caches()\nimport colorsys\nprint(colorsys.__name__, 'found')",
        "colorsys found",
    ),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_first_program_reads_what_is_still_to_come(page: Page, site_url: str, kind: str) -> None:
    program, said = READERS[kind]
    desk = Desk(page, site_url)
    desk.write(program)
    desk.press()
    desk.until_output(said, 40_000)
    assert desk.output.count("Traceback") <= 1
    assert "broke down" not in desk.output
    assert desk.run("print(6 * 7)") == "42\n"


def test_an_error_is_shown_though_what_it_reads_is_missing(page: Page, site_url: str) -> None:
    page.route(f"{LATE_FILES}*", lambda route: route.fulfill(status=404))
    desk = Desk(page, site_url)
    desk.until_ready()
    readers = dict(READERS)
    sources, _ = readers.pop("sources and data")
    listed, _ = readers.pop("lists of what there is")
    for program, said in readers.values():
        assert said in desk.run(program)
    assert "OSError: could not get source code" in desk.run(sources)
    assert re.search("ImportError: .*: Python's library could not be fetched", desk.run(listed))
    page.unroute(f"{LATE_FILES}*")
    page.wait_for_timeout(1000)
    assert "class Linear(" in desk.run(sources)
    assert desk.run(listed) == "colorsys found\n"


def test_an_error_is_shown_by_a_python_that_was_started_again(page: Page, site_url: str) -> None:
    desk = Desk(page, site_url)
    desk.until_ready()
    desk.write("import os\nos.abort()")
    desk.press()
    desk.until_output("broke down")
    desk.write(READERS["a report of its own"][0])
    desk.press()
    desk.until_output(READERS["a report of its own"][1], 40_000)
    # the lines of the library come with it
    output = desk.run(f"import colorsys\n{READERS['a report of its own'][0]}")
    assert "    return _default_decoder.decode(s)\n" in output
