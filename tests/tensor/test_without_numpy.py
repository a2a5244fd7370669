"""Numbers become bytes, and bytes numbers, without NumPy."""

from __future__ import annotations

import subprocess
import sys


def test_nothing_here_loads_numpy() -> None:
    program = """
import sys
sys.modules["numpy"] = None
import tabgrad as tg
from tabgrad.tensor import literals
data = literals.encode([1.5, 2.0], tg.float32)
assert literals.decode(data, tg.float32) == [1.5, 2.0]
assert literals.flatten([[1, 2], [3, 4]]) == ((2, 2), [1, 2, 3, 4])
assert literals.decode(literals.encode([1.0, float("nan"), 65519.0, 1e9], tg.bfloat16), tg.bfloat16)[0] == 1.0
assert literals.decode(literals.encode([1e6, -1e6], tg.float16), tg.float16) == [float("inf"), -float("inf")]
try:
    tg.zeros(2, device="cpu").tolist()
except ModuleNotFoundError as e:
    assert "micropip" in str(e)
else:
    raise AssertionError("the CPU needs NumPy")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
