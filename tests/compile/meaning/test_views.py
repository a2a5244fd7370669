"""Arguments of a compiled call that are views, detached, cleared or watched by hooks."""

from __future__ import annotations

import cProfile
from typing import Any

import pytest

import tabgrad as tg
from tests.compile.meaning.support import MARKS, Programs, Seen, Wrap, same_both_ways, t

pytestmark = MARKS
program = Programs()


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


@program
def bases_and_then_views_are_written(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any, y: Any) -> Any:
        x[:, 0] = y[0]
        return x.detach()

    f = wrap(step)
    base = tg.rand(4, 3)
    for x in (base[:2].clone(), base[2:].clone(), base[:2], base[2:], base[:2], base):
        seen += [x.tolist(), f(x, t(1, 2)), x.tolist(), base.tolist()]


@program
def views_are_returned_as_views(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: (x.view(-1), x, x[0], x[:], x.detach()))
    bases = tg.rand(4, 3), tg.rand(4, 3)
    for base in bases * 2:
        for x in (base, base[:2], base[:2], base[2:], base.clone()[1:3]):
            for part in f(x):
                part.mul_(0.5)
                seen += [part, x, base]


@program
def other_views_of_a_returned_base(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, y: (x.detach(), y.detach(), y[1:]))
    base = tg.rand(4, 3)
    for i in (0, 0, 1, 2, 1):
        for part in f(base, base[i]):
            part.mul_(0.5)
            seen += [part, base]


@program
def siblings_of_views_of_a_base_that_is_not_named(wrap: Wrap, seen: Seen) -> None:
    base = tg.rand(4, 3)
    piece = base[1:3]
    f, g = wrap(lambda y: (y * 2, piece.detach())), wrap(lambda y: (y * 2, piece[1:]))
    for i in range(4):
        for fn in (f, g):
            fn(t(i, 1))[1].mul_(0.5)
            seen += [base.tolist(), piece.tolist()]


@program
def what_is_written_was_there_already(wrap: Wrap, seen: Seen) -> None:
    h = tg.zeros(3)
    f = wrap(lambda y: h.copy_(y.detach()))
    g = wrap(lambda y: h.data.copy_(y).sum())
    rows = tg.rand(3, 3)
    for fn in (f, g):
        h.copy_(rows[0])
        for y in (rows[0], rows[0], rows[1], rows[0], rows[0], rows[2]):
            seen += [y.tolist(), h.tolist()]
            fn(y)
            seen.append(h.tolist())
        y = t(1, 2, 3)
        for _ in range(3):
            fn(y)
            h.zero_()
            fn(y)
            seen.append(h.tolist())


@program
def a_gradient_that_was_not_there_is_cleared(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()

    def step(x: Any) -> Any:
        w.grad = None
        return x * 2, w.grad

    f = wrap(step)
    for i in range(6):
        seen += [f(t(i, 1)), w.grad]
        if i % 2:
            (w * w).sum().backward()
            seen.append(w.grad)


@program
def gradients_that_only_the_optimizer_knows(wrap: Wrap, seen: Seen) -> None:
    for clears in (True, False):
        w = t(1, 2).requires_grad_()
        optimizer = tg.optim.SGD([w], lr=0.1)
        f = wrap(lambda x, act=optimizer.zero_grad if clears else optimizer.step: (act(), x * 2)[1])
        for i in range(6):
            seen += [f(t(i, 1)), w.tolist(), w.grad]
            if i % 3 == 2:
                w.grad = tg.ones(2)


@program
def the_history_of_an_argument_is_used_up(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()

    def step(y: Any) -> Any:
        w.grad = None
        (y * y).sum().backward()
        w.grad = None
        return y.detach()

    f = wrap(step)
    for _ in range(4):
        y = w * w
        seen.append(f(y))
        try:
            y.sum().backward()
        except RuntimeError as error:
            seen.append(type(error).__name__)


@program
def hooks_of_arguments(wrap: Wrap, seen: Seen) -> None:
    def hooking(w: Any) -> Any:
        w.register_hook(lambda g: g * 2)
        return w.detach() * 2

    def back(w: Any) -> None:
        (w * w).sum().backward()

    f, b = wrap(hooking), wrap(back)
    w, v = t(1, 2).requires_grad_(), t(3, 4).requires_grad_()
    for x in (w, w, w, v):
        seen.append(f(x))
        (x * 3).sum().backward()
        seen.append(x.grad.tolist())
    w, v = t(1, 2).requires_grad_(), t(3, 4).requires_grad_()
    for x in (w, w, w, v):
        b(x)
        seen.append(x.grad.tolist())
    handle = w.register_hook(lambda g: g * 5)
    for x in (w, v, w, w):
        b(x)
        seen.append(x.grad.tolist())
    handle.remove()
    b(w)
    seen.append(w.grad.tolist())


def test_a_step_that_detaches_its_argument_is_replayed() -> None:
    layer = tg.nn.Linear(2, 2)
    optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)

    @tg.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        layer(x.detach()).sum().backward()
        optimizer.step()
        return x.detach()

    for i in range(8):
        step(tg.full((3, 2), float(i)))
    assert step.traces <= 2


def test_names_that_are_computed_are_not_looked_for_in_tabgrad() -> None:
    options, name = type("Options", (), {"scale": 2.0, "__module__": __name__})(), "scale"
    tg.as_tensor(1.0)  # what imports a file of the library is traced once more
    f: Any = tg.compile(lambda x: tg.as_tensor(getattr(options, name)) * x)
    for i in range(4):
        assert f(t(i)).tolist() == [2.0 * i]
    assert f.traces == 1


def test_a_profiler_written_in_c_goes_on() -> None:
    f: Any = tg.compile(lambda x: x * 2)
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        for i in range(3):
            assert f(t(i)).tolist() == [2.0 * i]
    finally:
        profiler.disable()
    assert profiler.getstats()
