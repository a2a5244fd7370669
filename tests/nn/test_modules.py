"""Every module computes, differentiates and prints as PyTorch does."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

import tabgrad as tg
from tests.nn.cases import CASES, Case, name
from tests.nn.record import EXPECTED
from tests.nn.run import run

TOLD: dict[str, Any] = json.loads(EXPECTED.read_text())


def close(ours: Any, theirs: Any, path: str = "") -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for key in theirs:
            close(ours[key], theirs[key], f"{path} {key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        for a, b in zip(ours, theirs, strict=True):
            close(a, b, path)
    elif isinstance(theirs, str):
        assert ours == theirs, path
    else:
        assert ours == pytest.approx(theirs, rel=2e-4, abs=2e-5, nan_ok=True), path


@pytest.mark.every_host
@pytest.mark.parametrize("case", CASES, ids=name)
def test_module(case: Case, device: str) -> None:
    close(run(tg, case, device), TOLD[name(case)])


def test_what_was_recorded_is_what_pytorch_says() -> None:
    assert TOLD.keys() == {name(case) for case in CASES}
    if importlib.util.find_spec("torch") is not None:
        import torch

        for case in CASES[::20]:
            close(run(torch, case), TOLD[name(case)])
