"""Whether an argument is a tensor that the function also reaches by itself: the calls with it are no replay."""

from __future__ import annotations

import sys
import types

import pytest

import tabgrad as tg

pytestmark = pytest.mark.one_host("wgpu")


class Remembers:
    """An object that keeps a tensor."""

    def __init__(self, last):
        self.last = last

    def step(self, x):
        return x * (2.0 if x is self.last else 3.0)


def by_cell(a):
    return lambda x: x * (2.0 if x is a else 3.0)


def by_list(a):
    held = [a]
    return lambda x: x * (2.0 if any(x is t for t in held) else 3.0)


def by_key(a):
    held = {a: 2.0}
    return lambda x: x * held.get(x, 3.0)


def by_set(a):
    held = {a}
    return lambda x: x * (2.0 if x in held else 3.0)


def by_tuple_in_dict(a):
    held = {"pair": (1, a)}
    return lambda x: x * (2.0 if x is held["pair"][1] else 3.0)


def by_attribute(a):
    return Remembers(a).step


@pytest.mark.parametrize("order", ["abab", "bbaa", "aabb", "babba"])
@pytest.mark.parametrize("make", [by_cell, by_list, by_key, by_set, by_tuple_in_dict, by_attribute])
def test_an_argument_that_is_reached_otherwise(make, order) -> None:
    a = tg.tensor([1.0, 2.0], device="webgpu")
    given = {"a": a, "b": a.clone()}
    plain = make(a)
    fast = tg.compile(plain)
    for name in order:
        x = given[name]
        assert fast(x).tolist() == plain(x).tolist()


def test_a_module_that_takes_the_place_of_another(monkeypatch) -> None:
    def made(scale):
        module = types.ModuleType("taken_place_of")
        module.scale = scale
        monkeypatch.setitem(sys.modules, "taken_place_of", module)
        return module

    first = made(2.0)
    fast = tg.compile(lambda x: x * sys.modules["taken_place_of"].scale)
    x = tg.ones(1, device="webgpu")
    assert [fast(x).item() for _ in range(3)] == [2.0] * 3
    second = made(5.0)
    assert fast(x).item() == 5.0
    second.scale, first.scale = 6.0, 7.0
    assert [fast(x).item() for _ in range(2)] == [6.0, 6.0]
