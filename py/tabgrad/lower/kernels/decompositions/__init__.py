"""Decompositions: each file of this folder registers records of the room; an op without one is refused."""

import importlib
import pkgutil
from dataclasses import replace

from tabgrad.core.op import REGISTRY
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions import library
from tabgrad.lower.kernels.decompositions.steps import refused
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import RECORDS, Record, Scratch, register

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
for _name in library.NAMES:
    RECORDS[_name] = replace(RECORDS[_name], routine=library.routine)


def _none(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Make no kernels: the op is refused."""
    return []


register(
    *(
        Record(op=name, passes=_none, refusal=refused)
        for name, room in REGISTRY.rooms.items()
        if room == "tabgrad.ops.decompositions" and name not in RECORDS
    )
)
