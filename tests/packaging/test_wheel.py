"""The wheel: pure Python, small, whole, and usable from where it is installed."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import zipfile
from email.parser import Parser

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LARGEST = 1_650_000
"""Bytes. A page loads it once; the API by PyTorch's names is most of it, and its docstrings a quarter.

What works in several processes is 60,000 of them, and what measures kernels on the adapter 30,000."""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Build the wheel, once for all processes of a run: the first that asks builds, the others wait for it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    built, building = shared / "wheel", shared / "wheel-is-built"
    until = time.monotonic() + 120
    while not built.exists():
        try:
            building.mkdir()
        except FileExistsError:
            assert time.monotonic() < until, "another process has not built the wheel"
            time.sleep(0.05)
            continue
        try:
            if not built.exists():
                made = tmp_path_factory.mktemp("made")
                build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
                subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
                made.rename(built)
        finally:
            building.rmdir()
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: pathlib.Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def sources(folder: str, pattern: str) -> set[str]:
    found = {p.relative_to(ROOT / folder).as_posix() for p in (ROOT / folder).rglob(pattern)}
    assert found
    return found


def test_it_is_pure_python_and_small(wheel: pathlib.Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size <= LARGEST


def test_it_holds_every_module(names: set[str]) -> None:
    assert sources("py", "*.py") | sources("native", "*.py") <= names
    assert "tabgrad/py.typed" in names


def test_it_holds_the_shaders_and_the_bridge(names: set[str]) -> None:
    assert {f"tabgrad/_shaders/{name}" for name in sources("shaders", "*.wgsl")} <= names
    assert {f"tabgrad/_shaders/{name}" for name in sources("shaders", "*.cu")} <= names
    assert {f"tabgrad/_bridge/{name}" for name in sources("web/bridge", "*.js")} <= names


def test_it_holds_nothing_else(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tabgrad", "tabgrad_native"}
    assert not [name for name in names if name.endswith((".md", ".pyc", ".map"))]


def test_what_it_requires(wheel: pathlib.Path, names: set[str]) -> None:
    (path,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(zipfile.ZipFile(wheel).read(path).decode())
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) == {
        "cuda",
        "cuda-lt",
        "dev",
        "docs",
        "lab",
        "mpi",
        "numpy",
        "webgpu",
    }
    ordinary = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    assert ordinary == ["numpy>=1.26; platform_system != 'Emscripten'"]


def test_it_runs_from_where_it_is_installed(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "import tabgrad; from tabgrad.lower import library; "
        "assert tabgrad.__file__.startswith(r'" + str(tmp_path) + "'), tabgrad.__file__; "
        "print(len(library.all_functions()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_the_record_tells_what_the_files_are(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        (record,) = [n for n in files.namelist() if n.endswith(".dist-info/RECORD")]
        for name, told, size in csv.reader(files.read(record).decode().splitlines()):
            if name == record:
                continue
            data = files.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            assert (told, size) == (f"sha256={digest.decode()}", str(len(data))), name


def without_remarks(source: str) -> tuple[str, set[int]]:
    """Return a module without texts beside names and docstrings of what is private, and their lines."""
    tree, lines = ast.parse(source), set()
    places = [n.body for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef)]
    uses = [n for body in places for n in body if isinstance(n, ast.Assign | ast.Expr)]
    named = {n.id for use in uses for n in ast.walk(use) if isinstance(n, ast.Name)}
    for node in [n for n in ast.walk(tree) if isinstance(getattr(n, "body", None), list)]:
        name, body = getattr(node, "name", None) or "", node.body  # type: ignore[attr-defined]
        private = name[:1] == "_" and name[-2:] != "__" and name not in named and len(body) > 1
        for text in [n for n in body[not private :] if isinstance(n, ast.Expr)]:
            if isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
                body.remove(text)
                lines |= {*range(text.lineno, (text.end_lineno or 0) + 1)}
    return told(tree), lines


def told(tree: ast.Module) -> str:
    """Return the code of a module with its constants, docstrings, and the places of its lines."""
    for node in ast.walk(tree):
        if hasattr(node, "body") and hasattr(node, "end_lineno"):
            node.end_lineno = node.end_col_offset = 0  # a text may have been the last of it
    return ast.dump(tree, include_attributes=True)


def test_python_loses_comments_and_nothing_else(wheel: pathlib.Path) -> None:
    lost = 0
    with zipfile.ZipFile(wheel) as files:
        for folder in ("py", "native"):
            for path in sorted((ROOT / folder).rglob("*.py")):
                name = path.relative_to(ROOT / folder).as_posix()
                kept, source = files.read(name).decode(), path.read_text("utf-8")
                if name.startswith("tabgrad/examples/"):
                    assert kept == source
                    continue
                wanted, texts = without_remarks(source)
                changed = [
                    (a, b)
                    for i, (a, b) in enumerate(
                        zip(kept.split("\n"), source.split("\n"), strict=True), 1
                    )
                    if a != b and (a or i not in texts)
                ]
                assert told(ast.parse(kept)) == wanted, name
                if not changed:
                    continue
                lost += len(changed)
                for a, b in changed:
                    assert b.startswith(a), name
                    assert b[len(a) :].lstrip().startswith("#"), (name, b)
    assert lost > 1500


DOCS = """
import hashlib, importlib, inspect, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import tabgrad
found = {}

