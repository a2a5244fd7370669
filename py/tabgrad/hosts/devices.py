"""Devices, by name and index; a device connects to its host when it is first used."""

from __future__ import annotations

import importlib.util
import os
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import (
    DeviceError,
    DeviceLostError,
    DTypeError,
    HostError,
    WouldBlockError,
    warn,
)
from tabgrad.core.locks import lock
from tabgrad.core.settings import on_restore, setting
from tabgrad.core.trace import MODE, Mode
from tabgrad.hosts import host
from tabgrad.hosts.backend import Backend

if TYPE_CHECKING:
    import asyncio

    from tabgrad.hosts.device import DeviceBackend

KINDS = ("cpu", "meta", *reversed(host.NATIVE))


class Device:
    """Where tensors are stored: `device("cpu")`, "webgpu", "cuda", "webgpu:1"; a device is returned as it is.

    There is one object for each name, so compare with `is` or `==`. "cpu" has no index; tensors of "cpu:0",
    another name of it, are on "cpu". A number alone is the index of the accelerator. As a context manager a
    device is the default one of the block. Tensors of "meta" have shapes and dtypes, but no values. Raises
    DeviceError for another name.

    >>> import tabgrad as tg
    >>> with tg.device("cpu"):
    ...     tg.zeros(2).device
    device(type='cpu')
    """

    __slots__ = (
        "_backend",
        "_lost",
        "_opening",
        "_warned",
        "index",
        "memory_limit",
        "place",
        "type",
    )
    type: str
    index: int | None
    place: Device
    """The device of tensors that are made here: this one, and "cpu" for "cpu:0"."""
    memory_limit: int | None
    _backend: Backend | None
    _lost: bool
    _opening: asyncio.Future[Backend] | None
    _warned: bool

    def __new__(cls, type: str | int | Device, index: int | None = None) -> Device:
        """Return the device called `type`, "cpu", "webgpu:1", "cuda"..., or with `index` beside its name."""
        if isinstance(type, Device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            return _numbered(type)
        if not isinstance(type, str):
            raise TypeError(f"device: expected a name or a device, got {type.__class__.__name__}")
        found = _DEVICES.get((type, None)) if index is None else None
        if found is not None:
            return found
        kind, at = _parsed(type, index)
        if kind in _Alias.accelerators:
            return _the_accelerator(kind, at or 0)
        if kind not in _WITHOUT_INDEX:
            at = at or 0
        return _DEVICES.get((kind, at)) or _new(kind, at)

    @property
    def backend(self) -> Backend:
        """Runs the ops of this device; the first use connects to the host."""
        if self._backend is None:
            if self.place is not self:
                return self.place.backend
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
                warn(f"{self} has no {dtype.name}; using {narrow.name}")
            dtype = narrow
        if dtype is dt.float16 and not self.backend.has_float16:
            raise DTypeError(
                f"the adapter of {self} has no float16 (WebGPU feature shader-f16); use float32"
            )
        return dtype

    def __repr__(self) -> str:
        return f"device(type={self.type!r}{f', index={self.index}' if self._indexed else ''})"

    def __str__(self) -> str:
        return f"{self.type}:{self.index}" if self._indexed else self.type

    @property
    def _indexed(self) -> bool:
        """Whether the name tells the index: that of the first accelerator does not."""
        return self.index is not None if self.type in _WITHOUT_INDEX else bool(self.index)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Device, (str(self),))

    def __enter__(self) -> Device:
        token = MODE.set(MODE.get().replace(device=self.place))
        _ENTERED.set((token, *_ENTERED.get()))
        return self

    def __exit__(self, *exc: object) -> None:
        token, *rest = _ENTERED.get()
        MODE.reset(token)
        _ENTERED.set(tuple(rest))


_ENTERED: ContextVar[tuple[Token[Mode], ...]] = ContextVar("tabgrad_devices", default=())
"""Tokens that restore the modes before each `with device(...)` of the current task, the innermost first."""
_CONNECTING = lock()
_DEVICES: dict[tuple[str, int | None], Device] = {}
_WITHOUT_INDEX = ("cpu", "meta")


def device(type: str | int | Device, index: int | None = None) -> Device:
    """Return the device of tensors that are made on the named one: "cpu" for "cpu:0"."""
    return Device(type, index).place


def _parsed(name: str, index: Any) -> tuple[str, int | None]:
    """Return the type and the index that a name and an index beside it tell."""
    kind, colon, number = name.partition(":")
    if index is not None and not isinstance(index, int):
        raise TypeError(f"device: argument 'index' must be int, not {type(index).__name__}")
    if index is not None and (colon or index < 0):
        why = f"{name!r} has an index of its own" if colon else "it must not be negative"
        raise DeviceError(f"device: got the index {index} for {name!r}, but {why}")
    digits = number.isdecimal() and number == str(int(number))
    if (kind not in KINDS and kind not in _Alias.accelerators) or (colon and not digits):
        raise DeviceError(
            f"Invalid device string: {name!r} is none of {', '.join(KINDS)}, with an index as in 'webgpu:1'"
        )
    return kind, int(number) if colon else index


def _new(kind: str, at: int | None) -> Device:
    made = unlisted(kind, None, at)
    if kind in _WITHOUT_INDEX and at is not None:
        made.place = Device(kind)
    return _DEVICES.setdefault((kind, at), made)


def unlisted(kind: str, backend: Backend | None, at: int | None = 0) -> Device:
    """Return a device that no name finds."""
    made = object.__new__(Device)
    made.type, made.index, made._backend = kind, at, backend
    made.place = made
    made.memory_limit = made._opening = None
    made._lost = made._warned = False
    return made


