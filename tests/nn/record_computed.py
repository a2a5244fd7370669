"""Write what PyTorch says of `computed.py`: `python -m tests.nn.record_computed`, where PyTorch is."""

from __future__ import annotations

import json
import pathlib

from tests.nn.computed import PROGRAMS, told

EXPECTED = pathlib.Path(__file__).with_name("expected_computed.json")


def main() -> None:
    import torch

    found = {name: told(torch, program(torch, "cpu")) for name, program in PROGRAMS.items()}
    lines = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in found.items()]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
