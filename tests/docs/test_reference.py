"""The reference has a place for every public name, and each of its pages is of what exists."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pathlib
import re
import tomllib
from typing import Any

import pytest

import tabgrad as tg
from docs import pages, surface
from tests.surface import names

ROOT = pathlib.Path(__file__).parents[2]


@functools.cache
def places() -> pages.Places:
    return pages.Places()


@functools.cache
def texts() -> dict[str, str]:
    return pages.written()


def described() -> set[str]:
    """Return the full names that the pages describe."""
    found = set()
    for text in texts().values():
        found |= set(
            re.findall(
                r"^\.\. auto(?:function|class|exception|method|attribute):: (\S+)", text, re.M
            )
        )
        for name, module in re.findall(r"^\.\. py:\w+:: ([\w.]+).*\n   :module: (\S+)", text, re.M):
            found.add(f"{module}.{name}")
    return found


def public() -> list[tuple[str, Any]]:
    """Return the full name and the thing of every public function and class, as the surface has them.

    A module that is one file may import for itself: of it what it defines counts.
    """
    found = [".".join(filter(None, ("tabgrad", place, name))) for place, name in names.public()]
    return [
        (full, thing)
        for full, (place, name) in zip(found, names.public(), strict=True)
        for thing in [getattr(names.module(place), name)]
        if hasattr(names.module(place), "__path__") or thing.__module__ == f"tabgrad.{place}"
    ]


def test_every_public_function_and_class_has_a_place() -> None:
    known = places()
    lost = [
        full
        for full, thing in public()
        if full not in known.page and id(surface.beneath(thing)) not in known.home
    ]
    assert lost == []
    assert len(known.page) > 900


def test_every_name_that_has_a_place_is_described_there() -> None:
    assert set(places().page) - described() == set()


def test_every_method_of_tensor_is_described() -> None:
    wanted = {f"tabgrad.Tensor.{name}" for name in names.methods()}
    assert wanted - described() == set()
    assert len(wanted) > 400


def test_nothing_is_described_twice() -> None:
    text = "\n".join(texts().values())
    heads = re.findall(
        r"^\.\. (?:py:\w+|auto\w+):: [^(\n]+(?:\(.*)?(?:\n   :module: \S+)?", text, re.M
    )
    assert len(set(heads)) == len(heads)


ARE_NONE = {
    "tabgrad.array_api.newaxis",
    "tabgrad.newaxis",
    *(f"tabgrad.version.{name}" for name in ("cuda", "hip", "xpu")),
}


def test_every_described_name_exists() -> None:
    for full in sorted(described()):
        found: Any = tg
        for part in full.split(".")[1:]:
            found = getattr(found, part, None) if hasattr(found, part) else None
        assert found is not None or full in ARE_NONE, full


def test_every_module_of_the_package_that_it_shows_is_a_page() -> None:
    assert {"tabgrad.nn", "tabgrad.nn.functional", "tabgrad.compiler", "tabgrad.linalg"} <= set(
        surface.modules()
    )
    for module in surface.modules()[1:]:
        assert importlib.util.find_spec(module), module
        assert pages.page_of(module) in texts()
    for topic in surface.topics():
        assert pages.page_of(topic) in texts()


def test_every_page_is_in_the_contents() -> None:
    listed = re.findall(r"^   ([\w-]+)$", texts()["index"], re.M)
    assert sorted(listed) == sorted(set(texts()) - {"index"})


def test_pages_of_the_docs_folder_are_in_the_contents() -> None:
    folder = ROOT / "docs"
    index = (folder / "index.md").read_text("utf-8")
    listed = re.findall(r"^([\w/-]+)$", index, re.M)
    there = {p.stem for p in folder.glob("*.md")} - {"index", "README"}
    assert {name for name in listed if "/" not in name} == there
    assert "reference/index" in listed


def test_what_the_configuration_names_is_declared() -> None:
    tree = ast.parse((ROOT / "docs" / "conf.py").read_text("utf-8"))
    values = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.List)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"]["docs"]}  # type: ignore[index]
    wanted = {name.partition(".")[0].replace("_", "-") for name in values["extensions"]}
    assert wanted | {values["html_theme"]} == asked
    assert not any("sphinx" in line for line in project["dependencies"])
    assert (ROOT / "docs" / values["html_favicon"]).is_file()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x * y_ and |z|, a_b", r"x \* y\_ and \|z\|, a_b"),
        ("see `add`, `x[1:]` and `Tensor.add_`", "see `add`, ``x[1:]`` and `Tensor.add_`"),
        ("over\n`two\nlines`", "over\n``two lines``"),
    ],
)
def test_prose_is_escaped_and_code_is_not(text: str, shown: str) -> None:
    assert pages.plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "First *line*.\n- one\n  more\n- two",
            [r"First \*line\*.", "", "- one", "  more", "- two", ""],
        ),
        ("- one\ntext", ["- one", "", "text", ""]),
        (">>> a * b\n3", [">>> a * b", "3", ""]),
        ("Text:\n>>> f()\n>>> g()\n... \n1", ["Text:", "", ">>> f()", ">>> g()", "... ", "1", ""]),
        ("    python -m x *", ["::", "", "    python -m x *", ""]),
        ("So::\n\n    y *", ["So::", "", "    y *", ""]),
        ("So::\n    y\nand", ["So::", "", "    y", "", "and", ""]),
        ("As in\n    y", ["As in", "", "::", "", "    y", ""]),
    ],
)
def test_examples_lists_and_indented_lines_stay(text: str, shown: list[str]) -> None:
    assert pages.docstring(text.splitlines()) == shown
