"""Ask PyTorch for all results: `python -m tests.sparse.record` writes both files of what is expected."""

from __future__ import annotations

import json
import pathlib

from tests.sparse import cases, running, training

PATH = pathlib.Path(__file__).with_name("expected.json")
TRAINED = PATH.with_name("expected_training.json")

if __name__ == "__main__":
    import torch

    lines = [
        f" {json.dumps(code)}: {json.dumps(running.outcome(torch, code, 'cpu'))}"
        for code in dict.fromkeys(cases.PROGRAMS)
    ]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    TRAINED.write_text(
        json.dumps({
            "optimizers": [training.trained(torch, *o, "cpu") for o in training.OPTIMIZERS],
            "bags": [training.bagged(torch, o, "cpu") for o in training.BAGS],
        })
        + "\n"
    )  # fmt: skip
