"""Write what PyTorch says of the cases: `python -m tests.nn.record`, where PyTorch is installed."""

from __future__ import annotations

import json
import pathlib

from tests.nn.cases import CASES, name
from tests.nn.run import run

EXPECTED = pathlib.Path(__file__).with_name("expected.json")


def main() -> None:
    import torch

    told = {name(case): run(torch, case) for case in CASES}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in told.items()]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(told)} cases by PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
