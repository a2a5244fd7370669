"""Fourier transforms along an axis."""

from __future__ import annotations

from tabgrad.core.errors import DTypeError
from tabgrad.lower.ir import Node
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.record import Record, Scratch, register


def _passes(printer: KernelPrinter, n: Node, scratch: Scratch) -> list[Kernel]:
    raise DTypeError(f"{n.name}: GPUs have no complex numbers yet; use device='cpu' for it")


register(*(Record(op=name, passes=_passes) for name in ("fft", "irfft", "rfft")))
