"""Functions and methods that are imported when they are first asked for."""

from __future__ import annotations

import importlib
import inspect
import pickle
import subprocess
import sys

import tabgrad as tg
from tabgrad.tensor import late


def test_the_tables_name_what_the_rooms_have() -> None:
    for home, names in late.FUNCTIONS.items():
        file = importlib.import_module(f"tabgrad.{home}")
        for name in names.split():
            assert getattr(tg, name) is getattr(file, name), name
        if home.endswith(".rooted") or home.startswith("tensor."):
            assert sorted(file.__all__) == sorted(names.split()), home
    for home, names in late.METHODS.items():
        file_name, _, kind = home.rpartition(".")
        its = vars(getattr(importlib.import_module(f"tabgrad.{file_name}"), kind))
        shown = [n for n in its if n[0] != "_" or n in names.split()]
        assert sorted(shown) == sorted(names.split()), home
    listed = [name for names in late.METHODS.values() for name in names.split()]
    assert len(listed) == len(set(listed))
    assert set(listed) <= set(dir(tg.Tensor))


def fresh(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_method_is_imported_once_by_whoever_asks() -> None:
    program = """
import inspect, sys
import tabgrad as tg
from tabgrad.tensor.late import FUNCTIONS, Late, LateMethods
assert not [home for home in FUNCTIONS if f"tabgrad.{home}" in sys.modules]
assert {"i0", "i0_", "unique"} <= set(dir(tg.Tensor))
assert type(vars(LateMethods)["i0"]) is Late and "tabgrad.special.rooted" not in sys.modules
class Mine(tg.Tensor):
    def i0_(self):
        return super().i0_()
x = Mine._make_subclass(Mine, tg.zeros(2, device="cpu"))
assert x.i0_() is x and x.tolist() == [1, 1]
assert type(vars(LateMethods)["i0_"]) is not Late and type(vars(LateMethods)["i0"]) is Late
assert tg.Tensor.i0_.__wrapped__ is vars(LateMethods)["i0_"]
assert list(inspect.signature(tg.Tensor.unique).parameters)[:2] == ["input", "sorted"]
assert "einsum" in dir(tg) and "tabgrad.tensor.einsum" not in sys.modules
print("fine")
"""
    assert fresh(program) == "fine"


def test_late_methods_are_as_others() -> None:
    x = tg.tensor([[3.0, 1.0], [3.0, 1.0]], device="cpu")
    assert x.unique(axis=0).tolist() == [[3, 1]]
    assert tg.unique(x=x).tolist() == [1, 3]
    assert x.matrix_power(2).tolist() == [[12, 4], [12, 4]]
    for fn in (tg.Tensor.unique, tg.unique, tg.einsum, tg.polygamma):
        assert pickle.loads(pickle.dumps(fn)) is fn
    assert tg.Tensor.unique.__qualname__ == "Tensor.unique"
    assert list(inspect.signature(tg.Tensor.polygamma_).parameters) == ["input", "n"]
