"""Notebooks as programs: their cells of code, without what is meant for a shell or for IPython."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import linecache
import re
import sys
from typing import Any, NamedTuple

from tabgrad.pytorch import ipython

OTHER = re.compile(r"%%(?!time\b|timeit\b|capture\b|prun\b)\w+")
"""The first line of a cell that is not Python: `%%bash`, `%%writefile` and so on."""
MAGIC = re.compile(r"(\s*)(?:[%!?].*|\S.*\?\s*$|[\w.,* \[\]]+=\s*[%!].*)")
"""A line of IPython's: `%matplotlib inline`, `!ls`, `?tensor`, `tensor?`, `files = !ls`."""


class Cell(NamedTuple):
    """A cell of code: its name in messages, and its lines, with `pass` in place of each magic."""

    name: str
    source: str


def cells(text: str, file: str) -> list[Cell]:
    """Return the cells of code of a notebook; raise ValueError if the text is none.

    >>> note = {"cells": [{"cell_type": "code", "source": ["%matplotlib inline\\n", "x = 1"]}]}
    >>> cells(json.dumps(note), "a.ipynb")
    [Cell(name='a.ipynb[1]', source='pass\\nx = 1')]
    """
    try:
        listed = json.loads(text)["cells"]
        sources = [c["source"] for c in listed if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is no notebook: expected JSON with a list of cells") from error
    joined = [s if isinstance(s, str) else "".join(s) for s in sources]
    return [
        Cell(f"{file}[{i}]", "" if OTHER.match(s.lstrip()) else _python(s))
        for i, s in enumerate(joined, 1)
    ]


def _python(source: str) -> str:
    """Return the cell with `pass` for each line of IPython's, so that lines keep their numbers.

    Such a line is one at which Python's parser stops.
    """
    lines = source.split("\n")
    for _ in lines:
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = (error.lineno or 0) - 1
            magic = MAGIC.match(lines[at]) if 0 <= at < len(lines) else None
            if magic is None:
                break
            lines[at] = f"{magic[1]}pass"
    return "\n".join(lines)


def run(found: list[Cell], names: dict[str, Any]) -> None:
    """Run the cells in one namespace; the value of an expression that ends a cell is shown.

    They may import `IPython.display` and call `display`, as in Jupyter.
    """
    ipython.stand_in()
    names.setdefault("display", ipython.display)
    with asyncio.Runner() as runner:
        for cell in found:
            lines = [line + "\n" for line in cell.source.split("\n")]
            linecache.cache[cell.name] = (len(cell.source), None, lines, cell.name)
            tree = ast.parse(cell.source, cell.name)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            _execute(tree, "exec", cell, names, runner)
            if isinstance(last, ast.Expr):
                value = _execute(ast.Expression(last.value), "eval", cell, names, runner)
                if not cell.source.rstrip().endswith(";"):
                    sys.displayhook(value)


def _execute(
    tree: Any, mode: str, cell: Cell, names: dict[str, Any], runner: asyncio.Runner
) -> Any:
    code = compile(tree, cell.name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    found = eval(code, names)
    if code.co_flags & inspect.CO_COROUTINE:
        return runner.run(found)
    return found
