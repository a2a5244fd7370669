"""Every example in a docstring runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import linecache
import pkgutil
from collections.abc import Iterator

import pytest

import tabgrad as tg
from tabgrad.examples.settings import PROGRAMS

RUN_WHEN_IMPORTED = {"tabgrad.__main__", *(f"tabgrad.examples.{name}" for name in PROGRAMS)}
ELSEWHERE = {"tabgrad.hosts.browser", *(RUN_WHEN_IMPORTED - {"tabgrad.examples.digits"})}
"""What can only be imported in a browser, and what runs when it is imported."""


def modules() -> list[str]:
    found = pkgutil.walk_packages(tg.__path__, "tabgrad.")
    return ["tabgrad", *(m.name for m in found if m.name not in ELSEWHERE)]


@pytest.fixture(autouse=True)
def on_cpu() -> Iterator[None]:
    tg.set_default_device("cpu")
    yield
    tg.set_default_device(None)


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    finder, runner = (
        doctest.DocTestFinder(),
        doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS),
    )
    told: list[str] = []
    # each run looks whether any file of this cache has changed
    linecache.clearcache()
    for example in finder.find(module, name):
        runner.run(example, out=told.append)
    assert not told, "".join(told)
