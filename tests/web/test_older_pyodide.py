"""Older versions of Pyodide that notebooks still run on: tabgrad imports, and differentiates on the GPU."""

from __future__ import annotations

import pytest

from tests.web.engine import start_process
from tests.web.stage import Stage

PROGRAM = """
import sys, pyodide
import tabgrad as tg

x = tg.tensor([1.0, -2.0, 3.0], device="webgpu", requires_grad=True)
y = tg.compile(lambda x: (x**3).sum())(x)
y.backward()
assert await x.grad.tolist_async() == [3.0, 12.0, 27.0]
assert tg.func.hessian(lambda x: (x**3).sum())(x).diagonal().tolist() == [6.0, -12.0, 18.0]
assert pyodide.__version__ == {version!r}, pyodide.__version__
"""


@pytest.mark.parametrize(
    ("package", "version"),
    [("pyodide-0", "314.0.0"), ("pyodide-5", "314.0.5"), ("pyodide-6", "314.0.6")],
)
def test_a_gradient(stage: Stage, package: str, version: str) -> None:
    stage.make()
    folder = f"tests/web/engines/node_modules/{package}"
    interpreter = start_process("node", pyodide=folder)
    try:
        program = PROGRAM.format(version=version)
        interpreter.call("tests.web.inside.accidents:run_program", program)
    finally:
        interpreter.close()
