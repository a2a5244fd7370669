"""The part of the internet that somebody's page asks for, answered from this checkout."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import pathlib
import re
import urllib.parse

from playwright.sync_api import Route

ROOT = pathlib.Path(__file__).parents[2]
PYODIDE = ROOT / "node_modules" / "pyodide"
PACKAGES = ROOT / ".cache" / "pyodide"
WHEELS = ROOT / "web" / "dist" / "wheels"
PYSCRIPT = ROOT / "tests" / "web" / "notebooks" / "node_modules" / "@pyscript" / "core"
TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
FILES = "https://files.pythonhosted.org/"

# What a content delivery network sends, so that isolated pages may use it.
SHARED = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
ISOLATED = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
}


def version(folder: pathlib.Path) -> str:
    """The version of a package of npm."""
    return str(json.loads((folder / "package.json").read_text("utf-8"))["version"])


def our_wheel() -> pathlib.Path:
    """The wheel that the build made."""
    return WHEELS / json.loads((WHEELS / "index.json").read_text("utf-8"))["tabgrad"]


class Internet:
    """Answers a browser's requests; those for any other place are refused, and kept in `refused`."""

    def __init__(self, text: str, isolated: bool) -> None:
        if not PYSCRIPT.exists():
            raise FileNotFoundError("no PyScript: `npm test -- --only browser` sets it up")
        self.text = text
        self.isolated = isolated
        self.refused: list[str] = []

    def answer(self, route: Route) -> None:
        """Answer one request."""
        address = route.request.url
        if address == "https://course.example/":
            headers = ISOLATED if self.isolated else {}
            route.fulfill(body=self.text, content_type="text/html", headers=headers)
        elif address == "https://course.example/favicon.ico":
            route.fulfill(status=404)
        elif address == "https://pypi.org/simple/tabgrad/":
            kind = "application/vnd.pypi.simple.v1+json"
            route.fulfill(body=project(), content_type=kind, headers=SHARED)
        elif address.endswith("/full/pyodide-lock.json"):
            route.fulfill(body=lock_file(), content_type="application/json", headers=SHARED)
        elif (path := place(address)) is not None and path.exists():
            known = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
            kind = known or "application/octet-stream"
            route.fulfill(body=path.read_bytes(), content_type=kind, headers=SHARED)
        else:
            self.refused.append(address)
            route.abort()


def place(address: str) -> pathlib.Path | None:
    """The file at an address."""
    network = "https://cdn.jsdelivr.net/"
    pyscript = f"{network}npm/@pyscript/core@{version(PYSCRIPT)}/"
    pyodide = f"{network}pyodide/v{version(PYODIDE)}/full/"
    if address.startswith(pyscript):
        return PYSCRIPT / address.removeprefix(pyscript)
    if address.startswith(pyodide):
        name = address.removeprefix(pyodide)
        return PACKAGES / name if name.endswith(".whl") else PYODIDE / name
    return WHEELS / address.removeprefix(FILES) if address.startswith(FILES) else None


def lock_file() -> str:
    """Pyodide's list of packages, with the digests of those that set-up fetched: they were packed anew."""
    lock = json.loads((PYODIDE / "pyodide-lock.json").read_text("utf-8"))
    for about in lock["packages"].values():
        path = PACKAGES / about["file_name"]
        if path.exists():
            about["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return json.dumps(lock)


def project() -> str:
    """What PyPI says of tabgrad, as its API describes it."""
    name = our_wheel().name
    found = re.search(r"-([^-]+)-py3-none-any", name)
    assert found
    file = {
        "filename": name,
        "url": FILES + urllib.parse.quote(name),
        "hashes": {},
        "requires-python": ">=3.11",
        "yanked": False,
        "size": our_wheel().stat().st_size,
        "core-metadata": False,
    }
    about = {"api-version": "1.1"}
    return json.dumps({"meta": about, "name": "tabgrad", "versions": [found[1]], "files": [file]})
