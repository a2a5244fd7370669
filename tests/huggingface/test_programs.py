"""Models of `transformers` load, save, generate, checkpoint and train as with PyTorch."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.grouped import grouped
from tests.huggingface.programs import EXPECTED

if any(importlib.util.find_spec(name) is None for name in ("transformers", "accelerate")):
    pytest.skip(
        "transformers is not installed: pip install transformers accelerate",
        allow_module_level=True,
    )

ANSWERS = json.loads(EXPECTED.read_text())


@pytest.fixture(scope="module")
def found(device: str) -> dict[str, Any]:
    """What `tests.huggingface.programs` gives, in a process where `import torch` means tabgrad."""
    command = [sys.executable, "-m", "tests.huggingface.programs", "--device", device]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=550, check=True)
    rows: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return rows


@pytest.mark.every_host
@grouped("name", sorted(ANSWERS))
def test_it_gives_what_pytorch_gives(found: dict[str, Any], name: str) -> None:
    assert not isinstance(found[name], str), found[name]
    if name == "trained" or name.endswith("checkpointed"):
        ours, theirs = (
            np.concatenate([np.atleast_1d(row) for row in rows])
            for rows in (found[name], ANSWERS[name])
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)
    else:
        assert found[name] == ANSWERS[name]
