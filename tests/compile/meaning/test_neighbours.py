"""Other ways in which Python programs keep, find and change state."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
import itertools
import random
import types
import weakref
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tests.compile.meaning import support
from tests.compile.meaning.support import MARKS, Options, Programs, Seen, Wrap, same_both_ways, t

pytestmark = MARKS
program = Programs()


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


@program
def closures_of_a_factory(wrap: Wrap, seen: Seen) -> None:
    def make(start: float) -> Any:
        held = {"k": start}

        def inner(x: Any) -> Any:
            return x * held["k"]

        return inner, held

    first, a = make(2.0)
    second, b = make(3.0)
    f = wrap(lambda x: first(x) + functools.partial(second)(x))
    for a["k"], b["k"] in ((2.0, 3.0), (2.0, 3.0), (5.0, 3.0), (5.0, 7.0), (2.0, 3.0)):
        seen += [f(t(1, 2)), f(t(2, 3))]


@program
def kinds_of_containers(wrap: Wrap, seen: Seen) -> None:
    line = collections.deque([1.0, 2.0], maxlen=2)
    counts, ordered = collections.Counter("aab"), collections.OrderedDict(a=1.0, b=2.0)
    spaces, default = types.SimpleNamespace(k=2.0), collections.defaultdict(float, z=1.0)
    frozen = types.MappingProxyType(spaces.__dict__)

    def step(x: Any) -> Any:
        y = x * line[0] + counts["a"] + next(iter(ordered.values()))
        return y * spaces.k + default["z"] + frozen["k"]

    f = wrap(step)
    for change in (
        lambda: None, lambda: line.append(5.0), lambda: counts.update("aa"),
        lambda: ordered.move_to_end("a"), lambda: setattr(spaces, "k", 4.0),
        lambda: default.update(z=9.0),
    ):  # fmt: skip
        change()
        seen += [f(t(1, 2)), f(t(2, 3))]


class Dynamic:
    registry: dict[str, float] = {"a": 2.0}  # noqa: RUF012

    def __init__(self) -> None:
        self.store = {"scale": 2.0}

    def __getattr__(self, name: str) -> Any:
        store = self.__dict__.get("store", {})
        if name in store:
            return store[name]
        raise AttributeError(name)

    @classmethod
    def find(cls, name: str) -> float:
        return cls.registry[name]

    @functools.cached_property
    def heavy(self) -> float:
        return self.store["scale"] * 10

    def __call__(self, x: Any) -> Any:
        return x * self.scale + self.find("a") + self.heavy


@program
def attributes_that_are_made(wrap: Wrap, seen: Seen) -> None:
    its = Dynamic()
    f = wrap(lambda x: its(x))
    for change in (
        lambda: None, lambda: its.store.update(scale=3.0), lambda: Dynamic.registry.update(a=5.0),
        lambda: its.__dict__.pop("heavy"), lambda: setattr(its, "scale", 1.0),
        lambda: Dynamic.registry.update(a=2.0),
    ):  # fmt: skip
        change()
        seen += [f(t(1, 2)), f(t(2, 3))]


WHERE: contextvars.ContextVar[float] = contextvars.ContextVar("WHERE", default=1.0)


@program
def clocks_draws_and_contexts(wrap: Wrap, seen: Seen) -> None:
    random.seed(3)
    np.random.seed(3)
    count = itertools.count()
    generator = np.random.default_rng(3)
    for fn in (
        lambda x: x * random.random(), lambda x: x * float(np.random.rand()),
        lambda x: x * next(count), lambda x: x * float(generator.random()), lambda x: x * WHERE.get(),
    ):  # fmt: skip
        f = wrap(fn)
        for i in range(4):
            WHERE.set(float(i))
            seen.append(f(t(1, 2)))


@program
def exceptions(wrap: Wrap, seen: Seen) -> None:
    box, total = Options(), t(0, 0)

    def step(x: Any, n: int) -> Any:
        total.add_(1)
        try:
            if n == box.scale:
                raise ValueError("no")
        except ValueError:
            return x * 0
        finally:
            total.add_(1)
        if n > 4:
            raise KeyError(n)
        return x * n

    f = wrap(step)
    for n in (1, 1, 2, 2, 3, 5, 5, 1, 2):
        with contextlib.suppress(KeyError):
            seen.append(f(t(1, 2), n))
        seen.append(total.tolist())
        box.scale = float(n)


@program
def contexts_and_weak_references(wrap: Wrap, seen: Seen) -> None:
    class Holder:
        value = 2.0

    holder = Holder()
    ref = weakref.ref(holder)
    grads = [True]

    @contextlib.contextmanager
    def maybe() -> Any:
        with tg.set_grad_enabled(grads[0]):
            yield

    def step(x: Any) -> Any:
        held = ref()
        with maybe():
            y = x * (held.value if held is not None else 0.0)
        return y.detach(), y.requires_grad

    f = wrap(step)
    for i in range(8):
        holder = Holder() if i == 6 else holder
        grads[0] = i % 3 != 0
        seen += [*f(t(1, 2)), *f(t(2, 3).requires_grad_())]


@program
def modules_and_names_of_other_files(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any) -> Any:
        from tests.compile.meaning import support as inside

        return x * inside.Options().scale + support.Options.scale

    f = wrap(step)
    try:
        for scale in (2.0, 2.0, 3.0, 3.0, 2.0):
            support.Options.scale = scale
            seen += [f(t(1, 2)), f(t(2, 3))]
    finally:
        support.Options.scale = 2.0


@program
def averages_of_weights(wrap: Wrap, seen: Seen) -> None:
    tg.manual_seed(1)
    model, average = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    decay = [0.9]

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        with tg.no_grad():
            for a, p in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(p, 1 - decay[0])
        return loss.detach()

    f = wrap(step)
    for i in range(6):
        decay[0] = 0.5 if i > 3 else 0.9
        seen += [f(tg.ones(1, 2) * i), average.weight, average.bias]


@program
def recurrent_nets_and_accumulation(wrap: Wrap, seen: Seen) -> None:
    tg.manual_seed(1)
    rnn = nn.GRU(2, 3, batch_first=True)
    optimizer = optim.RMSprop(rnn.parameters(), lr=0.01)
    h = tg.zeros(1, 1, 3)

    def part(x: Any, h: Any) -> Any:
        y, h = rnn(x, h.detach())
        (y.square().mean() / 2).backward()
        return h.detach()

    f = wrap(part)
    for i in range(8):
        h = f(tg.full((1, 4, 2), 0.1 * i), h)
        if i % 2:
            optimizer.step()
            optimizer.zero_grad(set_to_none=i % 4 == 1)
        seen += [h, *[p.grad is None for p in rnn.parameters()], rnn.weight_hh_l0]


@program
def methods_of_all_kinds(wrap: Wrap, seen: Seen) -> None:
    class Kinds:
        scale = 2.0

        @classmethod
        def of_class(cls, x: Any) -> Any:
            return x * cls.scale

        @staticmethod
        def of_none(x: Any, *more: Any, k: float = 1.0, **rest: Any) -> Any:
            return x * k + sum(more) + rest.get("b", 0.0)

        def __call__(self, x: Any) -> Any:
            return x * self.scale

    its = Kinds()
    fns = [wrap(Kinds.of_class), wrap(Kinds.of_none), wrap(its)]
    for scale in (2.0, 3.0, 2.0):
        Kinds.scale = scale
        for f in fns:
            seen += [f(t(1, 2)), f(t(2, 3))]
        seen += [fns[1](t(1, 2), t(1, 1), k=scale, b=2.0), fns[1](t(1, 2), 3, b=scale)]


@program
def nested_compiled_functions(wrap: Wrap, seen: Seen) -> None:
    box = Options()
    inner = wrap(lambda x: x * box.scale)
    outer = wrap(lambda x: inner(x) + 1)
    again = wrap(outer)
    for box.scale in (2.0, 3.0, 3.0, 2.0):
        seen += [outer(t(1, 2)), again(t(1, 2)), tg.vmap(outer)(t(1, 2))]
        seen.append(tg.func.grad(lambda x: outer(x).sum())(t(1, 2)))
