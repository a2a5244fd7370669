"""Write what PyTorch answers for `cases.py`: `python -m tests.distributions.record`."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from tests.distributions import cases

PATH = pathlib.Path(__file__).with_name("expected.json")


def main() -> None:
    """Ask PyTorch, in double precision."""
    import torch
    import torch.distributions

    torch.set_default_dtype(torch.float64)

    def make(data: Any) -> Any:
        return torch.tensor(data, dtype=torch.float64)

    found = cases.answers(torch.distributions, make)
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
