"""Report how long decompositions and Fourier transforms take on the CPU, beside PyTorch where it is installed.

    python -m tests.bench.matrices                # the whole table
    python -m tests.bench.matrices --only svd     # calls with the text in their names
    python -m tests.bench.matrices --python /path/to/python/with/torch

Each figure is the least of some turns, in milliseconds of one thread's own time. The two libraries take turns,
one process each, with one thread for BLAS and for PyTorch. It gates nothing: compare within one run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from typing import Any

from tests.bench.small import has_torch

SIZES = {"256": (256, 256), "1,024": (1024, 1024), "1,000 of 32": (1000, 32, 32)}
CALLS = {
    "cholesky": "t.linalg.cholesky(d)",
    "lu": "t.linalg.lu_factor(a)",
    "solve": "t.linalg.solve(a, a)",
    "qr": "t.linalg.qr(a)",
    "svd": "t.linalg.svd(a, full_matrices=False)",
    "eigh": "t.linalg.eigh(d)",
}
LINES = {"1,024 long": 1024, "2^18 long": 1 << 18}
LONG = 0.5
"""Seconds after which a call is not repeated in a turn."""


def operands(library: Any, name: str) -> dict[str, Any]:
    """Return the names that the calls use: matrices, definite ones, or a line of complex numbers."""
    import numpy

    random = numpy.random.default_rng(0)
    if name in SIZES:
        a = random.normal(size=SIZES[name]).astype("float32")
        d = a @ a.swapaxes(-1, -2) + a.shape[-1] * numpy.eye(a.shape[-1], dtype="float32")
        return {"t": library, "a": library.from_numpy(a), "d": library.from_numpy(d)}
    x = random.normal(size=(2, LINES[name])).astype("float32")
    return {"t": library, "x": library.from_numpy(x[0]) + 1j * library.from_numpy(x[1])}


def serve(name: str) -> None:
    """Answer each call that a line names with its time in milliseconds, until the input ends."""
    library = __import__(name)
    if name == "tabgrad":
        library.set_default_device("cpu")
    else:
        library.set_num_threads(1)
    made: dict[str, dict[str, Any]] = {}
    for line in sys.stdin:
        size, call = json.loads(line)
        if size not in made:
            made[size] = operands(library, size)
        code = compile(call, "call", "eval")
        best = math.inf
        for _ in range(5):
            start = time.thread_time()
            eval(code, made[size])
            best = min(best, time.thread_time() - start)
            if best > LONG:
                break
        print(json.dumps(best * 1e3), flush=True)


def started(python: str, name: str) -> Any:
    """Start a process that serves one of the libraries."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return subprocess.Popen(
        [python, "-m", "tests.bench.matrices", "--serve", name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads},
    )  # fmt: skip


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="calls with this text in their names")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--python", default=sys.executable, help="the Python that has PyTorch")
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    rows = [(name, size, call) for name, call in CALLS.items() for size in SIZES]
    rows += [("fft", size, "t.fft.fft(x)") for size in LINES]
    rows = [row for row in rows if given.only in row[0]]
    servers = {"tabgrad": started(sys.executable, "tabgrad")}
    if has_torch(given.python):
        servers["torch"] = started(given.python, "torch")
    print(f"{'':12s}{'':14s}{'tabgrad':>10s}{'PyTorch':>11s}   ratio")
    for name, size, call in rows:
        best = dict.fromkeys(servers, math.inf)
        for _ in range(given.rounds):
            for who, server in servers.items():
                server.stdin.write(json.dumps([size, call]) + "\n")
                server.stdin.flush()
                best[who] = min(best[who], json.loads(server.stdout.readline()))
        ours, theirs = best["tabgrad"], best.get("torch")
        beside = "" if theirs is None else f"{theirs:11.3f} {ours / theirs:7.2f}"
        print(f"{name:12s}{size:14s}{ours:10.3f}{beside}", flush=True)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    for server in servers.values():
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    main()
