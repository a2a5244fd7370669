"""Ways to read what functions and classes are: bases, defaults, names, results that are kept."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import gc
import inspect
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.compile.meaning.readers import Case, Thing, collector, seen_both_ways
from tests.compile.meaning.support import MARKS

pytestmark = MARKS
CASES: dict[str, Callable[[], Case]] = {}
case = collector(CASES)


@case
def member_by_item() -> Case:
    e: Any = enum.Enum("e", {"A": 1})
    e.A.k = 1.0
    return lambda: e["A"].k, lambda k: setattr(e.A, "k", k)


@case
def member_by_value() -> Case:
    e: Any = enum.Enum("e", {"A": 1})
    e.A.k = 1.0
    return lambda: e(1).k, lambda k: setattr(e.A, "k", k)


@case
def members_in_turn() -> Case:
    e: Any = enum.Enum("e", {"A": 1})
    e.A.k = 1.0
    return lambda: sum(a.k for a in e), lambda k: setattr(e.A, "k", k)


@case
def member_in_a_table() -> Case:
    e: Any = enum.Enum("e", {"A": 1})
    e.A.k = 1.0
    return lambda: e.__members__["A"].k, lambda k: setattr(e.A, "k", k)


@case
def bases() -> Case:
    made = {k: type("Base", (), {"k": k}) for k in (1.0, 2.0, 3.0)}
    b: Any = type("B", (made[1.0],), {})
    its = b()
    return lambda: its.k, lambda k: setattr(b, "__bases__", (made[k],))


@case
def bases_of_bases() -> Case:
    made = {k: type("Base", (), {"k": k}) for k in (1.0, 2.0, 3.0)}
    a: Any = type("A", (made[1.0],), {})
    b: Any = type("B", (a,), {})
    its = b()
    return lambda: its.k, lambda k: setattr(a, "__bases__", (made[k],))


@case
def class_of_an_instance() -> Case:
    made = {k: type("Base", (), {"k": k}) for k in (1.0, 2.0, 3.0)}
    its: Any = made[1.0]()
    return lambda: its.k, lambda k: setattr(its, "__class__", made[k])


@case
def metaclass() -> Case:
    meta: Any = type("Meta", (type,), {"k": 1.0})
    cls: Any = meta("C", (), {})
    return lambda: cls.k, lambda k: setattr(meta, "k", k)


@case
def descriptor() -> Case:
    class Gives:
        k = 1.0

        def __get__(self, its: Any, owner: Any = None) -> float:
            return self.k

    gives = Gives()
    its: Any = type("C", (), {"its": gives})()
    return lambda: its.its, lambda k: setattr(gives, "k", k)


@case
def dynamic_attributes() -> Case:
    table = {"k": 1.0}
    its: Any = type("C", (), {"__getattr__": lambda self, name: table[name]})()
    return lambda: its.k, lambda k: table.update(k=k)


@case
def hits_of_a_cache() -> Case:
    cached = functools.lru_cache(None)(lambda k: k)
    return lambda: 1.0 + cached.cache_info().misses, cached


@case
def size_of_a_cache() -> Case:
    cached = functools.lru_cache(None)(lambda k: k)
    cached(1.0)
    return lambda: cached.cache_info().currsize, cached


@case
def cached_method() -> Case:
    thing = Thing()
    cached: Any = functools.lru_cache(None)(lambda name: getattr(thing, name))

    def change(k: float) -> None:
        thing.k = k
        cached.cache_clear()

    return lambda: cached("k"), change


@case
def a_cached_property() -> Case:
    class C:
        @functools.cached_property
        def k(self) -> float:
            return 1.0

    its: Any = C()
    return lambda: its.k, lambda k: setattr(its, "k", k)


@case
def single_dispatch() -> Case:
    @functools.singledispatch
    def get(x: Any) -> float:
        return 1.0

    return lambda: get(3), lambda k: get.register(int, lambda x: k)


@case
def defaults() -> Case:
    def get(k: float = 1.0) -> float:
        return k

    return get, lambda k: setattr(get, "__defaults__", (k,))


@case
def keyword_defaults() -> Case:
    def get(*, k: float = 1.0) -> float:
        return k

    return get, lambda k: setattr(get, "__kwdefaults__", {"k": k})


@case
def keyword_defaults_item() -> Case:
    def get(*, k: float = 1.0) -> float:
        return k

    table: Any = get.__kwdefaults__
    return get, lambda k: table.update(k=k)


@case
def code_of_a_function() -> Case:
    def get() -> float:
        return 1.0

    made: Any = {2.0: lambda: 2.0, 3.0: lambda: 3.0}
    return get, lambda k: setattr(get, "__code__", made[k].__code__)


@case
def function_in_a_method() -> Case:
    c: Any = type("C", (), {"get": lambda self: 1.0})
    its = c()
    return lambda: its.get(), lambda k: setattr(c, "get", lambda self: k)


@case
def a_dead_reference() -> Case:
    things = [Thing(1.0), Thing(1.0)]
    refs = [weakref.ref(x) for x in things]

    def change(k: float) -> None:
        things.pop()
        gc.collect()

    return lambda: 1.0 + sum(ref() is not None for ref in refs), change


@case
def a_weak_set() -> Case:
    things = [Thing(1.0), Thing(2.0), Thing(3.0)]
    alive: Any = weakref.WeakSet(things)
    return lambda: float(len(alive)), lambda k: (things.pop(), gc.collect())


@case
def cell_by_hand() -> Case:
    cell = types.CellType(1.0)
    return lambda: cell.cell_contents, lambda k: setattr(cell, "cell_contents", k)


@case
def closure_by_hand() -> Case:
    held = 1.0

    def get() -> float:
        return held

    cells: Any = get.__closure__
    return lambda: get.__closure__[0].cell_contents, lambda k: setattr(cells[0], "cell_contents", k)  # type: ignore[index]


@case
def named_tuple_state() -> Case:
    point: Any = collections.namedtuple("point", "x thing")(1.0, Thing())
    return lambda: point.thing.k, lambda k: setattr(point.thing, "k", k)


@case
def data_class_replaced() -> Case:
    @dataclasses.dataclass
    class Config:
        k: float = 1.0

    config = Config()
    return lambda: dataclasses.replace(config).k, lambda k: setattr(config, "k", k)


@case
def data_class_as_a_dict() -> Case:
    @dataclasses.dataclass
    class Config:
        k: float = 1.0

    config = Config()
    return lambda: dataclasses.asdict(config)["k"], lambda k: setattr(config, "k", k)


@case
def signature_of_a_function() -> Case:
    def get(k: float = 1.0) -> float:
        return k

    return (
        lambda: inspect.signature(get).parameters["k"].default,
        lambda k: setattr(get, "__defaults__", (k,)),
    )


@case
def doc_of_a_function() -> Case:
    def get() -> None:
        """1.0"""

    return lambda: float(get.__doc__ or 0), lambda k: setattr(get, "__doc__", str(k))


@case
def name_of_a_function() -> Case:
    def get() -> None: ...

    get.__name__ = "1.0"
    return lambda: float(get.__name__), lambda k: setattr(get, "__name__", str(k))


@case
def name_of_a_class() -> Case:
    made = type("1.0", (), {})
    return lambda: float(made.__name__), lambda k: setattr(made, "__name__", str(k))


@case
def annotations() -> Case:
    def get() -> None: ...

    get.__annotations__["k"] = 1.0
    return lambda: get.__annotations__["k"], lambda k: get.__annotations__.update(k=k)


@case
def class_annotations() -> Case:
    c: Any = type("C", (), {"__annotations__": {"k": 1.0}})
    return lambda: inspect.get_annotations(c)["k"], lambda k: c.__annotations__.update(k=k)


@case
def subclasses() -> Case:
    base = type("Base", (), {})
    kept: list[Any] = [type("C", (base,), {})]
    return lambda: len(base.__subclasses__()), lambda k: kept.append(type("C", (base,), {}))


@case
def the_method_order() -> Case:
    made = {k: type("Base", (), {"k": k}) for k in (1.0, 2.0, 3.0)}
    b: Any = type("B", (made[1.0],), {})
    return lambda: b.__mro__[1].k, lambda k: setattr(b, "__bases__", (made[k],))


@case
def arguments_of_an_error() -> Case:
    error = ValueError(1.0)
    return lambda: error.args[0], lambda k: setattr(error, "args", (k,))


@pytest.mark.parametrize("inside", [True, False], ids=["called", "kept"])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
@pytest.mark.usefixtures("restored")
def test_a_change_is_seen(make: Callable[[], Case], inside: bool) -> None:
    seen_both_ways(make, inside)
