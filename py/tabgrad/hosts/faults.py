"""From a host's faults to exceptions that name the op and the user's line."""

from __future__ import annotations

from typing import Any

from tabgrad.core.errors import DeviceLostError, OutOfMemoryError
from tabgrad.hosts.host import error_of


def raise_faults(backend: Any, cause: BaseException | None = None) -> None:
    """Raise the first fault the host has noted; do nothing where there is none."""
    faults = backend.host.faults()
    if not faults:
        if backend.host.lost and not isinstance(cause, DeviceLostError):
            forget(backend)
        return
    fault = faults[0]
    error = error_of(fault)
    note = context(backend, fault.pipeline)
    if note:
        error.add_note(note)
    if isinstance(error, OutOfMemoryError):
        backend.pool.trim(0)
    if isinstance(error, DeviceLostError):
        forget(backend)
    if fault.kind == "compile":
        backend.plans.clear()
        backend.pipelines = {k: v for k, v in backend.pipelines.items() if v != fault.pipeline}
    raise error from cause


def context(backend: Any, pipeline: int) -> str:
    """Return which ops a pipeline computes and where they were written."""
    known = backend.kernels.get(pipeline)
    if known is None:
        return ""
    label, ops, lines = known
    places = sorted({where(line) for line in lines})
    text = f"in kernel {label!r}, which computes {', '.join(dict.fromkeys(ops))}"
    return text + ("; recorded at " + ", ".join(places) if places else "")


def where(line: tuple[Any, int]) -> str:
    """Return file:line of a (code, instruction) pair."""
    code, last = line
    for start, end, number in code.co_lines():
        if number is not None and start <= last < end:
            return f"{code.co_filename}:{number}"
    return f"{code.co_filename}:{code.co_firstlineno}"


def forget(backend: Any) -> None:
    """Let the device connect anew when it is next used: this backend's tensors are gone."""
    if backend.device._backend is backend:
        backend.device._backend = None
        backend.pool.closed = True
