"""What the program that started the processes says in environment variables, and which engines are there."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

from tabgrad.core.settings import setting
from tabgrad.distributed.reducing import DebugLevel

_LOCAL = (
    "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID",
)  # fmt: skip
_WORLD = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
_RANK = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")

IN_A_TAB = (
    "a browser tab is one process: there is no MPI and no NCCL in it; leave out the distributed part, as "
    "programs do where `distributed.is_available()` is False"
)
NO_ENGINE = (
    "there is no engine for several processes here: `pip install 'tabgrad[mpi]'` installs MPI (mpi4py and Open "
    "MPI), then start the program with `mpiexec -n 2 python program.py`; NCCL comes with CuPy (`tabgrad[cuda]`)"
)


def number(names: tuple[str, ...]) -> int | None:
    """Return the number in the first of the environment variables that is set."""
    for name in names:
        text = os.environ.get(name, "")
        if text.lstrip("-").isdigit():
            return int(text)
    return None


def told_rank() -> int | None:
    """Return the rank that the launcher says."""
    return number(_RANK)


def told_world_size() -> int | None:
    """Return the number of processes that the launcher says."""
    return number(_WORLD)


def in_a_tab() -> bool:
    """Whether this Python runs in a browser."""
    return sys.platform == "emscripten"


def is_mpi_available() -> bool:
    """Whether MPI is there: mpi4py is installed. Nothing is imported."""
    return not in_a_tab() and find_spec("mpi4py") is not None


def is_nccl_available() -> bool:
    """Whether NCCL is there: CuPy is installed. Nothing is imported."""
    return not in_a_tab() and find_spec("cupy") is not None


def is_gloo_available() -> bool:
    """Whether Gloo is there: it is not; MPI does what it does."""
    return False


def is_ucc_available() -> bool:
    """Whether UCC is there: it is not."""
    return False


def is_xccl_available() -> bool:
    """Whether XCCL is there: it is not."""
    return False


def is_available() -> bool:
    """Whether this process can be one of several: an engine is installed, and a launcher has started it.

    Launchers are `mpiexec`, `srun` and the like. A process that runs alone has no use for what programs do
    where this is True. False in a browser tab.

    >>> import tabgrad as tg
    >>> tg.distributed.is_available()  # Python was started by itself
    False
    """
    started = told_world_size() is not None or is_torchelastic_launched()
    return started and (is_mpi_available() or is_nccl_available())


def is_backend_available(backend: str) -> bool:
    """Whether the engine of that name is there.

    >>> import tabgrad as tg
    >>> tg.distributed.is_backend_available("gloo")
    False
    """
    return {"mpi": is_mpi_available, "nccl": is_nccl_available}.get(
        backend.lower(), is_gloo_available
    )()


def get_default_backend_for_device(device: Any) -> str:
    """Return the engine that tensors of a device are sent by if none is named: MPI, which takes all devices.

    >>> import tabgrad as tg
    >>> tg.distributed.get_default_backend_for_device("cpu")
    'mpi'
    """
    return "mpi"


def is_torchelastic_launched() -> bool:
    """Whether `torchrun` started this process; it sets TORCHELASTIC_RUN_ID."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """Return the number of this process among those of its machine, as the launcher says.

    torchrun's LOCAL_RANK is read first, then the variables of Open MPI, MPICH and Slurm. RuntimeError where
    none is set and there is no `fallback_rank`.

    >>> import tabgrad as tg
    >>> tg.distributed.get_node_local_rank(fallback_rank=0)
    0
    """
    found = number(_LOCAL)
    if found is not None:
        return found
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError(
        "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` "
        "to work, assuming you are not running in a multi-device context"
    )


@setting
class _Debugging:
    level: DebugLevel | None = None


def get_debug_level() -> DebugLevel:
    """Return how much is checked: what `set_debug_level` said, else TORCH_DISTRIBUTED_DEBUG, else OFF."""
    if _Debugging.level is None:
        set_debug_level_from_env()
    assert _Debugging.level is not None
    return _Debugging.level


def advice() -> str:
    """Return what to do about calls that differ, "" where they are compared already."""
    if get_debug_level() is DebugLevel.DETAIL:
        return ""
    return "; set TORCH_DISTRIBUTED_DEBUG=DETAIL, which compares the calls and names the ranks"


def set_debug_level(level: DebugLevel) -> None:
    """Say how much is checked: with DETAIL every collective call is compared among its ranks first."""
    _Debugging.level = DebugLevel(level)


def set_debug_level_from_env() -> None:
    """Read TORCH_DISTRIBUTED_DEBUG again: OFF, INFO or DETAIL."""
    text = os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF").upper() or "OFF"
    if text not in DebugLevel.__members__:
        raise RuntimeError(
            f"TORCH_DISTRIBUTED_DEBUG={text}: it must be one of {', '.join(DebugLevel.__members__)}"
        )
    _Debugging.level = DebugLevel[text]


__all__ = [
    "get_debug_level", "get_default_backend_for_device", "get_node_local_rank", "is_available",
    "is_backend_available", "is_gloo_available", "is_mpi_available", "is_nccl_available",
    "is_torchelastic_launched", "is_ucc_available", "is_xccl_available", "set_debug_level",
    "set_debug_level_from_env",
]  # fmt: skip
