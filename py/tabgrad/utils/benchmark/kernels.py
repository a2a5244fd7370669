"""Measures the variants of kernels of common work on the WebGPU adapter, and prints what is known of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import tabgrad as tg

Work = Callable[[], Any]
SIDES = (64, 256, 1024)
"""The sizes of products, and of what is reduced."""
MOST_RUNS = 200
"""The most runs of one kind of work."""


def known(seconds: float = 0.0, device: str = "webgpu") -> str:
    """Return the known answers as a row of the table of adapters that comes with the package.

    With `seconds`, common work is run first, and variants are timed for at most so long; what is found is kept
    for later sessions too. What your own programs have measured is among the answers either way.
    """
    from tabgrad.hosts.kept_answers import entry

    backend: Any = tg.device(device).backend
    if seconds > 0:
        measure(backend, seconds, work(device))
    return entry(backend.host)


def work(device: str, sides: tuple[int, ...] = SIDES) -> Iterator[Work]:
    """Make calls of products, reductions, scans, sorts and attention at several sizes."""
    for n in sides:
        x, y = (tg.rand(n, n, device=device) for _ in range(2))
        wide, flat = tg.rand(8 * n, 16, device=device), x.flatten()
        for left, right in ((x, y), (x, y.mT), (x.mT, y), (wide.mT, wide)):
            yield partial(tg.matmul, left, right)
        for axis in (0, 1):
            for reduce in (tg.sum, tg.softmax, tg.argmax):
                yield partial(reduce, x, axis)
        yield partial(tg.cumsum, flat, 0)
        yield partial(tg.argsort, flat)
        q = tg.rand(1, 8, n, 64, device=device)
        yield partial(tg.nn.functional.scaled_dot_product_attention, q, q, q, is_causal=True)


def measure(backend: Any, seconds: float, calls: Iterator[Work]) -> None:
    """Run calls until their questions are answered, or the time is over."""
    from tabgrad.hosts import probing

    kept = probing.SECONDS, tg.backends.webgpu.benchmark
    end = time.monotonic() + seconds
    probing.SECONDS, tg.backends.webgpu.benchmark = seconds, True
    try:
        for call in calls:
            for _ in range(MOST_RUNS):
                if time.monotonic() > end:
                    return
                call().numpy()
                if not _open(backend):
                    break
    finally:
        probing.SECONDS, tg.backends.webgpu.benchmark = kept


def _open(backend: Any) -> bool:
    """Whether there is a question, or a trial, without an answer."""
    choices, probe = backend.choices, backend.probe
    done = choices.answers.keys() | choices.skipped
    asked = {q for s in backend.plans.values() for q in s.plan.asked}
    return bool(asked - done) or (probe is not None and probe.trial is not None)


__all__ = ["known", "measure", "work"]
