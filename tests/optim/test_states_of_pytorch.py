"""State dicts hold what PyTorch's hold, at first and later; one that PyTorch has made goes on as it would."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

import tabgrad as tg
from tests.optim import cases
from tests.optim.cases import METRICS, OPTIMIZERS, SCHEDULES, told, untold
from tests.optim.record_states import KINDS, STATES

TOLD: dict[str, Any] = json.loads(STATES.read_text())


def near(found: Any, expected: Any, rel: float, path: str = "") -> None:
    """Assert that two parts of state dicts are alike; numbers to `rel`, an int may stand for a float."""
    if isinstance(expected, dict) and "dict" in expected:
        keys = [[k for k, _ in x["dict"]] for x in (found, expected)]
        assert keys[0] == keys[1], path
        for (key, a), (_, b) in zip(found["dict"], expected["dict"], strict=True):
            near(a, b, rel, f"{path}.{key}")
    elif isinstance(expected, dict):
        assert list(found) == list(expected), path
        for key in expected:
            near(found[key], expected[key], rel, f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            near(a, b, rel, f"{path}[{i}]")
    elif isinstance(expected, bool) or not isinstance(expected, int | float):
        assert found == expected, path
        assert type(found) is type(expected), path
    else:
        assert found == pytest.approx(expected, rel=rel, abs=rel), path


@pytest.mark.every_host
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_a_state_dict_is_pytorchs(case: str, device: str) -> None:
    params = cases.parameters(tg, device)
    optimizer = cases.make(tg, case, params)
    near(told(optimizer.state_dict()), TOLD[case]["first"], 1e-6)
    cases.steps(tg, params, optimizer, 3, device)
    rel = 2e-3 if "LBFGS" in case else 2e-5
    near(told(optimizer.state_dict()), TOLD[case]["then"], rel)


@pytest.mark.every_host
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_a_state_dict_of_pytorch_goes_on(case: str, device: str) -> None:
    params = cases.parameters(tg, device)
    optimizer = cases.make(tg, case, params)
    with tg.no_grad():
        for p, there in zip(params, TOLD[case]["there"], strict=True):
            p.copy_(untold(tg, there, device))
    optimizer.load_state_dict(untold(tg, TOLD[case]["then"], device))
    near(told(optimizer.state_dict()), TOLD[case]["then"], 1e-6)
    cases.steps(tg, params, optimizer, 5, device)
    # a line search decides by values that a device rounds differently
    near([told(p) for p in params], TOLD[case]["last"], 2e-3 if "LBFGS" in case else 2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", SCHEDULES)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_a_schedule_and_its_state_are_pytorchs(case: str, kind: str) -> None:
    expected = TOLD[f"{kind} {case}"]
    optimizer, scheduler = cases.schedule(tg, case, kind)
    near(told(scheduler.state_dict()), expected["first"], 1e-15)
    rows = cases.follow(optimizer, scheduler, case, METRICS[:9])
    near(told(scheduler.state_dict()), expected["then"], 1e-15)
    near(told(optimizer.state_dict()["param_groups"]), expected["groups"], 1e-15)
    rows += cases.follow(optimizer, scheduler, case, METRICS[9:])
    near(rows, expected["rows"], 1e-15)


@pytest.mark.parametrize("case", SCHEDULES)
def test_a_state_dict_of_a_schedule_of_pytorch_goes_on(case: str) -> None:
    expected = TOLD[f"SGD {case}"]
    optimizer, scheduler = cases.schedule(tg, case, "SGD")
    for group, own in zip(
        optimizer.param_groups, untold(tg, expected["groups"], "cpu"), strict=True
    ):
        group.update({k: v for k, v in own.items() if k != "params"})
    scheduler.load_state_dict(untold(tg, expected["then"], "cpu"))
    near(cases.follow(optimizer, scheduler, case, METRICS[9:]), expected["rows"][9:], 1e-15)


@pytest.mark.every_host
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_a_state_dict_follows_its_optimizer(case: str, compiled: bool, device: str) -> None:
    """Its tensors, steps among them, are the optimizer's: what is held shows the steps that come."""
    params = cases.parameters(tg, device)
    optimizer = cases.make(tg, case, params)

    def one() -> None:
        cases.steps(tg, params, optimizer, 1, device)

    step = tg.compile(one) if compiled and "LBFGS" not in case else one
    step()
    step()
    held = optimizer.state_dict()
    kept = copy.deepcopy(held)
    before = told(kept)
    for _ in range(3):
        step()
    near(told(held), told(optimizer.state_dict()), 0)
    assert told(kept) == before
    for own in held["state"].values():
        assert "step" not in own or own["step"].item() == 5
    optimizer.load_state_dict(kept)
    near(told(optimizer.state_dict()), before, 0)
    step()
    assert told(kept) == before


@pytest.mark.every_host
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["Adam", "Adagrad", "RMSprop", "Adafactor"])
def test_what_is_held_moves_with_parameters_that_come_and_go(
    name: str, compiled: bool, device: str
) -> None:
    a, b, c = (tg.full((3,), float(i + 1), device=device, requires_grad=True) for i in range(3))
    optimizer = getattr(tg.optim, name)([a, b])

    def one(used: tuple[Any, ...]) -> None:
        optimizer.zero_grad()
        sum((x * x).sum() for x in used).backward()
        optimizer.step()

    step: Any = tg.compile(one) if compiled else one
    step((a, b))
    held = optimizer.state_dict()
    objects = {k: dict(own) for k, own in held["state"].items()}
    for used in ((a,), (a,), (a, b), (a, b), (b,), (a, b)):
        step(used)
        now = optimizer.state_dict()["state"]
        near(told(held["state"]), told(now), 0)
        assert all(now[k][n] is x for k, own in objects.items() for n, x in own.items())
    optimizer.add_param_group({"params": [c]})
    step((a, b, c))
    near(told(held["state"]), told({k: optimizer.state_dict()["state"][k] for k in (0, 1)}), 0)
    assert optimizer.state_dict()["state"][2]["step"].item() == 1


@pytest.mark.every_host
def test_steps_on_the_device_follow_too(device: str) -> None:
    w = tg.ones(2, device=device, requires_grad=True)
    optimizer = tg.optim.Adam([w], capturable=True)

    @tg.compile
    def step() -> Any:
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
        return w.detach().sum()

    step()
    held = optimizer.state_dict()["state"][0]["step"]
    assert held.device.type == device
    for i in range(2, 6):
        step()
        assert held.item() == i
        assert optimizer.state_dict()["state"][0]["step"] is held
