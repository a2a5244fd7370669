"""Calls that can't be captured run as they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compile.meaning.support import (
    MARKS,
    Options,
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
def values_that_are_read(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any) -> Any:
        if x.sum() > 4:
            return x * x.sum().item()
        return x - 1

    f = wrap(step)
    for i in range(5):
        seen.append(f(t(1, i)))


@program
def generators_and_results_of_classes(wrap: Wrap, seen: Seen) -> None:
    def parts(x: Any) -> Any:
        yield x * 2
        yield x * 3

    f = wrap(parts)
    for i in range(3):
        seen.append(list(f(t(1, i))))
    g = wrap(lambda x: Options(inner=x * 2))
    for i in range(3):
        seen.append(g(t(1, i)).inner)
    h = wrap(lambda x: (y * 2 for y in (x, x + 1)))
    for i in range(3):
        seen.append(list(h(t(1, i))))


@program
def iterators_outside(wrap: Wrap, seen: Seen) -> None:
    numbers = iter(range(10))
    f = wrap(lambda x: x * next(numbers))
    for _ in range(5):
        seen.append(f(t(1, 2)))


@program
def containers_that_are_returned(wrap: Wrap, seen: Seen) -> None:
    kept = [1, 2]
    f = wrap(lambda x: (x * 2, kept))
    for _ in range(3):
        y, got = f(t(1, 2))
        seen += [y, got is kept]
        got.append(3)
        seen.append(list(kept))


@program
def arguments_that_are_changed(wrap: Wrap, seen: Seen) -> None:
    def step(xs: list[Any], d: dict[str, Any], s: set[int]) -> Any:
        xs.append(xs[-1] * 2)
        d["y"] = xs[0]
        s.add(len(xs))
        return xs[-1]

    f = wrap(step)
    xs: list[Any] = [t(1, 2)]
    d: dict[str, Any] = {}
    s: set[int] = set()
    for _ in range(4):
        seen += [f(xs, d, s), list(xs), dict(d), set(s)]
    for _ in range(3):
        ys, e, u = [t(1, 2)], {}, {0}
        seen += [f(ys, e, u), ys, e, u]


@program
def results_that_need_gradients(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    f = wrap(lambda x: (w * x).sum())
    for i in range(4):
        f(t(1, i)).backward()
        seen.append(w.grad)


@program
def histories_from_outside(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()

    def back(h: Any) -> None:
        (h * h).sum().backward()

    f = wrap(back)
    for _ in range(4):
        f(w * 2)
        seen.append(w.grad)


@program
def methods_of_instances(wrap: Wrap, seen: Seen) -> None:
    class Trainer:
        def __init__(self, scale: float) -> None:
            self.scale = scale
            self.w = t(1, 2)
            self.steps = 0

        @wrap
        def step(self, x: Any) -> Any:
            self.w.add_(x)
            return self.w * self.scale

    a, b = Trainer(2.0), Trainer(3.0)
    for i in range(4):
        a.steps += 1
        seen += [a.step(t(1, 1)), b.step(t(i, 1))]
        if i == 2:
            a.scale = 10.0
    seen += [a.step(t(1, 1)), b.step(t(0, 1))]
