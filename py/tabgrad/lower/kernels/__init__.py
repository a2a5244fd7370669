"""Ops with a loop of their own: each file turns one of them, or a few similar ones, into kernels.

Every file of this folder is imported, and registers its records.
"""

import importlib
import pkgutil

from tabgrad.core.op import REGISTRY
from tabgrad.lower.record import check, check_names

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

REGISTRY.watch(check)
check_names()
