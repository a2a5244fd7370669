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


class DebugLevel(IntEnum):
    """How much of what the processes do is checked: with DETAIL, every collective call."""

    OFF = 0
    INFO = 1
    DETAIL = 2


__all__ = ["DebugLevel", "ReduceOp"]
