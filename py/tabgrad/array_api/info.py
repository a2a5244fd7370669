"""What the namespace can do."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.array_api.dtypes import KINDS
from tabgrad.hosts.devices import connected, get_default_device


class Info:
    """Answers questions about devices and dtypes."""

    __module__ = "tabgrad.array_api"

    def capabilities(self) -> dict[str, Any]:
        """Return what is possible, as the standard names it."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> tg.Device:
        """Return the device of arrays that are made without one."""
        return get_default_device()

    def devices(self) -> list[tg.Device]:
        """Return the devices in use, and the CPU."""
        return list(dict.fromkeys([tg.device("cpu"), get_default_device(), *connected()]))

    def default_dtypes(self, *, device: Any = None) -> dict[str, tg.DType]:
        """Return the dtypes of arrays that are made without one."""
        where = get_default_device() if device is None else tg.device(device).place
        real = tg.get_default_dtype()
        wide = tg.complex128 if real is tg.float64 else tg.complex64
        whole = where.canonical(tg.int64)
        return {
            "real floating": real,
            "complex floating": wide,
            "integral": whole,
            "indexing": whole,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, tg.DType]:
        """Return the dtypes of a kind, or of several, by name; 64-bit ones only where a device has them."""
        where = get_default_device() if device is None else tg.device(device).place
        names = list(KINDS) if kind is None else [kind] if isinstance(kind, str) else list(kind)
        found = {d.name: d for name in names for d in KINDS[name]}
        skipped = (tg.float16, tg.bfloat16)
        return {n: d for n, d in found.items() if d not in skipped and where.canonical(d) is d}


def __array_namespace_info__() -> Info:
    """Return an object that answers questions about devices and dtypes."""
    return Info()


__all__: list[str] = []
