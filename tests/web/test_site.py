"""What is served: everything the page needs from its own origin, rightly labelled."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest

from tests.web.interpreter import Interpreter
from tests.web.site import Site
from tests.web.stage import Stage


def get(url: str) -> tuple[Message, bytes]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers, answer.read()


@pytest.fixture
def plain(stage: Stage) -> Iterator[Site]:
    assert stage.site.url
    site = Site(isolated=False)
    yield site
    site.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("pyodide/pyodide.mjs", "text/javascript; charset=utf-8"),
        ("pyodide/pyodide.asm.mjs", "text/javascript; charset=utf-8"),
        ("pyodide/pyodide.asm.wasm", "application/wasm"),
        ("pyodide/python_stdlib.zip", "application/zip"),
        ("pyodide/pyodide-lock.json", "application/json; charset=utf-8"),
        ("wheels/index.json", "application/json; charset=utf-8"),
    ],
)
def test_pyodide_comes_from_the_same_origin(site_url: str, path: str, kind: str) -> None:
    headers, body = get(site_url + path)
    assert headers["Content-Type"] == kind
    assert len(body) == int(headers["Content-Length"]) > 0


def test_the_index_names_wheels_that_are_there(site_url: str) -> None:
    index = json.loads(get(f"{site_url}wheels/index.json")[1])
    assert set(index) == {"tabgrad", "numpy"}
    for name in index.values():
        assert get(f"{site_url}wheels/{name}")[1].startswith(b"PK")


def test_the_origin_is_isolated_unless_asked_otherwise(site_url: str, plain: Site) -> None:
    isolation = {"Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy"}
    assert isolation <= set(get(f"{site_url}wheels/index.json")[0])
    assert not isolation & set(get(f"{plain.url}wheels/index.json")[0])


@pytest.mark.parametrize(
    "path", ["../package.json", "%2e%2e/%2e%2e/package.json", "nothing", "%00"]
)
def test_nothing_else_is_served(site_url: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(site_url + path)
    with caught.value as answer:
        assert answer.code == 404


def test_pyodide_starts_where_the_origin_is_not_isolated(stage: Stage, plain: Site) -> None:
    interpreter = Interpreter(stage.browser, plain.url)
    assert interpreter.call("math:sqrt", 4) == 2
    interpreter.close()
