"""Writes `expected.json`: what PyTorch prints for each program; needs PyTorch.

python -m tests.programs.record
"""

from __future__ import annotations

import json

from tests.programs.running import EXPECTED, SCRIPTS, printed


def main() -> None:
    """Run all programs with PyTorch on its CPU."""
    told = {path.stem: printed(path) for path in SCRIPTS}
    EXPECTED.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
