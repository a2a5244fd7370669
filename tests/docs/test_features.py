"""The table of features names what exists: every name of tabgrad in it, and every test."""

from __future__ import annotations

import ast
import functools
import importlib
import pathlib
import re
from operator import attrgetter
from typing import Any, NamedTuple

import pytest

import tabgrad
from tests.grouped import grouped

ROOT = pathlib.Path(__file__).parents[2]
TABLE = ROOT / "tests" / "FEATURES.md"


class Row(NamedTuple):
    """One feature: its words, the names of tabgrad, the ids of tests, and whether it says "not yet"."""

    feature: str
    names: list[str]
    tests: list[str]
    not_yet: bool


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def read(text: str) -> list[Row]:
    """Return the rows of every table in `text`."""
    rows = []
    for line in text.splitlines():
        if not line.startswith("|") or re.fullmatch(r"[|\s:-]+", line):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 3, f"expected three columns: {line}"
        if cells[0] != "feature":
            shown = cells[2]
            rows.append(Row(cells[0], quoted(cells[1]), quoted(shown), "not yet" in shown))
    return rows


def resolve(name: str) -> Any:
    """Return what a dotted name of tabgrad stands for, importing modules on the way."""
    found: Any = tabgrad
    path = "tabgrad"
    for part in name.partition("(")[0].split("."):
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(path)
    return found


@functools.cache
def functions(file: str) -> frozenset[str]:
    """Return the names of the functions in a file of tests, those of classes as `Class::name`."""
    body = ast.parse((ROOT / file).read_text("utf-8")).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in body if isinstance(node, kinds)}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{f.name}" for f in node.body if isinstance(f, kinds)}
    return frozenset(found)


def faults(row: Row) -> list[str]:
    """Return what is wrong with a row."""
    found = []
    for name in row.names:
        try:
            resolve(name)
        except ImportError:
            found.append(f"there is no tabgrad.{name}")
    for test in row.tests:
        file, _, function = test.partition("[")[0].partition("::")
        if not (ROOT / file).is_file():
            found.append(f"there is no file {file}")
        elif function not in functions(file):
            found.append(f"{file} has no test {function}")
    if not row.tests and not row.not_yet:
        found.append("it names no test and does not say 'not yet'")
    return found


ROWS = read(TABLE.read_text("utf-8"))


@grouped("row", ROWS, ids=attrgetter("feature"))
def test_row(row: Row) -> None:
    assert not faults(row)


def test_the_table_covers_every_section() -> None:
    sections = re.findall(r"^## (.+)$", TABLE.read_text("utf-8"), re.MULTILINE)
    assert sections == [
        "Reverse mode", "Forward mode", "Higher order and functions", "Modes", "Custom derivatives",
        "Memory and training", "Graphs", "Ops",
    ]  # fmt: skip
    assert len({row.feature for row in ROWS}) == len(ROWS) > 60


@pytest.mark.parametrize(("line", "fault"), [
    ("| a | `autograd.gradient` | not yet |", "no tabgrad.autograd.gradient"),
    ("| a | `autograd.grad` | `tests/docs/test_nothing.py::test_row` |", "no file"),
    ("| a | `autograd.grad` | `tests/docs/test_features.py::test_none` |", "no test test_none"),
    ("| a | `autograd.grad` | some day |", "names no test"),
])  # fmt: skip
def test_a_wrong_row_is_found(line: str, fault: str) -> None:
    (row,) = read(line)
    (found,) = faults(row)
    assert fault in found
