"""Compiled calls that write to their arguments."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
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
def an_argument_is_scaled(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda w: w.mul_(2).sum())
    w, v = t(1, 3), t(5, 6)
    for x in (w, w, w, v, w, v):
        seen += [f(x).item(), w.tolist(), v.tolist()]


@program
def an_output_argument(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda out, x: out.copy_(x * 3))
    for i in range(4):
        out = tg.zeros(2)
        got = f(out, t(i, i + 1))
        seen += [out.tolist(), got is out]


@program
def a_cache_of_keys(wrap: Wrap, seen: Seen) -> None:
    def step(cache: Any, k: Any, n: int) -> Any:
        cache[:, n] = k
        return cache.sum()

    f = wrap(step)
    a, b = tg.zeros(2, 3), tg.ones(2, 3)
    for cache in (a, b, a, b):
        for n in range(3):
            seen += [f(cache, t(n + 1, 2), n).item(), a.tolist(), b.tolist()]


@program
def descent_on_arguments(wrap: Wrap, seen: Seen) -> None:
    def step(w: Any, x: Any) -> Any:
        loss = ((w * x).sum() - 1) ** 2
        (g,) = tg.autograd.grad(loss, w)
        with tg.no_grad():
            w -= 0.1 * g
        return loss.detach()

    f = wrap(step)
    w, v = t(1, 2).requires_grad_(), t(-1, 2).requires_grad_()
    for x in (w, w, v, w, v):
        seen += [f(x, t(1, 0.5)), w, v]


@program
def gradients_of_arguments(wrap: Wrap, seen: Seen) -> None:
    def back(w: Any) -> None:
        if w.grad is not None:
            w.grad.zero_()
        (w * w).sum().backward()

    f = wrap(back)
    w, v = t(1, 2).requires_grad_(), t(-1, 2).requires_grad_()
    for x in (w, w, v, w, v, v):
        f(x)
        seen += [w.grad, v.grad]
        with tg.no_grad():
            x += 1


@program
def gradients_add_up_in_the_same_tensor(wrap: Wrap, seen: Seen) -> None:
    def back(w: Any, x: Any) -> None:
        (w * x).sum().backward()

    f = wrap(back)
    w = t(1, 2).requires_grad_()
    f(w, t(1, 1))
    held = w.grad
    for i in range(3):
        f(w, t(i, 1))
        seen += [w.grad is held, held.tolist()]
    w.grad = None
    f(w, t(1, 1))
    seen += [w.grad is held, held.tolist(), w.grad.tolist()]


@program
def a_view_made_inside_is_written(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any) -> Any:
        x[1:].add_(10)
        return x.sum()

    f = wrap(step)
    a, b = t(1, 2, 3), t(4, 5, 6)
    inside = a[2:]
    for x in (a, b, a, a, b):
        seen += [f(x).item(), a.tolist(), b.tolist(), inside.tolist()]


@program
def an_argument_that_is_a_view_is_written(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: x.add_(1).sum())
    a, b = tg.zeros(3, 2), tg.ones(3, 2)
    for x in (a[0], b[1], a[0], a[2], b[1]):
        seen += [f(x).item(), a.tolist(), b.tolist()]


@program
def a_detached_sibling_is_written(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: x.detach().mul_(3).sum())
    a, b = t(1, 2), t(3, 4)
    sibling = a.detach()
    for x in (a, a, b, a):
        seen += [f(x).item(), a.tolist(), b.tolist(), sibling.tolist()]