def see(name, value):
    if name[0] != "_" and (inspect.isroutine(value) or isinstance(value, type | property)):
        found.setdefault(id(value), f"{name}: {inspect.getdoc(value)}")

for m in pkgutil.walk_packages(tabgrad.__path__, "tabgrad."):
    if not any(part in ("examples", "scipy", "mpi", "__main__") for part in m.name.split(".")):
        for name, value in sorted(vars(importlib.import_module(m.name)).items()):
            if str(getattr(value, "__module__", "")).startswith("tabgrad"):
                see(name, value)
                for inner in sorted(vars(value).items()) if isinstance(value, type) else ():
                    see(*inner)
assert tabgrad.__file__.startswith(sys.argv[1]) and len(found) > 4000
print(hashlib.sha256("".join(found.values()).encode()).hexdigest())
"""


def test_public_docstrings_stay(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    run = [
        subprocess.run(
            [sys.executable, "-c", DOCS, place], check=True, capture_output=True, text=True
        )
        for place in (str(tmp_path), str(ROOT / "py"))
    ]
    assert run[0].stdout == run[1].stdout


def test_shaders_lose_remarks_and_indentation_and_nothing_else(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        shaders = [p for p in (ROOT / "shaders").rglob("*") if p.suffix in (".wgsl", ".cu")]
        assert {p.suffix for p in shaders} == {".wgsl", ".cu"}
        for path in sorted(shaders):
            place = f"tabgrad/_shaders/{path.relative_to(ROOT / 'shaders').as_posix()}"
            kept = files.read(place).decode().splitlines()
            lines = path.read_text("utf-8").splitlines()
            # the first line of a head has the name, the rest of it is for those who change it
            pairs = zip(["", *lines], lines, strict=False)
            lines = [s for a, s in pairs if not (a.startswith("//!") and s.startswith("//!"))]
            told = [s.rstrip() for s in lines if not re.match(r"\s*//[^!@]|\s*//$", s)]
            expected = [re.sub(r"^\s+", " " if s.strip() == "}" else "", s) for s in told if s]
            assert [s.rstrip() for s in kept] == expected, place


SHADERS = """
import json, re, sys
sys.path.insert(0, sys.argv[1])
from tabgrad.lower import library
found = {name: function.source for name, function in library.all_functions().items()}
found |= {name: library.kernel(name).with_blocks({}) for name in library.kernel_names()}
print(json.dumps({name: re.sub(r"\\s+", " ", text) for name, text in found.items()}))
"""


def test_functions_and_kernels_of_the_wheel_are_whole(
    wheel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """What the library finds in shortened files is what it finds in the sources, but for space."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    found, expected = (
        json.loads(
            subprocess.run(
                [sys.executable, "-c", SHADERS, place], check=True, capture_output=True, text=True
            ).stdout
        )
        for place in (str(tmp_path), str(ROOT / "py"))
    )
    assert len(expected) > 150
    assert [name for name in expected if found.get(name) != expected[name]] == []


def test_the_bridge_loses_comments_and_space_and_nothing_else(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        for path in sorted((ROOT / "web/bridge").glob("*.js")):
            kept, code, inside = files.read(f"tabgrad/_bridge/{path.name}").decode(), [], False
            for line in path.read_text("utf-8").splitlines():
                text = line.strip()
                comment = inside or text.startswith("//")
                if not inside and text.startswith("/*"):
                    inside = comment = "*/" not in text or text.endswith("*/")
                if inside and text.endswith("*/"):
                    inside = False
                assert comment or text.count("`") % 2 == 0, "a string of several lines"
                if text and not comment:
                    code.append(re.sub(r"/\*\* .*?\*/ ?", "", text))
            assert kept.splitlines() == code, path.name
