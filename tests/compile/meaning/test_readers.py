"""Ways to read attributes and items of an object through functions of Python's library."""

from __future__ import annotations

import bisect
import builtins
import collections
import copy
import functools
import heapq
import inspect
import itertools
import json
import logging
import math
import operator
import pickle
import re
import reprlib
import statistics
import string
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compile.meaning.readers import Case, Thing, collector, seen_both_ways, with_k
from tests.compile.meaning.support import MARKS

pytestmark = MARKS
CASES: dict[str, Callable[[], Case]] = {}
case = collector(CASES)
# ruff: noqa: UP030, UP031, UP032, RUF015


class Slotted:
    __slots__ = ("inner", "k")

    def __init__(self) -> None:
        self.k = 1.0
        self.inner = Thing()


def attribute(read: Callable[[Any], float], make: Callable[[], Any] = Thing) -> Callable[[], Case]:
    """Return a case that reads `k` of an object."""

    def made() -> Case:
        thing = make()
        return lambda: read(thing), lambda k: setattr(thing, "k", k)

    return made


def first(read: Callable[[Any], float], make: Callable[[], Any]) -> Callable[[], Case]:
    """Return a case that reads an item that is assigned under "k"."""

    def made() -> Case:
        table = make()
        return lambda: read(table), lambda k: operator.setitem(table, "k", k)

    return made


def written(text: str) -> float:
    return float(re.sub(r"[^0-9.]", "", text))


def number(text: str) -> float:
    return float(text)


NAME = "".join(["k"])
GET = operator.attrgetter("k")
GET_DEEP = operator.attrgetter("inner.k")
CALL = operator.methodcaller("get")
FORMAT = "{0.k}".format
OF_ATTRIBUTES: dict[str, Callable[[Any], float]] = {
    "format": lambda o: float("{0.k}".format(o)),
    "format, item": lambda o: float("{0.items[k]}".format(o)) * o.k,
    "format, by name": lambda o: float("{o.k}".format(o=o)),
    "format, kept": lambda o: float(FORMAT(o)),
    "format, the object": lambda o: float("{}".format(o)),
    "format()": lambda o: float(format(o)),
    "f-string": lambda o: float(f"{o}"),
    "percent": lambda o: written("%s" % o),
    "percent, r": lambda o: written("%r" % (o,)),
    "str": lambda o: written(str(o)),
    "repr": lambda o: written(repr(o)),
    "ascii": lambda o: written(ascii(o)),
    "reprlib": lambda o: written(reprlib.repr(o)),
    "format_map": lambda o: float("{o.k}".format_map({"o": o})),
    "str.format": lambda o: float(str.format("{0.k}", o)),
    "Formatter": lambda o: float(string.Formatter().format("{0.k}", o)),
    "attrgetter": lambda o: GET(o),
    "attrgetter, made": lambda o: operator.attrgetter("k")(o),
    "methodcaller": lambda o: CALL(o),
    "methodcaller, mapped": lambda o: next(map(CALL, [o])),
    "getattr": lambda o: getattr(o, NAME),
    "getattr, mapped": lambda o: sum(map(getattr, [o], [NAME])),
    "getattr, partial": lambda o: functools.partial(getattr, o)(NAME),
    "getattr of builtins": lambda o: getattr(builtins, "get" + "attr")(o, NAME),
    "vars": lambda o: vars(o)[NAME],
    "__dict__": lambda o: o.__dict__[NAME],
    "object.__getattribute__": lambda o: object.__getattribute__(o, NAME),
    "getattr_static": lambda o: inspect.getattr_static(o, NAME),
    "getmembers": lambda o: dict(inspect.getmembers(o, lambda v: type(v) is float))[NAME],
    "match": lambda o: matched(o),
    "sum": lambda o: sum(o),
    "max": lambda o: max([o, Thing(0.0)]).k,
    "sorted": lambda o: sorted([Thing(4.5), o])[0].k,
    "sorted by key": lambda o: sorted([Thing(4.5), o], key=GET)[0].k,
    "min by key": lambda o: GET(min([Thing(4.5), o], key=GET)),
    "list": lambda o: list(o)[0],
    "len": lambda o: len(o),
    "operator.index": lambda o: operator.index(o),
    "range": lambda o: len(range(o)),
    "hash": lambda o: hash(o),
    "int": lambda o: int(o.k),
    "in": lambda o: 1.0 + (2.0 in [o]),
    "count": lambda o: 1.0 + [o].count(2.0),  # type: ignore[list-item]
    "heap": lambda o: heapq.nsmallest(1, [Thing(4.5), o])[0].k,
    "bisect": lambda o: 1.0 + bisect.bisect_left([1.5, 2.5], o.k),
    "bisect by key": lambda o: 1.0 + bisect.bisect_left([o], 1.5, key=GET),
    "copy": lambda o: copy.copy(o).k,
    "deepcopy": lambda o: copy.deepcopy(o).k,
    "pickle": lambda o: pickle.loads(pickle.dumps(o)).k,
    "json": lambda o: float(json.dumps(vars(o)["k"])),
    "weakref": lambda o: weakref.ref(o)().k,  # type: ignore[union-attr]
    "proxy": lambda o: weakref.proxy(o).k,
    "eval": lambda o: eval("o.k", {"o": o}),
    "compiled code": lambda o: eval(CODE, {"o": o}),
    "reduce": lambda o: functools.reduce(lambda a, b: a + b.k, [o], 0.0),
    "groupby": lambda o: next(itertools.groupby([o], key=GET))[0],
    "accumulate": lambda o: list(itertools.accumulate([o.k, o.k], operator.mul))[1],
    "fsum": lambda o: math.fsum(o),
    "mean": lambda o: statistics.mean(o),
    "numpy array": lambda o: float(np.array(list(o))[0]),
    "numpy fromiter": lambda o: float(np.fromiter(o, float)[0]),
    "numpy object": lambda o: float(np.vectorize(GET)(np.array([None, o], object)[1:])[0]),
    "setattr": lambda o: (setattr(o, "j", o.k), o.j)[1],
    "fields": lambda o: [v for v in vars(o).values() if type(v) is float][0],
    "deque": lambda o: collections.deque([o])[0].k,
}
CODE = compile("o.k", "<code>", "eval")


