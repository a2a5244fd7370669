"""Models whose parameters are spread over processes, by name: none is here."""

from __future__ import annotations

from typing import Any, NoReturn

_WHY = (
    "parameters are not spread over processes here; DistributedDataParallel gives each process a whole model, "
    "and ZeroRedundancyOptimizer a part of the optimizer's state"
)


class FSDPModule:
    """A module whose parameters are spread over processes; nothing is an instance of it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise RuntimeError."""
        raise RuntimeError(f"{cls.__name__}: {_WHY}")


class FullyShardedDataParallel(FSDPModule):
    """A module whose parameters are spread over processes; nothing is an instance of it."""


class CPUOffloadPolicy(FSDPModule):
    """Where parameters wait; nothing is an instance of it."""


class MixedPrecisionPolicy(FSDPModule):
    """In which dtypes parameters travel; nothing is an instance of it."""


def fully_shard(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: parameters are not spread over processes here."""
    raise RuntimeError(f"fully_shard: {_WHY}")


__all__ = [
    "CPUOffloadPolicy", "FSDPModule", "FullyShardedDataParallel", "MixedPrecisionPolicy", "fully_shard",
]  # fmt: skip
