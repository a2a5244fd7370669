"""How values of several processes are joined."""

from __future__ import annotations

from enum import Enum, IntEnum


class ReduceOp(Enum):
    """How values of processes are joined. AVG is for floating point, BAND, BOR and BXOR for integers."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


class Backend(str):
    """The names of engines; MPI and NCCL are here.

    >>> import tabgrad as tg
    >>> tg.distributed.Backend("MPI") == tg.distributed.Backend.MPI
    True
    """

    UNDEFINED = "undefined"
    GLOO = "gloo"
    NCCL = "nccl"
    UCC = "ucc"
    MPI = "mpi"
    XCCL = "xccl"

    def __new__(cls, name: str) -> Backend:
        """Make a name, in lower case."""
        return super().__new__(cls, name.lower())


class DebugLevel(IntEnum):
    """How much of what the processes do is checked: with DETAIL, every collective call."""

    OFF = 0
    INFO = 1
    DETAIL = 2


__all__ = ["Backend", "DebugLevel", "ReduceOp"]
