"""A device does not survive a fork: the child is told so at once, and may go on without it."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import pytest

import tabgrad as tg

pytestmark = [
    pytest.mark.one_host("wgpu"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


def child(x: Any, out: Any) -> None:
    said = []
    for use in (
        lambda: (x + 1).tolist(),
        x.tolist,
        lambda: tg.ones(2, device="webgpu"),
        lambda: tg.ones(2, device="webgpu:3").tolist(),
        lambda: tg.accelerator.synchronize(),
    ):
        try:
            use()
            said.append("went on")
        except tg.DeviceError as error:
            said.append(str(error))
    out.put((said, tg.ones(3, device="cpu").sum().item()))


def test_the_child_is_told(device: str) -> None:
    x = tg.ones(2, device=device)
    y = x * 3
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    process = context.Process(target=child, args=(x, out))
    process.start()
    said, on_cpu = out.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert all("spawn" in text for text in said), said
    assert on_cpu == 3
    assert y.tolist() == [3, 3]
