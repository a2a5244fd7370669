"""What a program on a page sets does not stay for the tests after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tabgrad.hosts.tuning import Tuning


@pytest.fixture(autouse=True)
def choices_as_before() -> Iterator[None]:
    """Bring back how kernels are chosen."""
    kept = Tuning.benchmark, Tuning.deterministic
    yield
    Tuning.benchmark, Tuning.deterministic = kept
