"""Functions made of ops against what PyTorch computed, on every device: values, gradients, second order."""

from __future__ import annotations

import pytest

from tests.ops import composites

ENTRIES = composites.entries()


@pytest.mark.every_host
@pytest.mark.parametrize("name", ENTRIES)
def test_agrees_with_pytorch(name: str, device: str) -> None:
    assert not composites.check(ENTRIES[name], device)
