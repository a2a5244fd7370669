"""No program leaves its page: each way out leads out of a page without protection, and not out of ours."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from tests.web.desk import Desk
from tests.web.interpreter import ROOT, InsideError, Interpreter
from tests.web.site import Site
from tests.web.stage import Stage
from tests.web.ways import HEAR, LEFT, NAMES, STORAGE, program


class Elsewhere:
    """A server of another origin that answers everyone, and what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Answer(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                asked.append(self.path.split("/")[1])
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Cross-Origin-Resource-Policy", "cross-origin")
                self.send_header("Content-Type", "text/javascript")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"export const answer = 1;")

            do_GET = do_HEAD = do_POST = do_OPTIONS = answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    yield server
    server.close()


@pytest.fixture(scope="module")
def unprotected(stage: Stage) -> Iterator[Interpreter]:
    """Pyodide in a worker of a page that has no policy."""
    interpreter = stage.new_interpreter()
    interpreter.page.evaluate(HEAR)
    yield interpreter
    interpreter.close()


@pytest.fixture(scope="module")
def closed_desk(stage: Stage, elsewhere: Elsewhere) -> Iterator[Desk]:
    """The page on a host that sends no header; in the end nothing must have come from it, or be left behind."""
    assert stage.site.url  # built
    site = Site(isolated=False)
    uncaught: list[str] = []
    with stage.browser.new_context() as context:
        page = context.new_page()
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        desk = Desk(page, site.url)
        desk.until_ready()
        page.evaluate(HEAR)
        before = len(elsewhere.asked)
        yield desk
        page.wait_for_timeout(1000)
        assert elsewhere.asked[before:] == []
        assert left(page.evaluate(LEFT)) == []
        kept = "[document.cookie, Object.keys(localStorage), sessionStorage.length]"
        cookie, names, session = page.evaluate(kept)
        # the page's own: what was written into the editor
        assert (cookie, set(names), session) == (
            "",
            {"tabgrad.draft:digits.py", "tabgrad.programs"},
            0,
        )
    site.close()
    assert not uncaught, f"uncaught in the page: {uncaught}"


def left(found: dict[str, list[str]]) -> list[str]:
    return [name for name, names in found.items() if "left" in names]


def scripts() -> list[str]:
    """The scripts of the site."""
    dist = ROOT / "web" / "dist"
    return [p.relative_to(dist).as_posix() for p in dist.rglob("*") if p.suffix in (".js", ".mjs")]


@pytest.mark.parametrize("name", NAMES)
def test_the_way_leads_out_of_a_page_without_protection(
    unprotected: Interpreter, elsewhere: Elsewhere, stage: Stage, name: str
) -> None:
    here = stage.site.url
    source = program(name, elsewhere.url, f"{here}shell/", ["open.js"])
    attempt(unprotected, source)
    until = time.monotonic() + 5
    while name not in elsewhere.asked and time.monotonic() < until:
        unprotected.page.wait_for_timeout(20)
    assert name in elsewhere.asked


@pytest.mark.parametrize("name", STORAGE)
def test_the_way_leads_into_the_storage_of_a_page_without_protection(
    unprotected: Interpreter, name: str
) -> None:
    attempt(unprotected, program(name, "", "", []))
    unprotected.page.wait_for_timeout(200)
    assert name in left(unprotected.page.evaluate(LEFT))


def attempt(interpreter: Interpreter, source: str) -> None:
    """Run a program that may fail after it has done what matters."""
    try:
        interpreter.call("tests.web.inside.accidents:run_program", source)
    except InsideError as error:
        print(error)


@pytest.mark.parametrize("name", [*NAMES, *STORAGE])
def test_no_way_leads_out_of_the_page(closed_desk: Desk, elsewhere: Elsewhere, name: str) -> None:
    before = len(elsewhere.asked)
    here = closed_desk.page.url
    closed_desk.run(program(name, elsewhere.url, here, scripts()))
    closed_desk.page.wait_for_timeout(100)
    assert elsewhere.asked[before:] == []
    assert left(closed_desk.page.evaluate(LEFT)) == []


def test_there_are_many_ways() -> None:
    assert len(NAMES) + len(STORAGE) >= 40
