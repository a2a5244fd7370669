"""Ops with a loop of their own: each file turns one of them, or a few similar ones, into kernels.

Every file of this folder is imported, and registers its records; that of a late room of ops, which has the
room's name, when the room is.
"""

import importlib
import pkgutil

from tabgrad.core.op import REGISTRY
from tabgrad.lower.record import check, check_names

_late = {room.rpartition(".")[2] for room in REGISTRY.rooms.values()}
for _module in pkgutil.iter_modules(__path__):
    if _module.name not in _late:
        importlib.import_module(f"{__name__}.{_module.name}")

REGISTRY.watch(check)
check_names()
