"""Start a program in several processes, as a user does, and return what it printed."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT = 60.0
"""Seconds after which a test gives up and ends what it started."""

ENVIRONMENT = {
    # a container's user is root, and its cores are few
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    # the processes share the cores
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def mpiexec() -> str:
    """Return the path of `mpiexec` beside the Python that runs the tests."""
    return str(pathlib.Path(sys.executable).parent / "mpiexec")


def start(
    count: int, program: str, *args: str, options: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run `programs/<program>.py` in `count` processes."""
    path = [str(ROOT / "py"), str(ROOT / "native"), str(ROOT)]
    command = [mpiexec(), *options, "-n", str(count), sys.executable, "-W", "error"]
    return subprocess.run(
        [*command, str(HERE / "programs" / f"{program}.py"), *args],
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path), **(env or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def run(count: int, program: str, *args: str, env: dict[str, str] | None = None) -> str:
    """Run a program that must end well; return what it printed."""
    done = start(count, program, *args, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
