"""Ways to read state of the process, and of objects of Python's library."""

from __future__ import annotations

import array
import builtins
import collections
import contextvars
import ctypes
import datetime
import decimal
import fractions
import importlib
import inspect
import io
import itertools
import logging
import math
import operator
import os
import platform
import queue
import random
import re
import string
import struct
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.compile.meaning import support
from tests.compile.meaning.readers import Case, Thing, collector, seen_both_ways
from tests.compile.meaning.support import MARKS

pytestmark = MARKS
CASES: dict[str, Callable[[], Case]] = {}
case = collector(CASES)
K = 1.0


@case
def mapping_proxy() -> Case:
    table = {"k": 1.0}
    shown = types.MappingProxyType(table)
    return lambda: shown["k"], lambda k: table.update(k=k)


@case
def views_of_a_dict() -> Case:
    table = {"k": 1.0}
    values = table.values()
    return lambda: sum(values), lambda k: table.update(k=k)


@case
def chain_map_below() -> Case:
    below = {"k": 1.0}
    chain = collections.ChainMap({}, below)
    return lambda: chain["k"], lambda k: below.update(k=k)


@case
def a_queue() -> Case:
    full: Any = queue.Queue()
    full.put(1.0)
    return lambda: full.queue[0], lambda k: (full.get(), full.put(k))


@case
def deque_items() -> Case:
    items = collections.deque([1.0])
    return lambda: items[0], lambda k: items.appendleft(k)


@case
def an_array() -> Case:
    items = array.array("d", [1.0])
    return lambda: items[0], lambda k: operator.setitem(items, 0, k)


@case
def a_memoryview() -> Case:
    items = bytearray(b"\x01")
    view = memoryview(items)
    return lambda: view[0], lambda k: operator.setitem(items, 0, int(k))


@case
def ctypes_values() -> Case:
    its = ctypes.c_double(1.0)
    return lambda: its.value, lambda k: setattr(its, "value", k)


@case
def a_struct_of_bytes() -> Case:
    items = bytearray(struct.pack("d", 1.0))
    return (
        lambda: struct.unpack_from("d", items)[0],
        lambda k: struct.pack_into("d", items, 0, k),
    )


@case
def a_stream() -> Case:
    stream = io.StringIO("1.0")
    return lambda: float(stream.getvalue()), lambda k: (stream.seek(0), stream.write(str(k)))


@case
def a_file() -> Case:
    path = os.path.join(tempfile.mkdtemp(), "k")

    def write(k: float) -> None:
        with open(path, "w") as file:
            file.write(str(k))

    def read() -> float:
        with open(path) as file:
            return float(file.read())

    write(1.0)
    return read, write


@case
def context_variable() -> Case:
    var: contextvars.ContextVar[float] = contextvars.ContextVar("k", default=1.0)
    return var.get, var.set


@case
def context_variable_in_a_function() -> Case:
    var: contextvars.ContextVar[float] = contextvars.ContextVar("k", default=1.0)
    return lambda: var.get(), var.set


@case
def copied_context() -> Case:
    var: contextvars.ContextVar[float] = contextvars.ContextVar("k", default=1.0)
    return lambda: contextvars.copy_context().get(var, 1.0), var.set


@case
def environment() -> Case:
    os.environ["TABGRAD_TEST_K"] = "1.0"
    return (
        lambda: float(os.environ["TABGRAD_TEST_K"]),
        lambda k: os.environ.update(TABGRAD_TEST_K=str(k)),
    )


@case
def environment_by_function() -> Case:
    os.environ["TABGRAD_TEST_K"] = "1.0"
    return (
        lambda: float(os.getenv("TABGRAD_TEST_K", "0")),
        lambda k: os.environ.update(TABGRAD_TEST_K=str(k)),
    )


@case
def working_directory() -> Case:
    made = {k: tempfile.mkdtemp(suffix=str(k)) for k in (1.0, 2.0, 3.0)}
    os.chdir(made[1.0])
    return lambda: float(os.getcwd()[-3:]), lambda k: os.chdir(made[k])


@case
def random_state() -> Case:
    globals()["K"] = 1.0
    return lambda: random.Random(int(K)).random(), lambda k: globals().update(K=k)


@case
def random_draws() -> Case:
    random.seed(0)
    return random.random, lambda k: random.seed(k)


@case
def random_draws_of_an_object() -> Case:
    source = random.Random(0)
    return lambda: source.uniform(0, 1), lambda k: source.seed(k)


@case
def random_draws_of_numpy() -> Case:
    np.random.seed(0)
    return lambda: float(np.random.rand()), lambda k: np.random.seed(int(k))


@case
def random_draws_of_a_generator() -> Case:
    source = np.random.default_rng(0)
    return lambda: float(source.random()), lambda k: None


@case
def iterators() -> Case:
    source = itertools.count(1)
    return lambda: next(source), lambda k: None


@case
def iterators_of_lists() -> Case:
    source = iter([float(i) for i in range(9)])
    return lambda: next(source), lambda k: None


@case
def generators() -> Case:
    source = (float(i) for i in range(9))
    return lambda: next(source), lambda k: None


@case
def logging_level() -> Case:
    logger = logging.getLogger("tests")
    logger.setLevel(1)
    return lambda: logger.getEffectiveLevel(), lambda k: logger.setLevel(int(k))


