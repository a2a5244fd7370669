#!/usr/bin/env python3
"""The benchmark's workloads in native Python: tabgrad on wgpu-py and on `cpu`, beside PyTorch on the CPU.

    python native.py                        # what is installed of wgpu-py and PyTorch
    python native.py --only mlp,gpt --ways tabgrad/webgpu,torch/cpu

A unit is the same as in the browser: it ends with one number on the host. See README.md.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path

import inputs
import numpy as np
import roofline
import tables

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "pages"))
sys.path[1:1] = [str(HERE.parents[1] / folder) for folder in ("py", "native")]

import cases  # noqa: E402, F401 (the workloads of the long list)
import workloads  # noqa: E402

WAYS = ("tabgrad/webgpu", "tabgrad/cpu", "torch/cpu")
NAMES = [name for name in inputs.WORKLOADS if name not in ("record", *inputs.CASES)]


def part(value):
    """Return an input in the form in which the page hands it over."""
    if isinstance(value, dict):
        return {k: part(v) for k, v in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    data = bytearray(value.tobytes())
    return {"data": data, "shape": value.shape} if value.dtype == np.float32 else data


def missing(way):
    """Return why a way can't be run, or None."""
    library, device = way.split("/")
    needed = "torch" if library == "torch" else "wgpu" if device == "webgpu" else "numpy"
    return None if importlib.util.find_spec(needed) else f"{needed} is not installed"


def error(got, want):
    """Return the relative error as run.py measures it."""
    return abs(got - want) / max(1.0, abs(want))


def measure(name, way, expected, seconds):
    """Return what `name` takes this way: milliseconds, host part, cold time, largest error."""
    library, device = way.split("/")
    workloads.use(library, device)
    mode = "jit" if device == "webgpu" else "eager"
    work = workloads.make(name.rstrip("0123456789"), mode, part(inputs.WORKLOADS[name]()))
    want = expected[name]
    total, host, worst = [], [], 0.0
    end = None
    while end is None or len(total) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        y = work.result()
        issued = time.perf_counter()
        got = float(y.item())
        done = time.perf_counter()
        step = len(total)
        if not isinstance(want, list):
            worst = max(worst, error(got, want))
        elif step < len(want):
            worst = max(worst, error(got, want[step]))
        total.append((done - start) * 1e3)
        host.append((issued - start) * 1e3)
        # The first units trace, compile and warm caches; their time is not in the medians.
        if step == 2:
            end = done + seconds
        if len(total) >= 60:
            break
    estimated = None
    if way == "tabgrad/webgpu":
        backend = workloads.tg.device(device).backend
        estimated = roofline.work_of(backend, lambda: work.result().item())
    work.close()
    return {
        "ms": statistics.median(total[3:]),
        "min": min(total[3:]),
        "host": statistics.median(host[3:]),
        "cold": total[0],
        "units": len(total) - 3,
        "err": worst,
        "work": estimated,
    }


def table(report):
    """Return the report as lines of text."""
    lines = [f"{'workload':12}{'way':18}{'median':>9}{'min':>9}{'host':>9}{'cold':>9}  {'ok':4}"]
    for name, ways in report["workloads"].items():
        for way, r in ways.items():
            numbers = "".join(f"{r[k]:9.2f}" for k in ("ms", "min", "host", "cold"))
            lines.append(f"{name:12}{way:18}{numbers}  {'yes' if r['err'] < 1e-3 else 'NO'}")
    return "\n".join(lines)


def rooflines(report):
    """Return the share of the adapter's peaks that tabgrad reaches, as lines of text."""
    way = "tabgrad/webgpu"
    found = {
        name: (ways[way]["work"], {way: ways[way]["ms"]})
        for name, ways in report["workloads"].items()
    }
    peaks = report["peaks"]
    return roofline.title(peaks) + "\n" + tables.columns(roofline.table(found, peaks), 2)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--only", default="", help="comma list of workloads")
    p.add_argument("--ways", default=",".join(WAYS), help="comma list of library/device")
    p.add_argument("--seconds", type=float, default=1.0, help="time for each after warm-up")
    p.add_argument("--out", default="", help="also write the JSON here")
    a = p.parse_args()
    expected = json.loads((HERE / "expected.json").read_text())["value"]
    report = {"cores": os.cpu_count(), "left_out": {}, "workloads": {}}
    ways = []
    for way in a.ways.split(","):
        why = missing(way)
        if why:
            report["left_out"][way] = why
            print(f"{way} is left out: {why}", file=sys.stderr)
        else:
            ways.append(way)
    for name in [n for n in a.only.split(",") if n] or NAMES:
        for way in ways:
            found = measure(name, way, expected, a.seconds)
            report["workloads"].setdefault(name, {})[way] = found
            print(f"{name} {way}: {found['ms']:.2f} ms", file=sys.stderr, flush=True)
    if "tabgrad/webgpu" in ways:
        import tabgrad as tg

        adapter = tg.device("webgpu").backend.host.hello.adapter
        report["adapter"] = f"{adapter.device} ({adapter.backend})"
        report["peaks"] = roofline.peaks()
        print("webgpu:", report["adapter"], file=sys.stderr)
    if a.out:
        Path(a.out).write_text(json.dumps(report, indent=1))
    print(table(report))
    if "peaks" in report:
        print("\n" + rooflines(report))
    return (
        0 if all(r["err"] < 1e-3 for w in report["workloads"].values() for r in w.values()) else 1
    )


if __name__ == "__main__":
    sys.exit(main())
