"""The arrows between modules are one-way, imports inside of functions included."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2] / "py"


def modules() -> dict[str, pathlib.Path]:
    """Return the files of the package by the name of the module."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def running(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module that may run: not those for type checkers alone."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            checkers = not isinstance(node.test, ast.UnaryOp)
            yield from running(node.orelse if checkers else node.body)
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            yield from running(getattr(node, part, []))


def imports(path: pathlib.Path, known: dict[str, pathlib.Path]) -> set[str]:
    """Return the modules of the package that a file imports, at any time."""
    found = set()
    for node in running(ast.parse(path.read_text()).body):
        if isinstance(node, ast.ImportFrom) and (node.module or "") in known:
            # the package itself is what is written with public names: it is there when they run
            names = [f"{node.module}.{a.name}" for a in node.names]
            found |= {n if n in known else str(node.module) for n in names}
    return found - {"tabgrad"}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the chains of modules that lead back to their beginning."""
    done: set[str] = set()
    found = []

    def visit(name: str, chain: list[str]) -> None:
        if name in chain:
            found.append([*chain[chain.index(name) :], name])
        elif name not in done:
            for other in sorted(graph[name]):
                visit(other, [*chain, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])
    return found


def test_no_module_leads_back_to_itself() -> None:
    known = modules()
    graph = {name: imports(path, known) & known.keys() for name, path in known.items()}
    assert sum(map(len, graph.values())) > 1000
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]
