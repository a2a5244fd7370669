"""Tensors spread over several processes, by name: no tensor here is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

_WHY = (
    "no tensor is spread over processes; DistributedDataParallel gives each process a whole model, and "
    "ZeroRedundancyOptimizer a part of the optimizer's state"
)


class DTensor:
    """The class of tensors that are spread over processes; nothing is an instance of it.

    >>> import tabgrad as tg
    >>> isinstance(tg.zeros(2), DTensor)
    False
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise RuntimeError: no tensor is spread over processes."""
        raise RuntimeError(f"DTensor: {_WHY}")


class Placement:
    """How a tensor would be spread over the processes of a mesh."""


@dataclass(frozen=True)
class Shard(Placement):
    """Divided along a dim.

    >>> Shard(0) == Shard(0)
    True
    """

    dim: int


@dataclass(frozen=True)
class Replicate(Placement):
    """The same on all."""


@dataclass(frozen=True)
class Partial(Placement):
    """Parts of a sum."""

    reduce_op: str = "sum"


class DeviceMesh:
    """Processes arranged along several axes; nothing is an instance of it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise RuntimeError."""
        raise RuntimeError(f"DeviceMesh: {_WHY}")


def init_device_mesh(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: no tensor is spread over processes."""
    raise RuntimeError(f"init_device_mesh: {_WHY}")


def distribute_tensor(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: no tensor is spread over processes."""
    raise RuntimeError(f"distribute_tensor: {_WHY}")


def compute_local_shape_and_global_offset(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: no tensor is spread over processes."""
    raise RuntimeError(f"compute_local_shape_and_global_offset: {_WHY}")


__all__ = [
    "DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_tensor",
    "init_device_mesh",
]  # fmt: skip
