"""Refuses what is too large for a device's buffers, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tabgrad.core.errors import OutOfMemoryError
from tabgrad.hosts.faults import where
from tabgrad.lower.plan import Plan
from tabgrad.lower.windows import TooLarge

if TYPE_CHECKING:
    from tabgrad.core.graph import Graph
    from tabgrad.hosts.device import DeviceBackend

MOST_ELEMENTS = 2**32 - 1
"""The most elements of a tensor: kernels number them in 32 bits."""
MOST_BYTES = 2**32 - 1
"""The most bytes of a buffer: packets count them in 32 bits."""
WORD = 16
"""Buffer sizes are multiples of this many bytes."""


def largest(limits: Mapping[str, int]) -> int:
    """Return the most bytes that a buffer can have."""
    return min(limits["max_buffer_size"], MOST_BYTES) // WORD * WORD


def refusal(what: str, nbytes: int, most: int) -> OutOfMemoryError:
    """Make the error for something that needs too many bytes."""
    return OutOfMemoryError(
        f"{what} takes {nbytes:,} bytes in one buffer, but on this device one has at most {most:,}: work on "
        "parts of it, reduce it before it is read or kept, or use device 'cpu'"
    )


def over_limit(nbytes: int, used: int, limit: int) -> OutOfMemoryError:
    """Make the error for a buffer that exceeds the memory limit set by the user."""
    return OutOfMemoryError(
        f"{nbytes:,} bytes more than the {used:,} in use are above the limit of {limit:,} bytes set for "
        "this device: drop tensors, work on smaller parts, or raise the limit"
    )


def check_count(graph: Graph, order: Sequence[int]) -> None:
    """Raise OutOfMemoryError if a tensor, stored or not, has more elements than kernels can number."""
    for i in order:
        its = graph.spec[i]
        if its.size > MOST_ELEMENTS:
            op = graph.op[i]
            error = OutOfMemoryError(
                f"{'a tensor' if op is None else op.name}: {its.size:,} elements (shape {list(its.shape)}) are "
                f"more than the {MOST_ELEMENTS:,} that a device can number: work on parts, or use device 'cpu'"
            )
            if line := graph.line[i]:
                error.add_note("recorded at " + where(line))
            try:
                raise error
            finally:
                del error  # as in `check_room`


def check_room(backend: DeviceBackend, plan: Plan, order: Sequence[int]) -> None:
    """Raise OutOfMemoryError if a plan stores more in one buffer than the device supports."""
    most = backend.pool.most
    slot = max(range(len(plan.nbytes)), key=plan.nbytes.__getitem__, default=-1)
    if slot < 0 or plan.nbytes[slot] <= most:
        return
    kernel = next((k for k in plan.kernels if slot in k.slots[-1:]), None) or next(
        k for k in plan.kernels if slot in k.slots
    )
    error = refusal(f"a result of {', '.join(kernel.ops)}", plan.nbytes[slot], most)
    noted(error, backend, kernel.origins, order)
    try:
        raise error
    finally:
        # a local name of the error would keep its traceback, and so the tensor that is too large, alive
        del error


def out_of_reach(backend: DeviceBackend, large: TooLarge, order: Sequence[int]) -> OutOfMemoryError:
    """Make the error for a kernel that would have to bind too much memory at once."""
    limits, most, what = backend.limits, backend.pool.most, ", ".join(large.ops)
    if large.nbytes > most:
        error = refusal(f"a result of {what}", large.nbytes, most)
    else:
        error = OutOfMemoryError(
            f"{what}: reaches all over a buffer of {large.nbytes:,} bytes at once, but a kernel of this device "
            f"binds {limits.buffers} parts of at most {limits.binding:,} bytes: work on parts of the tensor, "
            "or use device 'cpu'"
        )
    noted(error, backend, large.origins, order)
    return error


def noted(
    error: OutOfMemoryError, backend: DeviceBackend, origins: Sequence[int], order: Sequence[int]
) -> None:
    """Add a note with the lines that recorded the ops of an error."""
    lines = [backend.graph.line[order[k]] for k in origins if k >= 0]
    places = sorted({where(line) for line in lines if line})
    if places:
        error.add_note("recorded at " + ", ".join(places))


__all__ = ["check_count", "check_room", "largest", "out_of_reach", "over_limit", "refusal"]
