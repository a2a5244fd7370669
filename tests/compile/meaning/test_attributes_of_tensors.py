"""Attributes that users put on tensors: a compiled call that reads or sets one is the call."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.compile.meaning.support import MARKS, Programs, Seen, Wrap, same_both_ways, t

pytestmark = MARKS
program = Programs()


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


def with_k(x: Any, k: Any = 1.0) -> Any:
    x.k = k
    return x


@program
def of_a_tensor_from_outside(wrap: Wrap, seen: Seen) -> None:
    for w in (with_k(t(1, 2)), with_k(nn.Parameter(t(1, 2)))):
        f = wrap(lambda x, w=w: x * w.detach() * w.k)
        g = wrap(lambda x, w=w: x * getattr(w, "k"))  # noqa: B009
        h = wrap(lambda x, w=w: x * vars(w).get("j", 1.0))
        for i in range(4):
            seen += [f(t(1, 2)), g(t(1)), h(t(3))]
            if i == 1:
                w.k = 5.0
            if i == 2:
                w.j = 7.0


@program
def of_an_argument(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: x * 2 * getattr(x, "k", 3.0))
    g = wrap(lambda x: x.k["a"] * x)
    for i in range(4):
        x = with_k(t(1, 2), float(i))
        seen += [f(x), f(t(1, 2)), g(with_k(t(1), {"a": i}))]
        x.k = t(4, 5)
        seen.append(f(x))
        p = with_k(nn.Parameter(t(2, 1), requires_grad=False), i)
        seen.append(f(p))


@program
def set_in_a_call(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2)

    def on_state(x: Any) -> Any:
        w.count = getattr(w, "count", 0) + 1
        return x * w

    def on_argument(x: Any) -> Any:
        x.seen = True
        return x * 2

    def on_result(x: Any) -> Any:
        return with_k(x * 2, 9.0)

    def as_it_is(x: Any) -> Any:
        return x, x * 2

    f, g, h, k = map(wrap, (on_state, on_argument, on_result, as_it_is))
    for _ in range(4):
        x = t(1, 2)
        seen += [f(x), w.count, g(x), vars(x), vars(h(x)), vars(k(with_k(t(1)))[0])]  # type: ignore[attr-defined]


@program
def that_hold_tensors(wrap: Wrap, seen: Seen) -> None:
    layer = nn.Linear(2, 2)
    weight: Any = layer.weight
    weight.mean_of_steps = t(0, 0)

    def step(x: Any) -> Any:
        layer.zero_grad()
        layer(x).sum().backward()
        with tg.no_grad():
            weight.mean_of_steps.mul_(0.9).add_(weight.grad.sum(0))
            return weight.mean_of_steps * 1

    f = wrap(step)
    for i in range(5):
        seen += [f(t(1, i)), weight.mean_of_steps]
        if i == 2:
            weight.mean_of_steps = t(5, 5)
