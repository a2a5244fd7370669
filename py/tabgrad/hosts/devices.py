"""Devices: what a tensor lives on. Hosts are connected when a device is first used."""

from __future__ import annotations

import warnings
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DeviceError, DTypeError

KINDS = ("cpu", "webgpu", "cuda")


class Device:
    """A place for tensors: `cpu`, `webgpu` or `cuda`, and which one of these.

    Made by `tabgrad.device(...)`; there is one object for each device, so compare with `is` or `==`.
    """

    __slots__ = ("_backend", "_warned", "index", "type")

    def __init__(self, type: str, index: int) -> None:
        self.type = type
        self.index = index
        self._backend: Any = None
        self._warned = False

    @property
    def backend(self) -> Any:
        """What runs ops here; connects to the host when first asked for."""
        if self._backend is None:
            self._backend = _connect(self)
        return self._backend

    @property
    def index_dtype(self) -> dt.DType:
        """The dtype of indices: int64, or int32 where there is no 64-bit integer."""
        return dt.int32 if self.type == "webgpu" else dt.int64

    def canonical(self, dtype: dt.DType, asked: bool = False) -> dt.DType:
        """Return the dtype this device uses for `dtype`: 64 bits become 32 on `webgpu`.

        Where the user `asked` for the 64-bit one, one warning says so. Raises DTypeError for a dtype that
        the device does not have.
        """
        if self.type == "cpu":
            if dtype is dt.bfloat16:
                raise DTypeError(
                    "cpu has no bfloat16 (NumPy has none); use float32 or float16"
                )
            return dtype
        if self.type == "cuda":
            return dtype
        narrow = dt.NARROW.get(dtype)
        if narrow is not None:
            if asked and not self._warned:
                self._warned = True
                warnings.warn(
                    f"{self} has no {dtype.name}; using {narrow.name}", stacklevel=4
                )
            dtype = narrow
        if dtype.is_complex or dtype is dt.bfloat16:
            raise DTypeError(f"{self} has no {dtype.name}; use device='cpu' for it")
        if dtype is dt.float16 and not self.backend.has_float16:
            raise DTypeError(
                f"the adapter of {self} has no float16 (WebGPU feature shader-f16); use float32"
            )
        return dtype

    def __repr__(self) -> str:
        tail = f", index={self.index}" if self.index else ""
        return f"device(type={self.type!r}{tail})"

    def __str__(self) -> str:
        return f"{self.type}:{self.index}" if self.index else self.type

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (str(self),))


_DEVICES: dict[tuple[str, int], Device] = {}


def device(name: Any, index: int | None = None) -> Device:
    """Return the device called `name`: "cpu", "webgpu", "cuda", "webgpu:1"..., or a Device itself.

    >>> import tabgrad as tg
    >>> tg.device("cpu")
    device(type='cpu')
    """
    if isinstance(name, Device):
        return name
    if not isinstance(name, str):
        raise TypeError(
            f"device: expected a name or a device, got {type(name).__name__}"
        )
    kind, _, number = name.partition(":")
    if kind not in KINDS or (number and not number.isdigit()):
        raise DeviceError(
            f"device: {name!r} is none of {', '.join(KINDS)}, with an index as in 'webgpu:1'"
        )
    at = int(number) if number else index or 0
    found = _DEVICES.get((kind, at))
    if found is None:
        found = _DEVICES[kind, at] = Device(kind, at)
    return found


def _connect(where: Device) -> Any:
    if where.type == "cpu":
        from tabgrad.hosts.reference import NumPyBackend

        return NumPyBackend()
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.host import connect

    return DeviceBackend(connect(where.type), where)
