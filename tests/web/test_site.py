"""What is served: everything the page needs from its own origin, rightly labelled."""

from __future__ import annotations

import gzip
import io
import json
import re
import urllib.error
import urllib.request
import zipfile
from email.message import Message
from typing import Any

import pytest

from tests.web.interpreter import ROOT, PageInterpreter
from tests.web.site import Site
from tests.web.stage import Stage


def get(url: str) -> tuple[Message, bytes]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers, answer.read()


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


def archive(site_url: str, name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(get(f"{site_url}wheels/{name}")[1]))


@pytest.fixture
def index(site_url: str) -> dict[str, str]:
    return json.loads(get(f"{site_url}wheels/index.json")[1])


def test_the_index_names_archives_that_are_there(site_url: str, index: dict[str, str]) -> None:
    assert set(index) == {"tabgrad", "numpy"}
    for name in index.values():
        assert archive(site_url, name).testzip() is None


@pytest.fixture
def python(site_url: str) -> dict[str, Any]:
    """The files that the page starts Python from, as the page names them."""
    page = get(site_url)[1].decode()
    (text,) = re.findall(r'<script id="python" type="application/json">(.*?)</script>', page)
    return json.loads(text)


def test_files_of_python_are_named_by_their_content_and_kept(
    site_url: str, python: dict[str, Any]
) -> None:
    assert len(python) == 6
    for name, about in python.items():
        stem, ending = name.rsplit(".", 1)
        assert re.fullmatch(rf"{re.escape(stem)}-[0-9a-f]{{16}}\.{ending}", about["file"])
        headers, body = get(f"{site_url}python/{about['file']}")
        assert len(body) == about["size"]
        assert "immutable" in headers["Cache-Control"]
    page = get(site_url)[1].decode()
    for path in re.findall(r'(?:href|src)="\./(assets/[^"]+)"', page):
        assert "immutable" in get(site_url + path)[0]["Cache-Control"]
    assert get(site_url)[0]["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("coding", ["br", "gzip"])
def test_what_gets_smaller_is_sent_so(site_url: str, python: dict[str, Any], coding: str) -> None:
    request = urllib.request.Request(
        f"{site_url}python/{python['pyodide.asm.wasm']['file']}",
        headers={"Accept-Encoding": coding},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = answer.read()
    assert answer.headers["Content-Encoding"] == coding
    assert answer.headers["Content-Type"] == "application/wasm"
    assert len(body) < 0.4 * python["pyodide.asm.wasm"]["size"]
    if coding == "gzip":
        assert gzip.decompress(body)[:4] == b"\0asm"


def test_every_module_has_bytecode_beside_it(
    site_url: str, index: dict[str, str], python: dict[str, Any]
) -> None:
    modules = {n for n in archive(site_url, index["tabgrad"]).namelist() if n.endswith(".py")}
    made = zipfile.ZipFile(io.BytesIO(get(f"{site_url}python/{python['tabgrad.zip']['file']}")[1]))
    assert modules | {f"{name}c" for name in modules} <= set(made.namelist())


def test_the_origin_is_isolated_unless_asked_otherwise(site_url: str, plain: Site) -> None:
    isolation = {"Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy"}
    assert isolation <= set(get(f"{site_url}wheels/index.json")[0])
    assert not isolation & set(get(f"{plain.url}wheels/index.json")[0])


def test_no_script_of_the_site_is_a_worker_of_ours(site_url: str) -> None:
    """Started from its address, a worker would not have the policy of the page."""
    assert site_url
    dist = ROOT / "web" / "dist"
    files = (p.relative_to(dist) for p in dist.rglob("*") if p.suffix in (".js", ".mjs"))
    # JupyterLite is a page of its own, which runs what its visitor types; the documentation runs nothing
    apart = ("lab", "docs")
    scripts = {
        re.sub(r"-(?:[0-9A-Z]{8}|[0-9a-f]{16})\.", ".", p.name)
        for p in files
        if p.parts[0] not in apart
    }
    assert scripts == {"early.js", "main.js", "tabgrad-demo.js", "pyodide.mjs", "pyodide.asm.mjs"}
    element = (dist / "tabgrad-demo.js").read_text("utf-8")
    assert "new Worker" not in element
    frame = (dist / "tabgrad-frame.html").read_text("utf-8")
    assert frame.index("default-src 'none'") < frame.index("<script>")


def test_the_script_of_the_frame_is_named_by_its_hash(site_url: str) -> None:
    page = get(site_url)[1].decode()
    assert "{frame}" not in page
    assert re.search(r"script-src 'self' 'sha256-[\w+/]{43}=' blob:", page)


@pytest.mark.parametrize(
    "path", ["../package.json", "%2e%2e/%2e%2e/package.json", "nothing", "%00"]
)
def test_nothing_else_is_served(site_url: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(site_url + path)
    with caught.value as answer:
        assert answer.code == 404


def test_pyodide_starts_where_the_origin_is_not_isolated(stage: Stage, plain: Site) -> None:
    interpreter = PageInterpreter(stage.browser.new_context(), plain.url)
    assert interpreter.call("math:sqrt", 4) == 2
    interpreter.close()
