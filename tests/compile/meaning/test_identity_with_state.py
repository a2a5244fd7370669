"""Whether an argument is a tensor that the function also reaches by itself: the calls with it are no replay."""

from __future__ import annotations

import sys
import types

import numpy as np
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


@pytest.mark.parametrize("make", [lambda: [1], lambda: {"k": 1}, lambda: np.ones(2)])
@pytest.mark.parametrize("by", ["is", "id"])
def test_which_object_an_argument_is(make, by) -> None:
    a, b = make(), make()
    x = tg.ones(1, device="webgpu")
    if by == "is":
        pair = tg.compile(lambda x, p, q: x * (2 if p is q else 3))
        known = tg.compile(lambda x, p: x * (2 if p is a else 3))
    else:
        pair = tg.compile(lambda x, p, q: x * (2 if id(p) == id(q) else 3))
        known = tg.compile(lambda x, p: x * (2 if id(p) == id(a) else 3))
    assert [pair(x, *pq).item() for pq in ((a, b), (a, a), (a, b), (b, b))] == [3, 2, 3, 2]
    assert [known(x, p).item() for p in (b, a, b, a)] == [3, 2, 3, 2]


def test_a_test_for_none_is_no_hindrance() -> None:
    f = tg.compile(lambda x, p=None: x * (2 if p is None else 3))
    x = tg.ones(1, device="webgpu")
    assert [f(x).item(), f(x, [1]).item(), f(x, [1]).item(), f(x).item()] == [2, 3, 3, 2]
    assert "2 plans" in repr(f)
