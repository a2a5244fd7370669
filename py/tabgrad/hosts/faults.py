"""Converts a host's faults to exceptions that name the op and the user's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.errors import DeviceLostError, HostError
from tabgrad.core.graph import Line
from tabgrad.hosts.commands import Fault
from tabgrad.hosts.host import error_of

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


def error_with_context(backend: DeviceBackend, fault: Fault) -> HostError:
    """Make the exception for a fault, with a note about its kernel."""
    error = error_of(fault)
    note = context(backend, fault.pipeline)
    if note:
        error.add_note(note)
    return error


def context(backend: DeviceBackend, pipeline: int) -> str:
    """Describe which ops a pipeline computes, and where they were recorded."""
    known = backend.kernels.get(pipeline)
    if known is None:
        return ""
    label, ops, lines = known
    places = sorted({where(line) for line in lines})
    text = f"in kernel {label!r}, which computes {', '.join(dict.fromkeys(ops))}"
    return text + ("; recorded at " + ", ".join(places) if places else "")


def where(line: Line) -> str:
    """Format a recorded line as file:line."""
    code, last = line
    for start, end, number in code.co_lines():
        if number is not None and start <= last < end:
            return f"{code.co_filename}:{number}"
    return f"{code.co_filename}:{code.co_firstlineno}"


def forget(backend: DeviceBackend) -> None:
    """Detach a lost backend from its device, which connects again when it is next used."""
    if backend.device._backend is backend:
        backend.device._backend = None
        backend.device._lost = True


def lost_tensor(what: str) -> DeviceLostError:
    """Make the error for a tensor of a lost device, used in `what`."""
    return DeviceLostError(f"{what}: a tensor is of a device that was lost; make it anew")
