"""Several processes that compute together, over MPI or NCCL: PyTorch's `torch.distributed`.

`mpiexec -n 2 python train.py` starts two processes of a program, which calls `init_process_group("mpi")`. In a
browser tab, or where neither engine is installed, `is_available()` is False and `init_process_group` says why.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.distributed.collectives import *  # noqa: F403 (they say which are public)
from tabgrad.distributed.environment import *  # noqa: F403
from tabgrad.distributed.errors import *  # noqa: F403
from tabgrad.distributed.gradients import *  # noqa: F403
from tabgrad.distributed.group import *  # noqa: F403
from tabgrad.distributed.objects import *  # noqa: F403
from tabgrad.distributed.point_to_point import *  # noqa: F403
from tabgrad.distributed.reducing import *  # noqa: F403
from tabgrad.distributed.starting import *  # noqa: F403
from tabgrad.distributed.work import *  # noqa: F403

if TYPE_CHECKING:
    from tabgrad.distributed import (
        algorithms as algorithms,
        checkpoint as checkpoint,
        nn as nn,
        tensor as tensor,
    )  # fmt: skip
else:
    _missing = _missing_from(__name__)

    def __getattr__(name: str) -> object:
        """Import a submodule when it is asked for."""
        if name in ("algorithms", "checkpoint", "nn", "tensor"):
            return _import_module(f"{__name__}.{name}")
        return _missing(name)
