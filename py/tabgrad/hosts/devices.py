"""Devices, by name and index; a device connects to its host when it is first used."""

from __future__ import annotations

import os
import warnings
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DeviceError, DeviceLostError, DTypeError, HostError, WouldBlockError
from tabgrad.core.locks import lock
from tabgrad.core.settings import on_restore, setting
from tabgrad.core.trace import MODE, Mode
from tabgrad.hosts import host
from tabgrad.hosts.backend import Backend

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend

KINDS = ("cpu", *reversed(host.NATIVE))


class Device:
    """Where tensors are stored: `cpu`, `webgpu` or `cuda`, with an index.

    Made by `tabgrad.device(...)`; there is one object for each device, so compare with `is` or `==`.
    As a context manager it is the default device of the block.

    >>> import tabgrad as tg
    >>> with tg.device("cpu"):
    ...     tg.zeros(2).device
    device(type='cpu')
    """

    __slots__ = ("_backend", "_lost", "_warned", "index", "memory_limit", "type")

    def __init__(self, type: str, index: int) -> None:
        self.type = type
        self.index = index
        self._backend: Backend | None = None
        self._lost = False
        self.memory_limit: int | None = None
        self._warned = False

    @property
    def backend(self) -> Backend:
        """Runs the ops of this device; the first use connects to the host."""
        if self._backend is None:
            with _CONNECTING:
                if self._backend is None:
                    self._backend = _connect(self)
        return self._backend

    @property
    def recorder(self) -> DeviceBackend | None:
        """The backend if it records ops and runs them later; None for `cpu`, which runs them at once."""
        return self.backend.recorder

    @property
    def software(self) -> bool:
        """Whether a processor does the work of a GPU, as SwiftShader and llvmpipe let it."""
        recorder = self.recorder
        return recorder is not None and recorder.limits.software

    @property
    def index_dtype(self) -> dt.DType:
        """The dtype of indices: int64, or int32 where there is no 64-bit integer."""
        return dt.int32 if self.type == "webgpu" else dt.int64

    def canonical(self, dtype: dt.DType, asked: bool = False) -> dt.DType:
        """Return the dtype that this device uses for `dtype`: 64 bits become 32 on `webgpu`.

        If the user `asked` for the 64-bit one, one warning says so. Raises DTypeError for a dtype that the
        device lacks. Python's number types are accepted as dtypes.
        """
        if dtype.__class__ is not dt.DType:
            dtype = dt.as_dtype(dtype)
        if self.type != "webgpu":
            return dtype
        narrow = dt.NARROW.get(dtype)
        if narrow is not None:
            if asked and not self._warned:
                self._warned = True
                warnings.warn(f"{self} has no {dtype.name}; using {narrow.name}", stacklevel=4)
            dtype = narrow
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

    def __enter__(self) -> Device:
        token = MODE.set(MODE.get().replace(device=self))
        _ENTERED.set((token, *_ENTERED.get()))
        return self

    def __exit__(self, *exc: object) -> None:
        token, *rest = _ENTERED.get()
        MODE.reset(token)
        _ENTERED.set(tuple(rest))


_ENTERED: ContextVar[tuple[Token[Mode], ...]] = ContextVar("tabgrad_devices", default=())
"""Tokens that restore the modes before each `with device(...)` of the current task, the innermost first."""
_CONNECTING = lock()
_DEVICES: dict[tuple[str, int], Device] = {}


def device(name: str | Device, index: int | None = None) -> Device:
    """Return the device called `name`: "cpu", "webgpu", "cuda", "webgpu:1"...; a Device is returned as it is.

    >>> import tabgrad as tg
    >>> tg.device("cpu")
    device(type='cpu')
    """
    if isinstance(name, Device):
        return name
    if not isinstance(name, str):
        raise TypeError(f"device: expected a name or a device, got {type(name).__name__}")
    kind, _, number = name.partition(":")
    if kind not in KINDS or (number and not number.isdigit()):
        raise DeviceError(
            f"device: {name!r} is none of {', '.join(KINDS)}, with an index as in 'webgpu:1'"
        )
    at = int(number) if number else index or 0
    found = _DEVICES.get((kind, at))
    return _DEVICES.setdefault((kind, at), Device(kind, at)) if found is None else found


@setting
class _Default:
    """The default device: the one that was set, else the best available."""

    chosen: Device | None = None


def get_default_device() -> Device:
    """Return the device that creation functions use if none is given.

    That is the device of the innermost `with device(...)`, else of `set_default_device`, else the accelerator
    if there is one, else the CPU.
    """
    inner: Device | None = MODE.get().device
    if inner is not None:
        return inner
    if _Default.chosen is None:
        _Default.chosen = _best()
    return _Default.chosen


def chosen_device() -> Device | None:
    """Return the device that `set_default_device` set; None if the best available one is used."""
    return _Default.chosen


_device = device


def set_default_device(device: str | Device | None) -> None:
    """Set the device that creation functions use if none is given; None resets it to the best available.

    >>> import tabgrad as tg
    >>> tg.set_default_device("cpu")
    >>> tg.get_default_device()
    device(type='cpu')
    """
    _Default.chosen = None if device is None else _device(device)


def is_available(kind: str) -> bool:
    """Whether a device of this kind can be used here; connects to it to find out.

    >>> is_available("cpu")
    True
    """
    if kind == "cpu":
        return True
    if kind not in host.available():
        return False
    try:
        device(kind).backend  # noqa: B018 (connects)
    except (HostError, DeviceError, WouldBlockError, ImportError):
        return False
    return True


def _best() -> Device:
    for kind in host.available():
        if is_available(kind):
            return device(kind)
    return device("cpu")


async def connect_async(name: str | Device) -> Device:
    """Connect to a device without blocking, unless it is connected already; return it."""
    where = device(name)
    if where._backend is None and where.type != "cpu":
        where._backend = backend_class()(await host.connect_async(where.type), where)
    return where


def connected() -> list[Device]:
    """Return the devices that this process has used."""
    return [
        d
        for d in _DEVICES.values()
        if d._backend is not None and not getattr(type(d._backend), "gone", False)
    ]


@on_restore
def _warn_again() -> None:
    for where in _DEVICES.values():
        where._warned = False


_FORKS: list[bool] = []
"""Not empty once a handler is registered that disables the devices in a forked child process."""


def _connect(where: Device) -> Backend:
    _watch_interrupts()
    if where.type == "cpu":
        from tabgrad.hosts.reference import NumPyBackend

        return NumPyBackend()
    from tabgrad.hosts.host import connect

    try:
        return backend_class()(connect(where.type), where)
    except (DeviceError, WouldBlockError) as error:
        if where._lost:
            raise DeviceLostError(
                f"{where}: the device was lost, and no other was opened: {error}"
            ) from error
        raise


def _watch_interrupts() -> None:
    from tabgrad.core import interrupts

    interrupts.install()
    interrupts.watch_notebook()


def backend_class() -> type[DeviceBackend]:
    """Return the class of backends that record: thread-safe, except in a browser, which has no threads."""
    _watch_interrupts()
    if host.in_browser():
        from tabgrad.hosts.device import DeviceBackend

        return DeviceBackend
    from tabgrad.hosts import threads

    if not _FORKS and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: threads.abandon(connected()))
        _FORKS.append(True)
    return threads.SharedBackend
