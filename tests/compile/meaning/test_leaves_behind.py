"""What a compiled call leaves switched on, and attributes set on what was compiled."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.compile.meaning.support import MARKS, Programs, Seen, Wrap, same_both_ways, t

pytestmark = MARKS
program = Programs()


@pytest.fixture(autouse=True)
def modes_are_put_back() -> Any:
    yield
    tg.set_grad_enabled(True)
    tg.set_autocast_enabled(tg.get_default_device().type, False)
    tg.set_default_dtype(tg.float32)


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


@program
def modes_that_stay(wrap: Wrap, seen: Seen) -> None:
    kind = tg.get_default_device().type

    def step(x: Any, n: int) -> Any:
        tg.set_grad_enabled(n % 2 == 0)
        tg.set_autocast_enabled(kind, n % 3 == 0)
        if n == 4:
            raise ValueError("stopped half-way")
        return x * 2

    f = wrap(step)
    for n in (0, 0, 0, 1, 1, 1, 4, 2, 2, 3, 3, 0, 0):
        tg.set_grad_enabled(True)
        with contextlib.suppress(ValueError):
            seen.append(f(t(1, n), n))
        seen += [tg.is_grad_enabled(), tg.is_autocast_enabled(kind)]
    tg.set_autocast_enabled(kind, False)
    tg.set_grad_enabled(True)


@program
def defaults_that_stay(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any, dtype: Any) -> Any:
        tg.set_default_dtype(dtype)
        return tg.ones(2) * x

    f = wrap(step)
    for dtype in (tg.float32, tg.bfloat16, tg.bfloat16, tg.float32, tg.bfloat16, tg.bfloat16):
        tg.set_default_dtype(tg.float32)
        seen += [f(t(1, 2), dtype).dtype, tg.get_default_dtype()]
    tg.set_default_dtype(tg.float32)


class Gain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.k = 2.0

    def forward(self, x: Any) -> Any:
        return x * self.k


@program
def attributes_of_what_is_compiled(wrap: Wrap, seen: Seen) -> None:
    module = Gain()
    f = wrap(module)
    for k in (2.0, 3.0, 3.0, 5.0):
        f.k = k
        seen += [f(t(1, 2)), f(t(2, 3)), module.k, f.k]
    f.weight = nn.Parameter(t(1, 2))
    seen += [len(list(module.parameters())), f(t(1, 2))]
    del f.weight
    seen.append(len(list(module.parameters())))

    def scaled(x: Any) -> Any:
        return x * g.scale

    g = wrap(scaled)
    for scale in (2.0, 2.0, 3.0, 3.0):
        g.scale = scale
        seen += [g(t(1, 2)), g(t(2, 3))]


@program
def a_forward_assigned_later(wrap: Wrap, seen: Seen) -> None:
    tg.manual_seed(1)
    for module in (nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Linear(2, 2), nn.Identity()):
        f = wrap(lambda x, module=module: module(x).detach())
        seen += [f(t(1, 2)), f(t(2, 3))]
        module.forward = lambda x: x * 3
        seen += [f(t(1, 2)), f(t(2, 3))]
        del module.forward
        seen += [f(t(1, 2)), f(t(2, 3))]
