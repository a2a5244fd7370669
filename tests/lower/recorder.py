"""A device without a GPU: it records, lowers and prints, and its host writes packets down."""

from __future__ import annotations

from typing import Any

from tabgrad.hosts import devices
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.devices import Device
from tabgrad.hosts.recording import RecordingHost
from tabgrad.lower.plan import Plan


def device(kind: str = "webgpu", **changes: Any) -> Device:
    """Return a device of its own whose host only records."""
    where = Device(kind, 100 + len(devices._DEVICES))
    devices._DEVICES[kind, where.index] = where
    language = "cuda" if kind == "cuda" else "wgsl"
    where._backend = DeviceBackend(RecordingHost(language, **changes), where)
    return where


def last_plan(where: Device) -> Plan:
    """Return the plan made last."""
    plan: Plan = list(where.backend.plans.values())[-1].plan
    return plan
