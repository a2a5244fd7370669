"""Several processes: there is one here, and `is_available` says so, as in a PyTorch built without them."""

from __future__ import annotations

from enum import Enum
from typing import Any, NoReturn

_NO_GROUP = (
    "Default process group has not been initialized, please make sure to call init_process_group."
)


class ReduceOp(Enum):
    """How values of several processes are joined."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


def is_available() -> bool:
    """Whether several processes can work together: they can't.

    >>> import tabgrad as tg
    >>> tg.distributed.is_available(), tg.distributed.is_initialized()
    (False, False)
    """
    return False


def is_initialized() -> bool:
    """Whether this process is one of a group: it is not."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether `torchrun` started this process: it can't."""
    return False


def is_nccl_available() -> bool:
    """Whether NCCL is there: it is not."""
    return False


def is_gloo_available() -> bool:
    """Whether Gloo is there: it is not."""
    return False


def is_mpi_available() -> bool:
    """Whether MPI is there: it is not."""
    return False


def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: tabgrad runs in one process."""
    raise RuntimeError(
        "init_process_group: tabgrad runs in one process; leave out the distributed part, as programs do "
        "where `distributed.is_available()` is False"
    )


def destroy_process_group(group: Any = None) -> NoReturn:
    """Raise ValueError: there is no group."""
    raise ValueError(_NO_GROUP)


def get_rank(group: Any = None) -> NoReturn:
    """Raise ValueError: there is no group."""
    raise ValueError(_NO_GROUP)


def get_world_size(group: Any = None) -> NoReturn:
    """Raise ValueError: there is no group."""
    raise ValueError(_NO_GROUP)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> NoReturn:
    """Raise ValueError: there is no group."""
    raise ValueError(_NO_GROUP)


def all_reduce(tensor: Any, op: Any = None, group: Any = None, async_op: bool = False) -> NoReturn:
    """Raise ValueError: there is no group."""
    raise ValueError(_NO_GROUP)


def broadcast(tensor: Any, src: int = 0, group: Any = None, async_op: bool = False) -> NoReturn:
    """Raise ValueError: there is no group."""
    raise ValueError(_NO_GROUP)