@case
def recursion_limit() -> Case:
    base = sys.getrecursionlimit()
    return lambda: sys.getrecursionlimit() - base + 1, lambda k: sys.setrecursionlimit(
        base + int(k)
    )


@case
def active_threads() -> Case:
    event = threading.Event()
    return lambda: 1.0 + event.is_set(), lambda k: event.set()


@case
def module_of_the_library() -> Case:
    before = math.tau
    return (
        lambda: math.tau,
        lambda k: setattr(math, "tau", k if k < 3 else before),
    )


@case
def module_of_a_package() -> Case:
    os.extra_of_tests = 1.0  # type: ignore[attr-defined]
    return lambda: os.extra_of_tests, lambda k: setattr(os, "extra_of_tests", k)  # type: ignore[attr-defined]


@case
def imported_inside() -> Case:
    string.extra_of_tests = 1.0  # type: ignore[attr-defined]

    def read() -> float:
        import string as inner

        return float(inner.extra_of_tests)  # type: ignore[attr-defined]

    return read, lambda k: setattr(string, "extra_of_tests", k)


@case
def attribute_of_another_test_module() -> Case:
    support.extra = 1.0  # type: ignore[attr-defined]
    return lambda: support.extra, lambda k: setattr(support, "extra", k)  # type: ignore[attr-defined]


@case
def imported_by_name() -> Case:
    support.extra = 1.0  # type: ignore[attr-defined]
    return (
        lambda: importlib.import_module("tests.compile.meaning.support").extra,
        lambda k: setattr(support, "extra", k),
    )


@case
def builtins_changed() -> Case:
    builtins.extra_of_tests = 1.0  # type: ignore[attr-defined]
    return lambda: extra_of_tests, lambda k: setattr(builtins, "extra_of_tests", k)  # type: ignore[name-defined] # noqa: F821


@case
def globals_by_name() -> Case:
    globals()["K"] = 1.0
    return lambda: globals()["K"], lambda k: globals().update(K=k)


@case
def globals_of_a_frame() -> Case:
    globals()["K"] = 1.0
    return lambda: sys._getframe().f_globals["K"], lambda k: globals().update(K=k)


@case
def locals_of_the_caller() -> Case:
    globals()["K"] = 1.0
    return lambda: inspect.currentframe().f_globals["K"], lambda k: globals().update(K=k)  # type: ignore[union-attr]


@case
def set_of_objects() -> Case:
    items = {1.0}
    return lambda: sum(items), items.add


@case
def numpy_print_options() -> Case:
    np.set_printoptions(precision=1)
    return (
        lambda: float(str(np.float64(1.23456).reshape(1))[1:-1]),
        lambda k: np.set_printoptions(precision=int(k)),
    )


@case
def numpy_error_state() -> Case:
    np.seterr(divide="ignore")
    return (
        lambda: 1.0 + (np.geterr()["divide"] == "warn"),
        lambda k: np.seterr(divide="warn" if k == 2 else "ignore"),
    )


@case
def array_behind_a_view() -> Case:
    items = np.ones(3)
    part = items[1:]
    return lambda: float(part[0]), lambda k: items.fill(k)


@case
def array_of_objects() -> Case:
    thing = Thing()
    items = np.array([thing, None], dtype=object)
    return lambda: items[0].k, lambda k: setattr(thing, "k", k)


@case
def numbers_of_a_tensor_on_the_cpu() -> Case:
    w = tg.tensor([1.0], device="cpu")
    return lambda: w[0].item(), lambda k: w.fill_(k)


@case
def default_dtype_width() -> Case:
    return (
        lambda: tg.get_default_dtype().itemsize,
        lambda k: tg.set_default_dtype(tg.float16 if k == 2 else tg.float32),
    )


@case
def size_of_an_object() -> Case:
    items = [1.0]
    return lambda: sys.getsizeof(items), lambda k: items.extend([0.0] * 100)


@case
def a_lock() -> Case:
    lock = threading.Lock()
    return lambda: 1.0 + lock.locked(), lambda k: lock.acquire(blocking=False)


@case
def today() -> Case:
    return lambda: float(datetime.datetime.now().microsecond >= 0), lambda k: None


@case
def decimals() -> Case:
    decimal.getcontext().prec = 5
    return (
        lambda: float(decimal.Decimal(1) / decimal.Decimal(3)),
        lambda k: setattr(decimal.getcontext(), "prec", int(k)),
    )


@case
def fractions_of_things() -> Case:
    thing = Thing()
    return lambda: float(fractions.Fraction(int(thing.k), 1)), lambda k: setattr(thing, "k", k)


@case
def patterns() -> Case:
    found = [re.match("(.*)", "1.0")]
    return (
        lambda: float(found[0].group(1)),  # type: ignore[union-attr]
        lambda k: found.__setitem__(0, re.match("(.*)", str(k))),
    )


@case
def the_machine() -> Case:
    return lambda: float(len(platform.node()) >= 0), lambda k: None


@pytest.mark.parametrize("inside", [True, False], ids=["called", "kept"])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
@pytest.mark.usefixtures("restored")
def test_a_change_is_seen(make: Callable[[], Case], inside: bool) -> None:
    seen_both_ways(make, inside)
