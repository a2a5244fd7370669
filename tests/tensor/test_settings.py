"""What a program can set for the whole process goes back to its default when that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core import settings
from tabgrad.utils import checkpoint

# How each is set, and how it is read.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "set_default_dtype": (lambda: tg.set_default_dtype(tg.float64), tg.get_default_dtype),
    "set_default_device": (
        lambda: tg.set_default_device("webgpu"),
        lambda: tg.hosts.devices.chosen_device(),
    ),
    "set_grad_enabled": (lambda: tg.set_grad_enabled(False), tg.is_grad_enabled),
    "set_autocast_enabled": (
        lambda: tg.set_autocast_enabled("cpu", True),
        lambda: tg.is_autocast_enabled("cpu"),
    ),
    "set_autocast_dtype": (
        lambda: tg.set_autocast_dtype("cpu", tg.float16),
        lambda: tg.get_autocast_dtype("cpu"),
    ),
    "set_float32_matmul_precision": (
        lambda: tg.set_float32_matmul_precision("medium"),
        tg.get_float32_matmul_precision,
    ),
    "use_deterministic_algorithms": (
        lambda: tg.use_deterministic_algorithms(True),
        tg.are_deterministic_algorithms_enabled,
    ),
    "set_deterministic_debug_mode": (
        lambda: tg.set_deterministic_debug_mode(1),
        tg.get_deterministic_debug_mode,
    ),
    "set_printoptions": (
        lambda: tg.set_printoptions(precision=1),
        lambda: repr(tg.tensor([1.23456])),
    ),
    "manual_seed": (lambda: tg.manual_seed(1), lambda: (tg.initial_seed(), tg.rand(2).tolist())),
    "seed": (tg.seed, lambda: (tg.initial_seed(), tg.rand(2).tolist())),
    "set_rng_state": (
        lambda: tg.set_rng_state(tg.Generator().manual_seed(5).get_state()),
        lambda: (tg.initial_seed(), tg.rand(2).tolist()),
    ),
    "set_detect_anomaly": (
        lambda: tg.autograd.set_detect_anomaly(True),
        tg.autograd.is_anomaly_enabled,
    ),
    "set_multithreading_enabled": (
        lambda: tg.autograd.set_multithreading_enabled(False),
        tg.autograd.is_multithreading_enabled,
    ),
}
FOR_A_BLOCK = {"set_checkpoint_early_stop", "set_checkpoint_debug_enabled"}


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    device = tg.hosts.devices.chosen_device()
    settings.restore()
    yield
    settings.restore()
    tg.set_default_device(device)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_goes_back_to_its_default(name: str) -> None:
    change, ask = SETTINGS[name]
    settings.restore()
    before = ask()
    change()
    assert ask() != before
    settings.restore()
    assert ask() == before


def test_every_public_setter_is_among_them() -> None:
    found = {
        name
        for module in (tg, tg.autograd, tg.amp, checkpoint)
        for name in dir(module)
        if name.startswith(("set_", "use_"))
    }
    assert found - set(SETTINGS) == FOR_A_BLOCK
