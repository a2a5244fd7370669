"""Ask PyTorch for the results of all cases: `python -m tests.tensor.record` writes `expected.json`."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from tests.tensor import cases, running

PATH = pathlib.Path(__file__).with_name("expected.json")


def recorded() -> dict[str, dict[str, Any]]:
    """Return the outcome of each case by topic and program."""
    import torch

    torch.set_default_dtype(torch.float32)
    return {
        topic: {code: running.outcome(torch, code, "cpu") for code in codes}
        for topic, codes in cases.TOPICS.items()
    }


if __name__ == "__main__":
    lines = []
    for topic, outcomes in recorded().items():
        inner = ",\n".join(f"  {json.dumps(code)}: {json.dumps(o)}" for code, o in outcomes.items())
        lines.append(f" {json.dumps(topic)}: {{\n{inner}\n }}")
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
