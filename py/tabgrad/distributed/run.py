"""`python -m tabgrad.distributed.run`: torchrun's twin. It starts the processes of a program through `mpiexec`.

    python -m tabgrad.distributed.run --nproc-per-node=2 train.py --epochs 3

The options are torchrun's. Those of elastic training (several numbers of machines, restarts) and of logs raise:
`mpiexec` ends all processes when one fails, and has options for logs of its own.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from tabgrad.distributed import launched
from tabgrad.distributed.environment import NO_ENGINE

PASSED = (
    "rdzv-backend", "rdzv-endpoint", "rdzv-id", "rdzv-conf", "monitor-interval", "start-method", "role",
    "local-addr", "signals-to-handle", "shutdown-timeout", "event-log-handler",
)  # fmt: skip
"""Options that say how torchrun's processes find and watch each other, which MPI does here: without effect."""
ABSENT = {
    "log-dir": "mpiexec's --output dir=FOLDER writes logs",
    "redirects": "mpiexec's --output dir=FOLDER writes logs",
    "tee": "mpiexec's --output dir=FOLDER:copy writes logs",
    "local-ranks-filter": "mpiexec's --output tag marks each line with its rank",
    "duplicate-stdout-filters": "filter what is printed",
    "duplicate-stderr-filters": "filter what is printed",
    "logs-specs": "mpiexec's --output writes logs",
    "numa-binding": "mpiexec's --bind-to binds processes",
}
"""Options that are not there, and what to use."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: torchrun's options, with dashes or underscores."""
    found = argparse.ArgumentParser(
        prog="python -m tabgrad.distributed.run",
        usage="%(prog)s [options] program [arguments]",
        description="Start the processes of a program through mpiexec, with torchrun's options.",
    )

    def add(name: str, *more: str, **words: object) -> None:
        both = {f"--{name}", f"--{name.replace('-', '_')}"}
        found.add_argument(*more, *sorted(both), dest=name.replace("-", "_"), **words)  # type: ignore[arg-type]

    add("nproc-per-node", default="1", help="a number, or auto, cpu, gpu")
    add("nnodes", default="1", help="1: for several machines use mpiexec --hostfile, or srun")
    add("node-rank", default="0", help="0")
    add("max-restarts", default="0", help="0: mpiexec ends all processes when one fails")
    add("master-addr", default="127.0.0.1", help="MASTER_ADDR for the program")
    add("master-port", default="29500", help="MASTER_PORT for the program")
    add("module", "-m", action="store_true", help="the program is a module")
    add("no-python", action="store_true", help="the program is no Python file")
    add("run-path", action="store_true", help="the same as a script")
    add("standalone", action="store_true", help="without effect")
    add(
        "as-torch",
        action="store_true",
        help="`import torch` means tabgrad: `python -m tabgrad run`",
    )
    add("virtual-local-rank", action="store_true", help=argparse.SUPPRESS)
    for name in PASSED:
        add(name, default=None, help="without effect: MPI brings the processes together")
    for name in ABSENT:
        short = {"redirects": ["-r"], "tee": ["-t"]}.get(name, [])
        add(name, *short, default=None, help=argparse.SUPPRESS)
    found.add_argument("training_script", help="the program")
    found.add_argument("training_script_args", nargs=argparse.REMAINDER, help="its arguments")
    return found


def command(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the command that starts the processes, and its environment; SystemExit says what is wrong."""
    options = parser()
    given = options.parse_args(argv)
    if given.nnodes not in ("1", "1:1") or given.node_rank != "0":
        options.error(
            f"--nnodes={given.nnodes} --node-rank={given.node_rank}: this starts the processes of one machine, "
            "of a fixed number; for several use `mpiexec --hostfile hosts -n 16 python train.py`, or srun"
        )
    if given.max_restarts != "0":
        options.error(
            f"--max-restarts={given.max_restarts}: nothing is restarted; resume from a distributed.checkpoint"
        )
    if given.virtual_local_rank:
        options.error("--virtual-local-rank is not there: LOCAL_RANK is the number of the process")
    for name, instead in ABSENT.items():
        if getattr(given, name.replace("-", "_")) is not None:
            options.error(f"--{name} is not there; {instead}")
    count = _count(options, given.nproc_per_node)
    mpiexec = _mpiexec()
    if mpiexec is None:
        options.error(NO_ENGINE)
    what = [given.training_script, *given.training_script_args]
    if given.module:
        what = ["-m", *what]
    if given.as_torch:
        what = ["-m", "tabgrad", "run", *what]
    program = what if given.no_python else [sys.executable, "-u", *what]
    line = [mpiexec, "-n", str(count), sys.executable, "-S", launched.__file__, *program]
    return line, _environment(count, given)


def _count(options: argparse.ArgumentParser, text: str) -> int:
    cores = os.cpu_count() or 1
    if text in ("gpu", "auto") and find_spec("cupy") is not None:
        from importlib import import_module

        return int(import_module("cupy").cuda.runtime.getDeviceCount())
    if text in ("cpu", "auto"):
        return cores
    if text == "gpu":
        options.error("--nproc-per-node=gpu: CuPy, which counts CUDA devices, is not installed")
    if not text.isdigit() or int(text) < 1:
        options.error(f"--nproc-per-node={text}: expected a number, or auto, cpu, gpu")
    return int(text)


def _mpiexec() -> str | None:
    """Return the `mpiexec` beside this Python, which mpi4py uses, or that of the system."""
    beside = pathlib.Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _environment(count: int, given: argparse.Namespace) -> dict[str, str]:
    """Return the variables that all processes have; what is set already stays."""
    defaults = {
        "MASTER_ADDR": given.master_addr,
        "MASTER_PORT": given.master_port,
        "TORCHELASTIC_RUN_ID": given.rdzv_id or "none",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RESTART_COUNT": "0",
        # more processes than cores are as welcome as torchrun makes them
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_mpi_yield_when_idle": "1" if count > (os.cpu_count() or 1) else "0",
    }
    if count > 1:
        defaults["OMP_NUM_THREADS"] = "1"  # as torchrun does: each process would take all cores
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # the user of a container
        defaults |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**defaults, **os.environ}


def main(argv: Sequence[str] | None = None) -> None:
    """Become the `mpiexec` that the command line asks for."""
    line, environment = command(sys.argv[1:] if argv is None else argv)
    sys.stdout.flush()
    os.execvpe(line[0], line, environment)


if __name__ == "__main__":
    main()
