"""Ask PyTorch for every call: `python -m tests.specials.record` writes `expected.z`, compressed JSON.

Some of PyTorch's answers depend on the processor. With `--new` only calls that have none yet are asked.
"""

from __future__ import annotations

import json
import pathlib
import sys
import zlib
from typing import Any

import tabgrad as tg
from tests.specials import points, running

PATH = pathlib.Path(__file__).with_name("expected.z")


def recorded(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the outcome of each call by dtype, where PyTorch has one; it may have none at all."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, dict[str, Any]] = {}
    for call in points.calls(tg):
        if call in known:
            found[call] = known[call]
            continue
        outcomes = {d: running.outcome(torch, call, d, "cpu") for d in points.DTYPES}
        found[call] = {d: o for d, o in outcomes.items() if o is not None}
    return found


def load() -> dict[str, dict[str, Any]]:
    """Return what was recorded."""
    known: dict[str, dict[str, Any]] = json.loads(zlib.decompress(PATH.read_bytes()))
    return known


if __name__ == "__main__":
    text = json.dumps(recorded(load() if "--new" in sys.argv else {}), separators=(",", ":"))
    PATH.write_bytes(zlib.compress(text.encode(), 9))
    print(len(text), PATH.stat().st_size)
