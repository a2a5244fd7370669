"""Evicts plans, so that a program whose shapes never repeat does not fill the memory with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.replay import Stored

MOST_PLANS = 1024
"""How many plans a device keeps; a plan that `compile` replays is kept as long as the capture is."""


def evict(backend: DeviceBackend) -> None:
    """Make room for a plan: drop the oldest quarter, and the pipelines that no other plan uses."""
    plans = backend.plans
    if len(plans) < MOST_PLANS:
        return
    old = [key for key, stored in plans.items() if not stored.captured][: len(plans) // 4]
    gone = [plans.pop(key) for key in old]
    if not gone:
        return
    let_go(backend, gone)
    backend.slices.seen.clear()
    backend.sizes.known.clear()


def let_go(backend: DeviceBackend, gone: list[Stored]) -> None:
    """Drop the lists of plans that are no longer kept, and the pipelines that no other plan uses."""
    backend.encoder.drop([stored.id for stored in gone])
    used = {number for stored in backend.plans.values() for number in stored.pipelines}
    unused = {number for stored in gone for number in stored.pipelines} - used
    if unused:
        backend.pipelines = {k: n for k, n in backend.pipelines.items() if n not in unused}
        for number in unused:
            backend.kernels.pop(number, None)
        backend.encoder.drop_pipelines(sorted(unused))
