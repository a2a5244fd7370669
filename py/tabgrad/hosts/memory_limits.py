"""Refusing what no buffer of a device can hold, before anything of it is sent."""

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
"""Kernels count in 32 bits."""
MOST_BYTES = 2**32 - 1
"""Packets count in 32 bits."""
WORD = 16
"""Sizes of buffers are multiples of so many bytes."""


def largest(limits: Mapping[str, int]) -> int:
    """Return the bytes that a buffer may have."""
    return min(limits["max_buffer_size"], MOST_BYTES) // WORD * WORD


def refusal(what: str, nbytes: int, most: int) -> OutOfMemoryError:
    """Return the error for something that would take too many bytes."""
    return OutOfMemoryError(
        f"{what} takes {nbytes:,} bytes in one buffer, but on this device one has at most {most:,}: work on "
        "parts of it, reduce it before it is read or kept, or use device 'cpu'"
    )


def over_limit(nbytes: int, used: int, limit: int) -> OutOfMemoryError:
    """Return the error for a buffer that would take a device over the limit that the user has set."""
    return OutOfMemoryError(
        f"{nbytes:,} bytes more than the {used:,} in use are above the limit of {limit:,} bytes set for "
        "this device: drop tensors, work on smaller parts, or raise the limit"
    )


def check_count(graph: Graph, order: Sequence[int]) -> None:
    """Raise OutOfMemoryError where a tensor, stored or not, has more elements than kernels can number."""
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
    """Raise OutOfMemoryError where a plan stores more in one buffer than the device can bind."""
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
        # the frames of a traceback hold the tensor that is too large, and a name for it here would hold them
        del error


def out_of_reach(backend: DeviceBackend, large: TooLarge, order: Sequence[int]) -> OutOfMemoryError:
    """Return the error for a kernel that would have to bind too much at once."""
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
    """Tell where the user's program recorded what an error is about."""
    lines = [backend.graph.line[order[k]] for k in origins if k >= 0]
    places = sorted({where(line) for line in lines if line})
    if places:
        error.add_note("recorded at " + ", ".join(places))


__all__ = ["check_count", "check_room", "largest", "out_of_reach", "over_limit", "refusal"]