def matched(o: Any) -> float:
    match o:
        case Thing(k=k):
            return float(k)
    return 0.0


for _name, _read in OF_ATTRIBUTES.items():
    CASES[_name] = attribute(_read)
CASES["slot"] = attribute(lambda o: getattr(o, NAME), Slotted)
CASES["slot, format"] = attribute(lambda o: float("{0.k}".format(o)), Slotted)
CASES["slot, attrgetter"] = attribute(lambda o: GET(o), Slotted)
CASES["namespace"] = attribute(lambda o: o.k, lambda: types.SimpleNamespace(k=1.0))
CASES["namespace, repr"] = attribute(
    lambda o: written(repr(o)), lambda: types.SimpleNamespace(k=1.0)
)
CASES["function attribute"] = attribute(lambda o: o.k, lambda: with_k(lambda: 0))
CASES["function attribute, computed"] = attribute(
    lambda o: getattr(o, NAME), lambda: with_k(lambda: 0)
)
CASES["module"] = attribute(lambda o: o.k, lambda: with_k(types.ModuleType("m")))
CASES["module, computed"] = attribute(
    lambda o: getattr(o, NAME), lambda: with_k(types.ModuleType("m"))
)
CASES["class"] = attribute(lambda o: o.k, lambda: type("C", (), {"k": 1.0}))
CASES["class, through an instance"] = attribute(lambda o: o().k, lambda: type("C", (), {"k": 1.0}))
CASES["thread local"] = attribute(lambda o: o.k, lambda: with_k(threading.local()))
CASES["error"] = attribute(lambda o: o.k, lambda: with_k(ValueError("x")))
CASES["partial"] = attribute(lambda o: o.k, lambda: with_k(functools.partial(int)))
CASES["a library's object"] = attribute(
    lambda o: float(o.k), lambda: with_k(logging.getLogger("tests"))
)
CASES["dict"] = first(lambda d: d[NAME], lambda: {"k": 1.0})
CASES["dict, get"] = first(lambda d: d.get(NAME), lambda: {"k": 1.0})
CASES["itemgetter"] = first(lambda d: operator.itemgetter("k")(d), lambda: {"k": 1.0})
CASES["dict, format"] = first(lambda d: float("{0[k]}".format(d)), lambda: {"k": 1.0})
CASES["dict, format_map"] = first(lambda d: float("{k}".format_map(d)), lambda: {"k": 1.0})
CASES["dict, percent"] = first(lambda d: float("%(k)s" % d), lambda: {"k": 1.0})
CASES["Template"] = first(lambda d: float(string.Template("$k").substitute(d)), lambda: {"k": 1.0})
CASES["OrderedDict"] = first(lambda d: d["k"], lambda: collections.OrderedDict(k=1.0))
CASES["defaultdict"] = first(lambda d: d["k"], lambda: collections.defaultdict(float, k=1.0))
CASES["Counter"] = first(lambda d: d["k"], lambda: collections.Counter(k=1))
CASES["Counter, most common"] = first(
    lambda d: d.most_common(1)[0][1], lambda: collections.Counter(k=1)
)
CASES["ChainMap"] = first(lambda d: d["k"], lambda: collections.ChainMap({}, {"k": 1.0}))
CASES["UserDict"] = first(lambda d: d["k"], lambda: collections.UserDict({"k": 1.0}))
CASES["eval in a dict"] = first(lambda d: eval("k", d), lambda: {"k": 1.0})
CASES["exec in a dict"] = first(lambda d: (exec("j = k", d), d["j"])[1], lambda: {"k": 1.0})


@pytest.mark.parametrize("inside", [True, False], ids=["called", "kept"])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
@pytest.mark.usefixtures("restored")
def test_a_change_is_seen(make: Callable[[], Case], inside: bool) -> None:
    seen_both_ways(make, inside)
