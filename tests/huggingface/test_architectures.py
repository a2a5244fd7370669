"""`transformers`, unmodified: every architecture's loss, logits and gradients beside what PyTorch computes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.grouped import grouped
from tests.huggingface.report import EXPECTED, TOLERANCE

if importlib.util.find_spec("transformers") is None:
    pytest.skip(
        "transformers is not installed: pip install transformers accelerate",
        allow_module_level=True,
    )

NAMES = sorted(json.loads(EXPECTED.read_text()))


@pytest.fixture(scope="module")
def found(device: str) -> dict[str, Any]:
    """What `tests.huggingface.report` finds, in a process where `import torch` means tabgrad."""
    command = [sys.executable, "-m", "tests.huggingface.report", "--json", "--device", device]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=550, check=True)
    rows: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return rows


@pytest.mark.every_host
@grouped("name", NAMES)
def test_outputs_and_gradients(found: dict[str, Any], name: str) -> None:
    row = found[name]
    assert "error" not in row, row
    assert row["outputs"] <= TOLERANCE
    assert row["gradients"] <= TOLERANCE


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 58
