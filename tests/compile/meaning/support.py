"""The runner of programs that are to mean the same plain and compiled.

Whoever takes `tabgrad.compile` away sees the same numbers, objects changed, and Python effects. Each program
runs twice, plain and compiled, and says what it saw; both must have seen the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim

MARKS = [
    pytest.mark.one_host("wgpu", "cuda"),
    pytest.mark.filterwarnings("ignore:tabgrad.compile"),
]
Wrap = Callable[[Any], Any]
Seen = list[Any]
Program = Callable[[Wrap, Seen], None]


class Programs:
    """The programs of a file, by name."""

    def __init__(self) -> None:
        self.all: dict[str, Program] = {}

    def __call__(self, fn: Program) -> Program:
        self.all[fn.__name__] = fn
        return fn


def same_both_ways(fn: Program, space: dict[str, Any]) -> None:
    """Run a program plain and compiled, from the same state of its globals in `space`."""
    plain: Seen = []
    fast: Seen = []
    for wrap, seen in ((lambda f: f, plain), (tg.compile, fast)):
        tg.manual_seed(7)
        space.update(SCALE=2.0, COUNT=0, LOG=[])
        fn(wrap, seen)
    assert len(plain) > 2
    for i, (a, b) in enumerate(zip(plain, fast, strict=True)):
        assert close(values(a), values(b)), f"{i}: {values(a)} plain, {values(b)} compiled"


def values(x: Any) -> Any:
    """Return what there is to see of a value."""
    if isinstance(x, tg.Tensor):
        return ("tensor", x.tolist(), x.dtype, tuple(x.shape), x.requires_grad)
    if isinstance(x, dict):
        return {k: values(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(map(values, x))
    return x if isinstance(x, float) else repr(x)


def close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-3, abs=1e-5, nan_ok=True)
    if isinstance(a, list | tuple) and type(a) is type(b) and len(a) == len(b):
        return all(map(close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(close(a[k], b[k]) for k in a)
    return bool(a == b)


def t(*numbers: float) -> Any:
    return tg.tensor([float(n) for n in numbers])


@dataclasses.dataclass
class Options:
    scale: float = 2.0
    sizes: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
    inner: Any = None


class Slotted:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0


def net() -> tuple[Any, Any, Any]:
    tg.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), tg.randn(5, 3)
