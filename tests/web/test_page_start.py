"""How Python starts in the page: from a snapshot, and without one where that can't be used."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.chromium import ROOT
from tests.web.desk import Desk

SECONDS = 1000
PROGRAM = """
import random, sys
import tabgrad as tg
import tabgrad.linalg, decimal
print("number", tg.linspace(0, 1, 5).sum().item(), random.random())
print("frozen" if __import__("gc").get_freeze_count() else "fresh", tg.linalg.det(tg.eye(3)).item())
"""


def beginning_of_snapshot() -> bytes:
    """Some of it is enough for what is looked at first, and quicker to hand over than 30 MB."""
    (path,) = (ROOT / "web/dist/python").glob("snapshot-*.bin")
    with path.open("rb") as file:
        return file.read(4096)


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


@pytest.mark.parametrize("fault", ["missing", "broken", "another"])
def test_it_starts_without_a_snapshot_that_is_no_use(page: Page, site_url: str, fault: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))

    # the magic number of a snapshot; and the build of Pyodide that it is of
    body = bytearray(beginning_of_snapshot())
    place = 0 if fault == "broken" else 16
    body[place : place + 4] = b"none"

    def answer(route: Route) -> None:
        if fault == "missing":
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

    page.route("**/python/snapshot-*.bin", answer)
    page.route(site_url, answer_page)
    words = started(page, site_url)
    assert (words[:2], words[3:]) == (["number", "2.5"], ["fresh", "1.0"])
    assert [text for text in said if "without its snapshot" in text]
    expect(page.locator("#stage")).not_to_have_text("Python broke down")
