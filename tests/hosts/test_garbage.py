"""Python's collector of cycles may drop tensors at any allocation, also while a graph is being lowered."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.hosts import device as devices


class Holder:
    """A tensor in a cycle: only the collector frees it."""

    def __init__(self, x: Any) -> None:
        self.x = x
        self.me = self


@pytest.mark.every_host
def test_tensors_freed_while_a_graph_is_lowered(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower = devices.lower

    def lower_after_collecting(*args: Any) -> Any:
        gc.collect()
        return lower(*args)

    monkeypatch.setattr(devices, "lower", lower_after_collecting)
    x = tg.ones(7, device=device)
    gc.disable()
    try:
        Holder(x * 2 + 1)
        assert (x * 3).tolist() == [3.0] * 7
    finally:
        gc.enable()
