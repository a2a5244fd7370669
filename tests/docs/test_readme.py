"""Every example of the README runs, on every host."""

from __future__ import annotations

import ast
import asyncio
import inspect
import pathlib
import re
import sys
import types
from typing import Any

import pytest

import tabgrad

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n([\s\S]*?)```", (ROOT / "README.md").read_text("utf-8"))

pytestmark = pytest.mark.every_host


def micropip() -> types.ModuleType:
    """Stands for the installer of notebooks, where the package is here already."""
    module = types.ModuleType("micropip")

    async def install(name: str) -> None:
        assert name == "tabgrad"

    module.__dict__["install"] = install
    return module


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "micropip", micropip())
    tabgrad.manual_seed(0)
    names: dict[str, Any] = {"__name__": "example"}
    code = compile(
        EXAMPLES[number], f"README example {number + 1}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    result = eval(code, names)
    if inspect.iscoroutine(result):
        asyncio.run(result)
    if "loss" in names:
        assert names["loss"].item() < 0.01


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
