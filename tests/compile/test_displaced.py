"""A capture that others displace goes at once: nothing waits for the collector of cycles."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.compiler import compiled as compiling


@pytest.mark.one_host("wgpu", "cuda")
def test_it_needs_no_collector(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "MOST_CALLS", 2)
    call: Any = tg.compile(lambda x: (x * 3).sum())
    call(tg.ones(5, device=device))
    ((entry,),) = [known.entries for known in call.known.values()]
    gone = weakref.ref(entry)
    del entry
    gc.collect()
    gc.disable()
    try:
        for n in range(6, 10):
            call(tg.ones(n, device=device))
        assert gone() is None
    finally:
        gc.enable()
