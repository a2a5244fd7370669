"""What goes wrong between processes."""

from __future__ import annotations

import functools
import os
import pathlib
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DistError(RuntimeError):
    """Several processes could not do together what was asked; each of them raises one."""


class DistBackendError(DistError):
    """The engine failed, a rank is dead or late, or ranks asked for different things."""


class DistNetworkError(DistError):
    """The other processes could not be reached."""


class DistStoreError(DistError):
    """The addresses of the other processes could not be learnt."""


def record(fn: Callable[P, T], error_handler: object = None) -> Callable[P, T]:
    """Return a function that writes an error that it raises to the file that TORCHELASTIC_ERROR_FILE names.

    Python prints the error as ever; without that variable nothing else happens.

    >>> from tabgrad.distributed.errors import record
    >>> record(abs)(-2)
    2
    """

    @functools.wraps(fn)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return fn(*args, **kwargs)
        except Exception:
            path = os.environ.get("TORCHELASTIC_ERROR_FILE")
            if path:
                pathlib.Path(path).write_text(traceback.format_exc())
            raise

    return called


NO_GROUP = (
    "Default process group has not been initialized, please make sure to call init_process_group."
)

__all__ = ["DistBackendError", "DistError", "DistNetworkError", "DistStoreError"]
