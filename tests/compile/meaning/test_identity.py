"""Which tensors that a compiled call returns are one object, and which share memory."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.compile.meaning.support import (
    MARKS,
    Programs,
    Seen,
    Wrap,
    same_both_ways,
    t,
)

pytestmark = MARKS
program = Programs()


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


@program
def an_argument_is_returned(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, y: (x * 2, y))
    for i in range(4):
        x, y = t(i), t(10 + i)
        a, b = f(x, y)
        seen += [a.tolist(), b is y, b.tolist()]


@program
def modules_that_do_nothing(wrap: Wrap, seen: Seen) -> None:
    for module in (nn.Identity(), nn.Dropout().eval(), nn.Flatten(0), nn.Flatten()):
        f = wrap(module)
        for i in range(3):
            x = tg.full((2, 2), float(i))
            y = f(x)
            seen += [y is x, y.tolist()]
            y.add_(1)
            seen.append(x.tolist())


@program
def results_share(wrap: Wrap, seen: Seen) -> None:
    def make(x: Any) -> Any:
        y = x * 2
        return y, y, y.view(-1), y[0], y.detach(), y.detach()[1]

    f = wrap(make)
    for i in range(4):
        y, z, flat, row, apart, last = f(tg.full((2, 2), float(i)))
        seen.append(y is z)
        flat.add_(1)
        seen += [y.tolist(), row.tolist(), apart.tolist(), last.tolist()]
        row.mul_(5)
        apart.sub_(1)
        seen += [y.tolist(), flat.tolist(), apart.tolist(), last.tolist()]


@program
def views_of_a_hidden_base(wrap: Wrap, seen: Seen) -> None:
    def make(x: Any) -> Any:
        y = x + 1
        return y[0], y.T

    f = wrap(make)
    for i in range(4):
        a, b = f(tg.full((2, 2), float(i)))
        a.zero_()
        seen += [a.tolist(), b.tolist()]


@program
def one_tensor_twice(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any, y: Any) -> Any:
        x.add_(1)
        return (x * y).sum()

    f = wrap(step)
    a, b = t(1, 2), t(3, 4)
    for x, y in ((a, b), (a, a), (a, b), (b, b), (a, a.detach()), (b, a)):
        seen += [f(x, y).item(), a.tolist(), b.tolist()]


@program
def a_state_is_returned(wrap: Wrap, seen: Seen) -> None:
    total = t(0, 0)

    def add(x: Any) -> Any:
        total.add_(x)
        return total, total[1:]

    f = wrap(add)
    for i in range(4):
        a, b = f(t(i, 1))
        seen += [a is total, a.tolist(), b.tolist()]
        b.add_(100)
        seen.append(total.tolist())


@program
def the_state_is_an_argument(wrap: Wrap, seen: Seen) -> None:
    total = t(1, 1)

    def add(x: Any) -> Any:
        total.add_(1)
        return (x * 2).sum()

    f = wrap(add)
    for x in (t(1, 2), t(1, 2), total, t(1, 2), total, total[:1], total.detach()):
        seen += [f(x).item(), total.tolist()]


@program
def a_parameter_is_returned(wrap: Wrap, seen: Seen) -> None:
    layer = nn.Linear(2, 2)
    f = wrap(lambda: layer.weight)
    for _ in range(3):
        seen += [f() is layer.weight, f().requires_grad]


@program
def gradients_are_returned(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()

    def back(x: Any) -> Any:
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    f = wrap(back)
    for i in range(4):
        g = f(t(i, 1))
        seen += [g is w.grad, g.tolist()]
