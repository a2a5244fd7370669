"""What goes wrong between processes."""

from __future__ import annotations


class DistError(RuntimeError):
    """Several processes could not do together what was asked; each of them raises one."""


class DistBackendError(DistError):
    """The engine failed, a rank is dead or late, or ranks asked for different things."""


class DistNetworkError(DistError):
    """The other processes could not be reached."""


class DistStoreError(DistError):
    """The addresses of the other processes could not be learnt."""


NO_GROUP = (
    "Default process group has not been initialized, please make sure to call init_process_group."
)

__all__ = ["DistBackendError", "DistError", "DistNetworkError", "DistStoreError"]
