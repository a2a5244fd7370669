"""Decompositions: each file of this folder registers records of the room; an op without one is refused."""

import importlib
import pkgutil

from tabgrad.core.op import REGISTRY
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.kernels.decompositions.steps import refuse
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import RECORDS, Record, Scratch, register

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def _refused(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    """Raise DeviceError: NumPy alone computes this op."""
    refuse(n)


register(
    *(
        Record(op=name, passes=_refused)
        for name, room in REGISTRY.rooms.items()
        if room == "tabgrad.ops.decompositions" and name not in RECORDS
    )
)
