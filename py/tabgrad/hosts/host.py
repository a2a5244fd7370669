"""What a host must do, and how one is found.

A host owns a device. It knows numbered buffers, pipelines and lists, and the routines it
offers: no shapes, no dtypes, no ops. Hosts are imported only when one is connected, so
that `import tabgrad` loads neither wgpu, nor CuPy, nor anything of the browser.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from tabgrad.core.errors import (
    DeviceError,
    DeviceLostError,
    HostError,
    KernelError,
    OutOfMemoryError,
    WouldBlockError,
)
from tabgrad.hosts.protocol import Buffer, Fault, Hello


class Host(Protocol):
    """Carries out packets on one device.

    Once `lost` is True, `submit` does nothing but add a fault, and `read` raises
    DeviceLostError. `close` may be called twice.
    """

    hello: Hello
    packets: int
    stopped: int

    @property
    def lost(self) -> bool:
        """Say whether the device is gone."""
        ...

    def submit(self, packet: bytearray | memoryview, nbytes: int, blobs: Sequence[Buffer]) -> int:
        """Carry out a packet, reading all of it before returning.

        Returns how many queue submits it took. Never raises for what is in the packet:
        what is wrong with it becomes a Fault, and a malformed packet does nothing else.
        After any exception the packet was not taken, and may come again; `packets` then
        stays as it was. `stopped` is the number of the first command that was not carried
        out, where memory ran out or the packet was refused, else -1.
        """
        ...

    def read(self, token: int, timeout: float) -> bytes:
        """Wait for the answer to a Read command; each token is answered once.

        Raises DeadlineError after `timeout` seconds, DeviceLostError when the device is
        gone, HostError when the bytes cannot be had; the reason is then among `faults`.
        """
        ...

    async def read_async(self, token: int, timeout: float) -> bytes:
        """Await the answer to a Read command, as `read` does."""
        ...

    def give_up(self, token: int) -> None:
        """Forget a read whose answer nobody waits for; a token that was answered or never asked is fine."""
        ...

    def can_block(self) -> bool:
        """Say whether `read` and `synchronize` can wait here and now."""
        ...

    def faults(self) -> list[Fault]:
        """Return the faults found since the last call, oldest first."""
        ...

    def synchronize(self, timeout: float) -> None:
        """Wait until everything submitted has run and its faults are known."""
        ...

    async def synchronize_async(self, timeout: float) -> None:
        """Await what `synchronize` waits for."""
        ...

    def close(self) -> None:
        """Release the device and all that is on it."""
        ...


_ERRORS: dict[str, type[HostError]] = {
    "compile": KernelError,
    "memory": OutOfMemoryError,
    "lost": DeviceLostError,
}


def error_of(fault: Fault) -> HostError:
    """Make the exception that stands for a fault.

    >>> error_of(Fault("memory", "no room for 4096 bytes"))
    OutOfMemoryError('no room for 4096 bytes')
    """
    return _ERRORS.get(fault.kind, HostError)(fault.message)


def compile_message(label: str, text: str, source: str) -> str:
    """Say why a kernel does not compile, with its source, lines numbered from 1."""
    lines = (f"{i:4} {line}" for i, line in enumerate(source.splitlines(), 1))
    return f"kernel {label!r} does not compile:\n{text.strip()}\n" + "\n".join(lines)


def in_browser() -> bool:
    """Say whether this Python is Pyodide."""
    return sys.platform == "emscripten"


def available() -> tuple[str, ...]:
    """Name the kinds that `connect` may succeed with, best first.

    This looks only for what they need to be there; whether there is a device is known
    by connecting.
    """
    if in_browser():
        from tabgrad.hosts import browser

        return ("webgpu",) if browser.has_webgpu() else ()
    needs = {"cuda": "cupy", "webgpu": "wgpu"}
    return tuple(kind for kind, name in needs.items() if importlib.util.find_spec(name))


def connect(kind: str, *, diagnose: bool = False) -> Host:
    """Open a device of `kind`, "webgpu" or "cuda", and return its host.

    `diagnose` makes a host check after every command, so that each fault names its
    command and pipeline; that is slow. Raises DeviceError where there is no such device,
    and WouldBlockError in a browser that cannot wait: use `connect_async` there.
    """
    if kind == "webgpu" and in_browser():
        from tabgrad.hosts import browser

        if not browser.can_block():
            raise WouldBlockError(
                "connecting to the GPU has to wait, and Python cannot wait here: "
                "first `await tabgrad.hosts.devices.connect_async('webgpu')`"
            )
        return browser.connect(diagnose)
    return _connect_native(kind, diagnose)


async def connect_async(kind: str, *, diagnose: bool = False) -> Host:
    """Open a device as `connect` does, wherever `await` works."""
    if kind == "webgpu" and in_browser():
        from tabgrad.hosts import browser

        return await browser.connect_async(diagnose)
    return _connect_native(kind, diagnose)


_NATIVE = {
    "webgpu": ("tabgrad_native.wgpu_host", "wgpu", "tabgrad[webgpu]"),
    "cuda": ("tabgrad_native.cupy_host", "cupy", "tabgrad[cuda]"),
}


_NOT_HERE: set[str] = set()
"""Kinds whose library the parent of this process had in use: its threads are not in this process."""


def _forked() -> None:
    loaded = {kind for kind, (module, _, _) in _NATIVE.items() if module in sys.modules}
    if "wgpu.backends.wgpu_native" in sys.modules:
        loaded.add("webgpu")
    _NOT_HERE.update(loaded)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def forked_error(name: str) -> DeviceError:
    """Return the error for a device that a process can't use because its parent did."""
    return DeviceError(
        f"{name} was opened by the parent of this process, and a device does not survive a fork: "
        'start processes with multiprocessing.get_context("spawn"), or use device "cpu" in them'
    )


def _connect_native(kind: str, diagnose: bool) -> Host:
    if kind in _NOT_HERE:
        raise forked_error(kind)
    if kind not in _NATIVE:
        raise DeviceError(f"no host of kind {kind!r}: there are 'webgpu' and 'cuda'")
    if in_browser():
        raise DeviceError("a browser has no CUDA: use device 'webgpu' or 'cpu'")
    module, package, extra = _NATIVE[kind]
    if importlib.util.find_spec(package) is None:
        raise DeviceError(f"device {kind!r} needs the package {package}: pip install '{extra}'")
    host = importlib.import_module(module).connect(diagnose=diagnose)
    return cast(Host, host)
