"""What tests of worker processes share."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator

import pytest

import tabgrad as tg


@pytest.fixture
def no_worker_is_left() -> Iterator[None]:
    """The CPU is the default device, and no worker outlives the test."""
    tg.set_default_device("cpu")
    yield
    tg.set_default_device(None)
    if multiprocessing.active_children():
        gc.collect()
    assert not multiprocessing.active_children()
