"""Python state that a compiled call writes."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tests.compile.meaning.support import (
    MARKS,
    Options,
    Programs,
    Seen,
    Wrap,
    net,
    same_both_ways,
    t,
)

pytestmark = MARKS
program = Programs()
COUNT = 0
LOG: list[Any] = []


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


@program
def counters_and_lists(wrap: Wrap, seen: Seen) -> None:
    box, table, local = Options(), {"n": 0}, 0

    def step(x: Any) -> Any:
        global COUNT
        nonlocal local
        COUNT += 1
        local += 2
        box.scale += 1
        table["n"] += 1
        table[f"k{COUNT}"] = COUNT
        LOG.append(COUNT)
        box.sizes.extend((COUNT, local))
        return x * COUNT, local

    f = wrap(step)
    for _ in range(4):
        seen += [f(t(1, 2)), COUNT, local, box.scale, dict(table), list(LOG), list(box.sizes)]


@program
def a_hidden_state(wrap: Wrap, seen: Seen) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.h: Any = None

        def forward(self, x: Any) -> Any:
            h = self.layer(x) if self.h is None else tg.tanh(self.layer(x) + self.h)
            self.h = h.detach()
            return self.h

    tg.manual_seed(1)
    model = Net()
    f = wrap(model)
    for i in range(5):
        seen += [f(tg.ones(1, 2) * i), model.h]
    model.h = None
    seen.append(f(tg.ones(1, 2)))


@program
def a_scheduler_inside(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    optimizer = optim.SGD([w], lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        scheduler.step()

    f = wrap(step)
    for _ in range(6):
        f(t(1, 1))
        seen += [w, scheduler.get_last_lr(), scheduler.last_epoch]


@program
def an_optimizer_of_a_user(wrap: Wrap, seen: Seen) -> None:
    class Mine(optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})

        def step(self) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    with tg.no_grad():
                        p -= group["lr"] * p.grad / state["step"]

    w = t(1, 2).requires_grad_()
    optimizer = Mine([w])

    def step(x: Any) -> None:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    f = wrap(step)
    for i in range(5):
        f(t(1, 1))
        optimizer.param_groups[0]["lr"] = 0.1 * i
        seen += [w, optimizer.state[w]["step"]]


@program
def learning_rates_in_python(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    optimizer = optim.Adam([w], lr=0.1)
    it = 0

    def step(x: Any) -> Any:
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + it)
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss.detach(), optimizer.param_groups[0]["lr"], optimizer.state[w]["step"]

    f = wrap(step)
    for it in range(5):  # noqa: B007
        seen += [f(t(1, 1)), w]


@program
def a_scaler(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    optimizer = optim.SGD([w], lr=0.1)
    scaler = tg.amp.GradScaler(tg.get_default_device().type, init_scale=4.0, growth_interval=2)

    def step(x: Any) -> None:
        optimizer.zero_grad()
        scaler.scale((w * x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    f = wrap(step)
    for i in range(6):
        f(t(1, float("inf") if i == 3 else 1))
        seen += [w, scaler.get_scale()]


@program
def draws(wrap: Wrap, seen: Seen) -> None:
    g = tg.Generator()
    f = wrap(lambda x: x + tg.rand(2) + tg.randn(2, generator=g))
    for i in range(6):
        seen.append(f(t(1, 2)))
        if i % 2:
            tg.manual_seed(i)
            g.manual_seed(i)
    seen += [tg.get_rng_state(), g.get_state(), tg.initial_seed()]


@program
def modes_set_inside(wrap: Wrap, seen: Seen) -> None:
    model, _, x = net()

    def step(x: Any) -> Any:
        model.eval()
        with tg.no_grad():
            y = model(x)
        model.train()
        return y

    f = wrap(step)
    for i in range(4):
        seen += [f(x), model.training, model[2].training]
        if i == 1:
            model.eval()
    model[0].eval()
    seen += [f(x), model[0].training]
