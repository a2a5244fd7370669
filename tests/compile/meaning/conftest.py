"""Programs run on the host's device."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg


@pytest.fixture(autouse=True)
def on_device(device: str) -> Any:
    tg.set_default_device(device)
    yield
    tg.set_default_device(None)
    tg.set_default_dtype(tg.float32)
