"""Schedules give PyTorch's learning rates and momentums, also after a pause."""

from __future__ import annotations

import copy
import importlib.util
import json
import warnings
from typing import Any

import pytest

import tabgrad as tg
from tests.optim.cases import METRICS, SCHEDULES, rates
from tests.optim.record import EXPECTED

TOLD: dict[str, Any] = json.loads(EXPECTED.read_text())
s = tg.optim.lr_scheduler


@pytest.mark.parametrize("case", SCHEDULES)
def test_rates(case: str) -> None:
    assert rates(tg, case) == [pytest.approx(row, rel=1e-6, abs=1e-8) for row in TOLD[case]]


def test_what_was_recorded_is_what_pytorch_says() -> None:
    if importlib.util.find_spec("torch") is not None:
        import torch

        for case in SCHEDULES:
            assert rates(torch, case) == TOLD[case]


def optimizer_of(lr: float = 0.1) -> Any:
    return tg.optim.SGD([tg.zeros(1, device="cpu", requires_grad=True)], lr=lr, momentum=0.5)


@pytest.mark.parametrize("case", SCHEDULES)
def test_a_loaded_schedule_goes_on_as_if_never_stopped(case: str) -> None:
    def both() -> tuple[Any, Any]:
        optimizer = optimizer_of()
        return optimizer, eval(f"s.{case}", {"s": s, "optimizer": optimizer})

    def run(optimizer: Any, scheduler: Any, metrics: list[float]) -> list[float]:
        seen = []
        for metric in metrics:
            optimizer.step()
            scheduler.step(metric) if "Plateau" in case else scheduler.step()
            seen.append(optimizer.param_groups[0]["lr"])
        return seen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = both()
        run(*first, METRICS[:9])
        saved = [copy.deepcopy(x.state_dict()) for x in first]
        saved[0]["state"] = {}
        second = both()
        for x, own in zip(second, saved, strict=True):
            x.load_state_dict(own)
        assert run(*second, METRICS[9:]) == run(*first, METRICS[9:])


def test_stepping_the_schedule_first_warns() -> None:
    scheduler = s.StepLR(optimizer_of(), 2)
    with pytest.warns(
        UserWarning,
        match=r"^Detected call of `lr_scheduler\.step\(\)` before `optimizer\.step\(\)`",
    ):
        scheduler.step()


def test_last_learning_rate_is_told() -> None:
    optimizer = optimizer_of()
    scheduler = s.ExponentialLR(optimizer, 0.5)
    assert scheduler.get_last_lr() == [0.1]
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.05]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: s.LambdaLR(o, [abs, abs]), ValueError, "Expected 1 lr_lambdas, but got 2"),
        (lambda o: s.StepLR(3, 1), TypeError, "not an Optimizer"),
        (lambda o: s.LinearLR(o, 0), ValueError, "Starting multiplicative factor"),
        (lambda o: s.OneCycleLR(o, 1.0), ValueError, "must define either total_steps"),
        (lambda o: s.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
        (lambda o: s.ReduceLROnPlateau(o, "low"), ValueError, "mode low is unknown"),
        (lambda o: s.StepLR(o, 3, last_epoch=4), KeyError, "initial_lr"),
    ],
)
def test_bad_options(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(optimizer_of())
