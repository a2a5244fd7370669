"""Write what PyTorch's optimizers and schedules do: `python -m tests.optim.record`, where it is installed."""

from __future__ import annotations

import json
import pathlib

from tests.optim.cases import OPTIMIZERS, SCHEDULES, rates, trajectory

EXPECTED = pathlib.Path(__file__).with_name("expected.json")


def main() -> None:
    import torch

    told = {case: trajectory(torch, case) for case in OPTIMIZERS}
    told |= {case: rates(torch, case) for case in SCHEDULES}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in told.items()]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(told)} cases by PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
