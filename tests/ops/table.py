"""The generated table: every op, and what of it holds on which device.

`python -m tests.ops.table --devices cpu webgpu` runs every case on the devices and prints Markdown; nobody
keeps such a list by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.several import Part, Several
from tests.ops import cases as made, replay

CHECKS = ("forward", "reverse", "jvp", "second", "vmap")
TITLES = ("value", "reverse", "forward mode", "second order", "vmap")


def cell(op: Op, check: str, device: str) -> str:
    """Return "yes", "no", or "–" where the op has no such thing. An op with several results has its parts'."""
    tested = [p for p in (op.parts if isinstance(op, Several) else (op,)) if made.tested(p)]
    found = [c for p in tested for c in made.cases(p).values() if c["check"] == check]
    if not found:
        return "–"
    for case in found:
        try:
            if replay.check(case, device):
                return "no"
        except Exception:
            return "no"
    return "yes"


def rows(devices: Iterable[str]) -> list[list[str]]:
    """Return the table: op, family, then the checks for each device."""
    return [
        [
            f"`{op.name}`",
            op.family,
            *(cell(op, check, device) for device in devices for check in CHECKS),
        ]
        for op in REGISTRY
        if not isinstance(op, Part)
    ]


def markdown(devices: Iterable[str], found: list[list[str]]) -> str:
    """Return the table as Markdown; a column for each device lists what does not hold."""
    devices = list(devices)
    lines = [
        "| op | family | " + " | ".join(devices) + " |",
        "|---|---|" + "---|" * len(devices),
    ]
    for name, family, *cells in found:
        shown = []
        for i in range(len(devices)):
            part = cells[i * len(CHECKS) : (i + 1) * len(CHECKS)]
            holds = [t for t, c in zip(TITLES, part, strict=True) if c == "yes"]
            fails = [t for t, c in zip(TITLES, part, strict=True) if c == "no"]
            shown.append(", ".join(holds) + (f"; **not** {', '.join(fails)}" if fails else ""))
        lines.append(f"| {name} | {family} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Any = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs="+", default=["cpu"])
    devices = parser.parse_args(arguments).devices
    print(markdown(devices, rows(devices)), end="")


if __name__ == "__main__":
    main()