@setting
class _Alias:
    """What `as_torch` changes: the names that mean the accelerator there is, and the default device."""

    accelerators: tuple[str, ...] = ()


def name_accelerators(names: tuple[str, ...]) -> None:
    """Let the names, such as "cuda" and "mps", mean whichever accelerator there is; none ends that.

    While there are such names the default device is the CPU unless `set_default_device` says another one.
    """
    if not _Default.by_user:
        _Default.chosen = None
    _Alias.accelerators = names


def best_accelerator() -> Device | None:
    """Return the accelerator that is in use already, else the best available one, None without any.

    >>> best_accelerator() is None or best_accelerator().type in host.NATIVE
    True
    """
    used = {where.type: where for where in reversed(connected()) if not where.index}
    for kind in host.NATIVE:
        if kind in used:
            return used[kind]
    return next((_DEVICES[kind, 0] for kind in host.available() if _opens(kind)), None)


def _the_accelerator(name: str, at: int) -> Device:
    """Return what one of the alias's names means: without an accelerator a device that raises when used."""
    found = best_accelerator()
    if found is not None and at:
        raise DeviceError(
            f"device: '{name}:{at}' is not here: there is one accelerator, '{name}:0'"
        )
    return found or _DEVICES.get(("cuda", at)) or _new("cuda", at)


def _numbered(at: int) -> Device:
    found = best_accelerator()
    if found is None:
        raise DeviceError(f"device: {at} is the number of an accelerator, and there is none here")
    return _DEVICES.get((found.type, at)) or _new(found.type, at)


def kind_of(name: str) -> str:
    """Return the type of device that a name means: under the alias `torch` "cuda" may mean "webgpu".

    >>> kind_of("cpu")
    'cpu'
    """
    return Device(name).type if name in _Alias.accelerators else name


def names_nothing(name: str) -> bool:
    """Whether a name means the accelerator under the alias `torch`, and there is none.

    >>> names_nothing("cpu")
    False
    """
    return name in _Alias.accelerators and best_accelerator() is None


def is_accelerator(where: Device) -> bool:
    """Whether PyTorch's `is_cuda` is true of tensors on this device: of CUDA's, under the alias of any GPU's.

    >>> is_accelerator(device("cpu"))
    False
    """
    return where.type == "cuda" or (bool(_Alias.accelerators) and where.type in host.NATIVE)


@setting
class _Default:
    """The default device: the one that was set, else the best available."""

    chosen: Device | None = None
    by_user: bool = False


def get_default_device() -> Device:
    """Return the device that creation functions use if none is given.

    That is the device of the innermost `with device(...)`, else of `set_default_device`, else the accelerator
    if there is one, else the CPU. Under the alias `torch` it is the CPU unless one of the two says another.
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
    _Default.by_user = device is not None


def is_available(kind: str) -> bool:
    """Whether a device of this kind can be used here; connects to it to find out.

    >>> is_available("cpu")
    True
    """
    if kind in ("cpu", "meta"):
        return True
    if kind in _Alias.accelerators:
        return best_accelerator() is not None
    return kind in host.available() and _opens(kind)


def _opens(kind: str) -> bool:
    try:
        (_DEVICES.get((kind, 0)) or _new(kind, 0)).backend  # noqa: B018 (connects)
    except (HostError, DeviceError, WouldBlockError, ImportError) as error:
        _REASONS[kind] = " ".join(str(error).split()).rstrip(".")
        return False
    _REASONS.pop(kind, None)
    return True


_REASONS: dict[str, str] = {}
"""Why the devices that failed to open did."""


def _best() -> Device:
    found = None if _Alias.accelerators else best_accelerator()
    if found is not None:
        return found
    if not _Alias.accelerators:
        _tell_why_not()
    return device("cpu")


def _tell_why_not() -> None:
    """Say why the CPU is the default device, if a GPU was to be expected; raise where the CPU is of no use."""
    reasons = dict(_REASONS)
    if host.in_browser() and not reasons:
        reasons["webgpu"] = "this browser has no WebGPU"
    if not reasons:
        return
    why = "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items())
    if importlib.util.find_spec("numpy") is None:
        raise DeviceError(
            f"no GPU can be used ({why}), and the device 'cpu' needs NumPy, which is not installed: "
            "`import micropip; await micropip.install('numpy')`"
        )
    warn(
        f"no GPU can be used ({why}): tensors are made on the device 'cpu'. "
        "tabgrad.set_default_device('cpu') says that you want this",
    )


async def connect_async(name: str | Device) -> Device:
    """Connect to a device without blocking, unless it is connected already; return it."""
    where = device(name)
    if host.in_browser() and where.type not in ("cpu", "meta"):
        await _opened(where)
    else:
        where.backend  # noqa: B018 (connects, and natively that waits for nothing)
    return where


async def _opened(where: Device) -> Backend:
    """Connect in a browser; tasks that ask while another one connects get the same connection."""
    import asyncio

    if where._backend is not None:
        return where._backend
    if where._opening is None:
        where._opening = asyncio.ensure_future(_open(where))
    # a task that is cancelled does not take the connection from the others
    return await asyncio.shield(where._opening)


async def _open(where: Device) -> Backend:
    try:
        where._backend = backend_class()(await host.connect_async(where.type), where)
    finally:
        where._opening = None
    return where._backend


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
    if where.type == "meta":
        from tabgrad.hosts.meta import MetaBackend

        return MetaBackend()
    try:
        if host.in_browser():
            opened: Backend = host.blocking(lambda: _opened(where))
            return opened
        return backend_class()(host.connect(where.type), where)
    except (DeviceError, WouldBlockError) as error:
        if where._lost:
            raise DeviceLostError(
                f"{where}: the device was lost, and no other was opened: {error}"
            ) from None
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
