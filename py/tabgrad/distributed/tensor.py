"""Tensors spread over several processes, by name: no tensor here is one."""

from __future__ import annotations

from typing import Any, NoReturn


class DTensor:
    """The class of tensors that are spread over processes; nothing is an instance of it.

    >>> import tabgrad as tg
    >>> isinstance(tg.zeros(2), DTensor)
    False
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise RuntimeError: no tensor is spread over processes."""
        raise RuntimeError(
            "DTensor: no tensor is spread over processes; DistributedDataParallel gives each process a whole "
            "model, and ZeroRedundancyOptimizer a part of the optimizer's state"
        )


__all__ = ["DTensor"]
