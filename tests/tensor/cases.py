"""Programs whose results PyTorch has told: `record.py` asks it, `test_cases.py` asks tabgrad.

A program is a few lines of Python in which `t` is the library and `np` NumPy; the last line is the result.
The tensors of INPUTS are there by name, those in capitals wanting gradients: where the result needs one, it is
multiplied by fixed numbers and summed, and their gradients belong to the expectation.
"""

from __future__ import annotations

import pathlib
from typing import Any

INPUTS: dict[str, Any] = {
    # name: (dtype, nested numbers)
    "A": ("float32", [[0.5, -1.25, 2.0], [3.0, -0.75, 1.5]]),
    "B": ("float32", [[1.5, 2.25, -0.5], [-1.0, 0.25, 2.5]]),
    "P": ("float32", [[0.5, 1.25, 2.0], [3.0, 0.75, 1.5]]),
    "V": ("float32", [1.0, -2.0, 0.5]),
    "W": ("float32", [[1.0, 2.0, -1.0, 0.5], [0.25, -1.5, 2.0, 1.0], [-0.5, 1.0, 0.75, -2.0]]),
    "C": (
        "float32",
        [[[1.0, -2.0], [0.5, 3.0], [2.5, -1.5]], [[-0.25, 1.0], [2.0, 0.5], [1.5, -3.0]]],
    ),
    "S": ("float32", 1.5),
    "a": ("float32", [[0.5, -1.25, 2.0], [3.0, -0.75, 1.5]]),
    "n": ("float32", [1.0, float("nan"), float("inf"), -float("inf"), 0.0]),
    "i": ("int64", [[3, -1, 2], [0, 5, -4]]),
    "j": ("int64", [2, 1, 3]),
    "k": ("int64", [[0, 1, 1], [1, 0, 0]]),
    "o": ("int64", [[2, 0, 1], [1, 2, 0]]),
    "u": ("uint8", [1, 200, 3]),
    "h": ("int32", [7, -7, 4]),
    "m": ("bool", [[True, False, True], [False, False, True]]),
    "r": ("bool", [True, False]),
    "z": ("int64", 2),
}


def read(path: pathlib.Path) -> list[str]:
    """Return the programs of a file: one a line, an indented line going on with the one before."""
    programs: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("    "):
            programs[-1] += "\n" + line[4:]
        else:
            programs.append(line)
    return programs


TOPICS = {
    path.stem: read(path) for path in sorted(pathlib.Path(__file__).with_name("programs").iterdir())
}
