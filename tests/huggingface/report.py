"""Compare tabgrad with PyTorch on each architecture: `python -m tests.huggingface.report --device cpu`.

It needs transformers. It prints a table; with `--files DIR`, where `record --files` wrote, all numbers are
compared and not only their digests; with `--json` it prints the differences alone.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
import traceback
from typing import Any

import numpy as np

import tabgrad
from tests.huggingface.architectures import ARCHITECTURES, computed, digest

EXPECTED = pathlib.Path(__file__).with_name("expected.json")
TOLERANCE = 1e-4


def differences(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, float]:
    """Return the largest differences of outputs and gradients, relative to numbers above 1."""
    assert found.keys() == expected.keys(), sorted(found.keys() ^ expected.keys())
    worst = {"outputs": 0.0, "gradients": 0.0}
    for key, value in found.items():
        wanted = np.asarray(expected[key])
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        off = float(np.abs(value - wanted).max(initial=0)) / scale
        part = "gradients" if key.startswith("grad ") else "outputs"
        worst[part] = max(worst[part], off) if off == off else float("nan")
    return worst


def of(name: str, device: str, files: pathlib.Path | None) -> dict[str, Any]:
    """Return the differences of one architecture, or the error that it raised."""
    start = time.perf_counter()
    try:
        arrays = computed(name, device)
        if files is None:
            found = differences(digest(arrays), json.loads(EXPECTED.read_text())[name])
        else:
            found = differences(arrays, dict(np.load(files / f"{name}.npz")))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"}
    return {**found, "seconds": round(time.perf_counter() - start, 2)}


def main() -> None:
    """Report on all architectures, or those named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--files", type=pathlib.Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--names", nargs="*", default=sorted(ARCHITECTURES))
    args = parser.parse_args()
    tabgrad.as_torch()
    found, equal = {}, 0
    for name in args.names:
        found[name] = row = of(name, args.device, args.files)
        fine = max(row.get("outputs", np.inf), row.get("gradients", np.inf)) <= TOLERANCE
        equal += fine
        if not args.json:
            told = row.get("error") or "  ".join(f"{k} {v:.1e}" for k, v in row.items())
            print(f"{'equal' if fine else 'NOT  '}  {name:<36} {told}", flush=True)
    print(json.dumps(found) if args.json else f"{equal} of {len(found)} equal to {TOLERANCE:g}")


if __name__ == "__main__":
    main()
