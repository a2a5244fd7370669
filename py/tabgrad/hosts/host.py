"""The interface of a host, and how a host is found and connected.

A host owns a GPU device. It has numbered buffers, pipelines and lists, and the routines that it offers; it
knows no shapes, dtypes or ops. A host is imported only when it is connected, so that `import tabgrad` loads
neither wgpu, nor CuPy, nor any browser module.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

from tabgrad.core.errors import (
    DeviceError,
    DeviceLostError,
    HostError,
    KernelError,
    OutOfMemoryError,
    WouldBlockError,
)
from tabgrad.hosts.commands import Buffer, Fault, Hello, Pipeline


class Host(Protocol):
    """Runs packets on one device.

    Once `lost` is True, `submit` only adds a fault, and `read` raises DeviceLostError. `close` may be called
    twice.
    """

    hello: Hello
    packets: int
    stopped: int
    foresee: Callable[[Pipeline], None] | None
    """Compile what a packet to come defines, if a host can begin before that."""

    @property
    def lost(self) -> bool:
        """Whether the device is gone."""
        ...

    def submit(self, packet: bytearray | memoryview, nbytes: int, blobs: Sequence[Buffer]) -> int:
        """Run a packet; return the number of queue submits. Its memory may change after the return.

        Wrong contents raise nothing: they become a Fault, and a malformed packet has no other effect. After an
        exception of any other kind the packet was not taken and may be submitted again; `packets` is then
        unchanged. `stopped` is the index of the first command that did not run, because memory ran out or the
        packet was refused, else -1.
        """
        ...

    def compile_soon(self, pipeline: Pipeline) -> None:
        """Compile a pipeline in the background; its id is not used.

        An equal one in a later packet is there at once. Nothing waits for it, and a failure is no fault.
        """
        ...

    def compiling(self) -> int:
        """Return how many pipelines of `compile_soon` are not finished; -1, once, if all are and one failed."""
        ...

    def read(self, token: int, timeout: float) -> bytes:
        """Wait for the bytes of a Read command; each token can be read once.

        Raises DeadlineError after `timeout` seconds, DeviceLostError if the device is gone, and HostError if
        there are no bytes; the reason is then among `faults`.
        """
        ...

    async def read_async(self, token: int, timeout: float) -> bytes:
        """Do what `read` does, without blocking."""
        ...

    def give_up(self, token: int) -> None:
        """Cancel a read; a token that was read already, or never requested, is ignored."""
        ...

    def can_block(self) -> bool:
        """Whether `read` and `synchronize` can block here and now."""
        ...

    def faults(self) -> list[Fault]:
        """Return the faults since the last call, oldest first."""
        ...

    def synchronize(self, timeout: float) -> None:
        """Wait until everything submitted has run and its faults are known."""
        ...

    async def synchronize_async(self, timeout: float) -> None:
        """Do what `synchronize` does, without blocking."""
        ...

    def close(self) -> None:
        """Release the device and everything on it."""
        ...


class Native(NamedTuple):
    """Where a host outside a browser is found."""

    module: str
    package: str
    """The Python package that it needs."""
    extra: str
    """The extra of tabgrad that installs it."""


NATIVE = {
    "cuda": Native("tabgrad_native.cupy_host", "cupy", "tabgrad[cuda]"),
    "webgpu": Native("tabgrad_native.wgpu_host", "wgpu", "tabgrad[webgpu]"),
}
"""The kinds of device with a host, best first. What else names them is listed in the README."""

_ERRORS: dict[str, type[HostError]] = {
    "compile": KernelError,
    "memory": OutOfMemoryError,
    "lost": DeviceLostError,
}


def error_of(fault: Fault) -> HostError:
    """Make the exception for a fault.

    >>> error_of(Fault("memory", "no room for 4096 bytes"))
    OutOfMemoryError('no room for 4096 bytes')
    """
    return _ERRORS.get(fault.kind, HostError)(fault.message)


def compile_message(label: str, text: str, source: str) -> str:
    """Format a compiler's error, with the kernel's source and line numbers from 1."""
    lines = (f"{i:4} {line}" for i, line in enumerate(source.splitlines(), 1))
    return f"kernel {label!r} does not compile:\n{text.strip()}\n" + "\n".join(lines)


def in_browser() -> bool:
    """Whether this Python is Pyodide."""
    return sys.platform == "emscripten"


def available() -> tuple[str, ...]:
    """Return the kinds of device that may be available, best first.

    This only looks for the required packages; whether there is a device shows when it is connected.
    """
    if in_browser():
        from tabgrad.hosts import browser

        return ("webgpu",) if browser.has_webgpu() else ()
    return tuple(kind for kind, its in NATIVE.items() if importlib.util.find_spec(its.package))


def connect(kind: str, *, diagnose: bool = False) -> Host:
    """Open a device of `kind`, "webgpu" or "cuda", and return its host.

    With `diagnose` the host checks after every command, so that each fault names its command and pipeline; that
    is slow. Raises DeviceError if there is no such device, and WouldBlockError in a browser that cannot block:
    use `connect_async` there.
    """
    if kind == "webgpu" and in_browser():
        opened: Host = blocking(lambda: connect_async(kind, diagnose=diagnose))
        return opened
    return _connect_native(kind, diagnose)


def blocking(connecting: Callable[[], Awaitable[Any]]) -> Any:
    """Wait in a browser for a connection; raise WouldBlockError where it cannot block."""
    from tabgrad.hosts import browser

    if not browser.can_block():
        raise WouldBlockError(
            "connecting to the GPU has to wait, and Python cannot wait here: "
            "first `await tabgrad.hosts.devices.connect_async('webgpu')`"
        )
    return browser.wait(connecting())


async def connect_async(kind: str, *, diagnose: bool = False) -> Host:
    """Do what `connect` does, without blocking."""
    if kind == "webgpu" and in_browser():
        from tabgrad.hosts import browser

        return await browser.connect_async(diagnose)
    return _connect_native(kind, diagnose)


_NOT_HERE: set[str] = set()
"""Kinds that the parent of this process used: their libraries' threads are missing in this process."""


def _forked() -> None:
    loaded = {kind for kind, its in NATIVE.items() if its.module in sys.modules}
    if "wgpu.backends.wgpu_native" in sys.modules:
        loaded.add("webgpu")
    _NOT_HERE.update(loaded)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def forked_error(name: str) -> DeviceError:
    """Make the error for a device that this process can't use because its parent used it."""
    return DeviceError(
        f"{name} was opened by the parent of this process, and a device does not survive a fork: "
        'start processes with multiprocessing.get_context("spawn"), or use device "cpu" in them'
    )


def _connect_native(kind: str, diagnose: bool) -> Host:
    if kind in _NOT_HERE:
        raise forked_error(kind)
    if kind not in NATIVE:
        raise DeviceError(f"no host of kind {kind!r}: there are 'webgpu' and 'cuda'")
    if in_browser():
        raise DeviceError("a browser has no CUDA: use device 'webgpu' or 'cpu'")
    module, package, extra = NATIVE[kind]
    if importlib.util.find_spec(package) is None:
        raise DeviceError(f"device {kind!r} needs the package {package}: pip install '{extra}'")
    host = importlib.import_module(module).connect(diagnose=diagnose)
    return cast(Host, host)
