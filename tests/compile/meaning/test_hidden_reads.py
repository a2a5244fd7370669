"""State that a compiled call reads by ways that its code does not name, and what arguments hold."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import decimal
import enum
import functools
import importlib
import io
import math
import operator
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn
from tests.compile.meaning.support import MARKS, Programs, Seen, Wrap, same_both_ways, t

pytestmark = MARKS
program = Programs()
SCALE = 2.0


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


class Box:
    def __init__(self, k: float = 2.0) -> None:
        self.k = k


class Color(enum.Enum):
    RED = 1
    BLUE = 2

    @property
    def factor(self) -> float:
        return FACTORS[self.name] * self.__class__.scale()

    @classmethod
    def scale(cls) -> float:
        return 1.0


FACTORS: dict[str, float] = {}


@dataclasses.dataclass
class Config:
    a: float = 1.0
    b: Any = None
    K = 3.0

    def both(self) -> float:
        return self.a * self.K


def grows(wrap: Wrap, seen: Seen, fn: Callable[[Any], Any], box: Any, by: Any = None) -> None:
    """Call `fn` four times; between the calls `box.k` grows, or what `by` says happens."""
    compiled = wrap(fn)
    for _ in range(4):
        seen.append(compiled(t(1, 2)))
        if by is None:
            box.k += 1
        else:
            by()


@program
def attributes_that_no_load_names(wrap: Wrap, seen: Seen) -> None:
    box = Box()

    def matched(x: Any) -> Any:
        match box:
            case Box(k=k):
                return x * k

    grows(wrap, seen, matched, box)
    got = operator.attrgetter("k")
    grows(wrap, seen, lambda x: x * got(box), box)
    grows(wrap, seen, lambda x: x * operator.attrgetter("k")(box), box)
    grows(wrap, seen, lambda x: x * box.__dict__["k"], box)
    grows(wrap, seen, lambda x: x * object.__getattribute__(box, "k"), box)
    grows(wrap, seen, lambda x: x * sum(map(getattr, [box], ["k"])), box)


@program
def attributes_written_by_no_name(wrap: Wrap, seen: Seen) -> None:
    box = Box()

    def write(x: Any) -> Any:
        object.__setattr__(box, "last", 5.0)
        return x * 2

    f = wrap(write)
    for _ in range(3):
        seen.append(f(t(1)))
        seen.append(vars(box).pop("last", None))


@program
def globals_by_other_ways(wrap: Wrap, seen: Seen) -> None:
    def rescale() -> None:
        globals().update(SCALE=SCALE + 1)

    grows(wrap, seen, lambda x: x * globals()["SCALE"], None, rescale)
    grows(wrap, seen, lambda x: x * rescale.__globals__["SCALE"], None, rescale)
    grows(wrap, seen, lambda x: x * sys.modules[__name__].SCALE, None, rescale)
    module = sys.modules["a_module_of_tests"] = types.ModuleType("a_module_of_tests")
    try:
        module.k = 2.0  # type: ignore[attr-defined]
        grows(wrap, seen, lambda x: x * importlib.import_module(module.__name__).k, module)
    finally:
        del sys.modules["a_module_of_tests"]


@program
def modules_of_the_library(wrap: Wrap, seen: Seen) -> None:
    with pytest.MonkeyPatch.context() as patch:
        f = wrap(lambda x: x * math.pi * len(sys.argv))
        for i in range(3):
            seen.append(f(t(1)))
            patch.setattr(math, "pi", float(i))
            seen.append(f(t(1)))
            patch.setattr(sys, "argv", ["x"] * (i + 2))


@program
def classes_of_the_library(wrap: Wrap, seen: Seen) -> None:
    class Own(collections.UserDict[str, float]):
        pass

    base: dict[str, float] = {"k": 1.0}
    for table in (collections.UserDict(k=1.0), collections.ChainMap({}, base), Own(k=1.0)):
        f = wrap(lambda x, table=table: x * table["k"])
        for i in range(3):
            seen.append(f(t(1)))
            table["k"] = i + 2.0
    sizes = collections.UserList([2.0])
    f = wrap(lambda x: x * sizes[0])
    poly = np.poly1d([1.0, 2.0])
    g = wrap(lambda x: x * float(poly(2.0)))
    box = Box()
    refs = weakref.WeakValueDictionary({"k": box})
    h = wrap(lambda x: x * refs["k"].k)
    for _ in range(3):
        seen += [f(t(1)), g(t(1)), h(t(1))]
        sizes[0] += 1
        poly.coeffs[0] += 1
        box.k += 1


@program
def contexts_of_numbers(wrap: Wrap, seen: Seen) -> None:
    third = decimal.Decimal(1), decimal.Decimal(3)
    f = wrap(lambda x: x * float(third[0] / third[1]))
    for i in range(3):
        with decimal.localcontext() as context:
            context.prec = i + 1
            seen.append(f(t(1)))


@program
def what_a_cache_holds(wrap: Wrap, seen: Seen) -> None:
    box = Box()

    def inner() -> float:
        return box.k

    @functools.cache
    def cached() -> float:
        return inner() * SCALE

    cached()
    f = wrap(lambda x: x * cached())
    for i in range(5):
        seen.append(f(t(1)))
        box.k += 1
        if i != 1:
            cached.cache_clear()
        if i > 2:
            cached()


@program
def members_of_enums(wrap: Wrap, seen: Seen) -> None:
    FACTORS.update(RED=2.0, BLUE=7.0)
    f = wrap(lambda x, color: x * color.factor)
    g = wrap(lambda x: x * Color.RED.factor)
    for _ in range(3):
        seen += [f(t(1), Color.RED), f(t(1), Color.BLUE), g(t(1))]
        FACTORS["RED"] += 1
    extra: Any = Color.RED
    extra.k = 1.0
    grows(wrap, seen, lambda x: x * extra.k, extra)


@program
def dataclasses_as_arguments(wrap: Wrap, seen: Seen) -> None:
    config = Config()
    f = wrap(lambda x, c: x * c.both())
    for i in range(3):
        seen.append(f(t(1), Config(float(i))))
        Config.K += 1
    Config.K = 3.0
    config.extra = 1.0  # type: ignore[attr-defined]
    g = wrap(lambda x, c: x * c.extra)
    box = Box()
    h = wrap(lambda x, c: x * c.b.k)
    k = wrap(lambda x, c: x * tg.tensor(c.b))
    for i in range(3):
        seen += [g(t(1), config), h(t(1), Config(1.0, box))]
        seen.append(k(t(1, 2), Config(1.0, np.float32([i, 1]))))
        config.extra += 1  # type: ignore[attr-defined]
        box.k += 1


@program
def other_arguments(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, a: x * float(np.asarray(a, dtype=float).sum()))
    g = wrap(lambda x, part: x[part] * 2)
    h = wrap(lambda d: d[1] * type(next(iter(d))).__name__.count("o"))
    k = wrap(lambda tensors: sum(x.sum() for x in tensors))
    for i in range(3):
        seen.append(f(t(1), np.array([i, 1], dtype=object)))
        seen.append(f(t(1), np.ma.array([1.0, i], mask=[0, 0])))
        seen += [g(t(1, 2, 3), slice(0, i + 1)), g(t(1, 2, 3), (slice(i, None),))]
        seen += [h({1: t(1)}), h({True: t(1)}), h({1.0: t(1)})]
        seen.append(k({t(i), t(1)}))


@program
def kinds_of_tensors_as_arguments(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda w: w.detach() * (2 if isinstance(w, nn.Parameter) else 3))
    for _ in range(3):
        seen += [f(t(1).requires_grad_()), f(nn.Parameter(t(1)))]

    def descend(w: Any) -> Any:
        (w * w).sum().backward()
        return w.detach() * 2

    g, w = wrap(descend), t(1, 2).requires_grad_()
    for _ in range(3):
        seen += [g(w), w.grad + 0, g(w * 2), w.grad + 0]


@program
def classes_that_change(wrap: Wrap, seen: Seen) -> None:
    class First:
        def k(self) -> float:
            return 2.0

    class Second:
        def k(self) -> float:
            return 5.0

    its: Any = First()
    f = wrap(lambda x: x * its.k())
    g = wrap(lambda x: x * 2 if its else x * 3)
    for cls in (Second, First, Second, First):
        seen += [f(t(1)), g(t(1))]
        its.__class__ = cls
    First.__bool__ = lambda self: False  # type: ignore[attr-defined]
    seen.append(g(t(1)))
    del First.__bool__  # type: ignore[attr-defined]
    seen.append(g(t(1)))
    First.__len__ = lambda self: 0  # type: ignore[attr-defined]
    seen.append(g(t(1)))


@program
def effects_by_other_hands(wrap: Wrap, seen: Seen) -> None:
    say = functools.partial(print, "a")

    def partial(x: Any) -> Any:
        say()
        return x * 2

    def mapped(x: Any) -> Any:
        list(map(print, "ab"))
        return x * 2

    for fn in (partial, mapped):
        f = wrap(fn)
        for _ in range(3):
            with contextlib.redirect_stdout(io.StringIO()) as text:
                seen.append(f(t(1)))
            seen.append(text.getvalue())


@program
def random_numbers_of_numpy(wrap: Wrap, seen: Seen) -> None:
    state = np.random.get_state()
    np.random.seed(0)
    f = wrap(lambda x: x * float(np.random.rand()))
    g = wrap(lambda x: x * np.random.default_rng(3).random())
    for _ in range(3):
        seen += [f(t(1)), g(t(1))]
    np.random.set_state(state)


@program
def results_of_their_own_kind(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: nn.Parameter(x * 2, requires_grad=False))
    k = wrap(lambda x: (x * 2, x.shape))

    def twice(x: Any) -> Any:
        held = [x * 2]
        return held, held

    g = wrap(twice)
    count = wrap(lambda x: (x * 2, x._version))
    same = wrap(lambda x: (x * 2, id(x)))
    for _ in range(3):
        x = t(1)
        a, b = g(x)
        seen += [type(f(x)).__name__, a is b, k(x), type(k(x)[1]).__name__, same(x)[1] == id(x)]
        x.add_(1)
        seen.append(count(x))


def test_shapes_are_returned_by_a_replay() -> None:
    f = tg.compile(lambda x: (x * 2, x.shape))
    assert [f(t(1, i))[1] for i in range(3)] == [(2,)] * 3
    assert f.traces == 1
