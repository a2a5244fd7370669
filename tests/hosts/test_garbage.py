"""Python's collector of cycles may drop tensors at any allocation, also while a graph is being lowered."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import tabgrad as tg


class Holder:
    """A tensor in a cycle: only the collector frees it."""

    def __init__(self, x: Any) -> None:
        self.x = x
        self.me = self


@pytest.mark.every_host
def test_tensors_freed_while_a_graph_is_lowered(device: str) -> None:
    x = tg.ones(3, device=device)
    thresholds = gc.get_threshold()
    try:
        for k in range(20):
            gc.disable()
            # a new shape each time, so that there is something to lower
            y = tg.ones(k + 1, device=device)
            for i in range(8):
                Holder(y * (i + 2) + 1)
            z = y + x.sum()
            gc.set_threshold(1, 1, 1)
            gc.enable()
            assert z.tolist() == [4.0] * (k + 1)
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
