"""Write what state dicts of PyTorch hold: `python -m tests.optim.record_states`, where it is installed."""

from __future__ import annotations

import json
import pathlib
import warnings

from tests.optim.cases import OPTIMIZERS, SCHEDULES, history, plan

STATES = pathlib.Path(__file__).with_name("expected_states.json")
KINDS = ("SGD", "Adam")


def main() -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = {case: history(torch, case) for case in OPTIMIZERS}
        told |= {f"{kind} {c}": plan(torch, c, kind) for c in SCHEDULES for kind in KINDS}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in told.items()]
    STATES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(told)} cases by PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
