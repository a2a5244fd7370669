"""Weights that are used many times: their gradients are one product each, however many steps there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.nn import functional as F
from tests.lower import recorder

WEIGHTS = {"w": (6, 6), "u": (3, 6), "b": (6,), "v": (6, 2)}


def drawn(device: Any, *shape: int) -> Any:
    draw = np.random.default_rng(sum(shape))
    return tg.tensor(draw.uniform(-1, 1, shape).astype("f"), device=device)


def states(p: Any, x: Any, steps: int) -> list[Any]:
    h = tg.zeros(4, 6, device=x.device)
    out = []
    for t in range(steps):
        h = tg.tanh(h @ p["w"] + x[t] @ p["u"] + p["b"])
        out.append(h)
    return out


def last(p: Any, x: Any, steps: int) -> Any:
    return (states(p, x, steps)[-1] @ p["v"]).sum()


def batch_first(p: Any, x: Any, steps: int) -> Any:
    h, x = tg.zeros(4, 6, device=x.device), x.transpose(0, 1).contiguous()
    for t in range(steps):
        h = tg.tanh(h @ p["w"] + x[:, t] @ p["u"] + p["b"])
    return (h @ p["v"]).sum()


def stacked(p: Any, x: Any, steps: int) -> Any:
    return ((tg.stack(states(p, x, steps)) @ p["v"]) ** 2).mean()


def each(p: Any, x: Any, steps: int) -> Any:
    return sum(((h @ p["v"]) ** 2).sum() for h in states(p, x, steps))


def flow(p: Any, x: Any, steps: int) -> Any:
    h = x[0] @ p["u"]
    for _ in range(steps):
        h = h + F.relu(h @ p["w"] + p["b"]) / steps
    return (h @ p["v"]).sum()


def gated(p: Any, x: Any, steps: int) -> Any:
    h = tg.zeros(4, 6, device=x.device)
    for t in range(steps):
        a, b = (x[t] @ p["u"] + h @ p["w"] + p["b"]).chunk(2, 1)
        h = tg.cat([tg.sigmoid(a) * b, tg.tanh(b)], 1) + h
    return (h @ p["v"]).sum()


PROGRAMS: dict[Callable[..., Any], int] = {
    last: 2, batch_first: 2, stacked: 2, flow: 2, gated: 6
}  # fmt: skip
"""Programs, and how many dispatches one more step may cost at the most, gradients included."""


def gradients(program: Callable[..., Any], device: Any, steps: int) -> list[Any]:
    p = {k: drawn(device, *shape).requires_grad_() for k, shape in WEIGHTS.items()}
    x = drawn(device, steps, 4, 3)
    if device != "cpu":
        tg.device(device).backend.flush()
    program(p, x, steps).backward()
    return [p[k].grad for k in WEIGHTS]


def dispatches(program: Callable[..., Any], steps: int) -> int:
    device = recorder.device()
    p = {k: drawn(device, *shape).requires_grad_() for k, shape in WEIGHTS.items()}
    x = drawn(device, steps, 4, 3)
    device.backend.flush()
    before = device.backend.counters.dispatches
    program(p, x, steps).backward()
    device.backend.flush()
    return int(device.backend.counters.dispatches - before)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_one_more_step_costs_its_own_kernels_and_none_for_the_weights(program: Any) -> None:
    assert dispatches(program, 8) - dispatches(program, 6) <= 2 * PROGRAMS[program]


@pytest.mark.every_host
def test_gradients_of_recurrences(device: Any) -> None:
    for program in (*PROGRAMS, each):
        for steps in (3, 9):
            want, got = (gradients(program, where, steps) for where in ("cpu", device))
            again = gradients(program, device, steps)
            for a, b, c in zip(want, got, again, strict=True):
                a, b, c = (v.cpu().numpy() for v in (a, b, c))
                most = 4e-6 * np.abs(a).max()
                name = f"{program.__name__} {steps}"
                np.testing.assert_allclose(b, a, rtol=0, atol=most, err_msg=name)
                np.testing.assert_array_equal(b, c)


@pytest.mark.every_host
def test_second_derivatives_of_recurrences(device: Any) -> None:
    def products(where: Any) -> list[Any]:
        p = {k: drawn(where, *shape) for k, shape in WEIGHTS.items()}
        x = drawn(where, 7, 4, 3)
        v = {k: drawn(where, *shape) / 3 for k, shape in WEIGHTS.items()}
        _, found = tg.func.hvp(lambda p: stacked(p, x, 7), (p,), (v,))
        return [found[0][k].cpu().numpy() for k in WEIGHTS]

    for a, b in zip(products("cpu"), products(device), strict=True):
        np.testing.assert_allclose(b, a, rtol=5e-5, atol=5e-6)


@pytest.mark.every_host
def test_states_that_are_wanted_keep_their_values_beside_the_joined_ones(device: Any) -> None:
    def run(where: Any) -> list[Any]:
        p = {k: drawn(where, *shape).requires_grad_() for k, shape in WEIGHTS.items()}
        found = states(p, drawn(where, 8, 4, 3), 8)
        (found[-1] @ p["v"]).sum().backward()
        kept = [*found, *(p[k].grad for k in ("w", "u", "b"))]
        found[2].detach().mul_(0)
        return [v.detach().cpu().numpy() for v in kept]

    for a, b in zip(run("cpu"), run(device), strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6)
