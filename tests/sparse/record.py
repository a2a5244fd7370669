"""Ask PyTorch for the results of all cases: `python -m tests.sparse.record` writes `expected.json`."""

from __future__ import annotations

import json
import pathlib

from tests.sparse import cases, running

PATH = pathlib.Path(__file__).with_name("expected.json")

if __name__ == "__main__":
    import torch

    lines = [
        f" {json.dumps(code)}: {json.dumps(running.outcome(torch, code, 'cpu'))}"
        for code in dict.fromkeys(cases.PROGRAMS)
    ]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
