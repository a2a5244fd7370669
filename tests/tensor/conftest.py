"""Every test here runs on the device of the host that --host names, which is also the default one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

import tabgrad as tg


@pytest.fixture(autouse=True)
def on_the_device(device: str) -> Iterator[None]:
    with tg.device(device), warnings.catch_warnings():
        # one that says once for each device what 64-bit dtypes become
        warnings.filterwarnings("ignore", "webgpu has no ", UserWarning)
        yield
