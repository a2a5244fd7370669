"""Runs a program in this process and takes what it prints."""

from __future__ import annotations

import contextlib
import io
import pathlib
import sys
import warnings
from types import ModuleType

HERE = pathlib.Path(__file__).parent
SCRIPTS = sorted((HERE / "scripts").glob("*.py"))
EXPECTED = HERE / "expected.json"


def printed(path: pathlib.Path) -> str:
    """Return what the program prints, run as the main module."""
    module = ModuleType("__main__")
    module.__file__ = str(path)
    before, sys.modules["__main__"] = sys.modules["__main__"], module
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(path.read_text("utf-8"), str(path), "exec"), vars(module))
    finally:
        sys.modules["__main__"] = before
    return out.getvalue()
