"""The host of a browser tab: packets go through the JavaScript bridge to `navigator.gpu`.

This is the only module that imports Pyodide's modules, and only inside functions, so it can be imported (and
type-checked) anywhere. The bridge is JavaScript text inside the package: a page needs no code of its own.
"""

import functools
import json
import pkgutil
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from tabgrad.core.errors import (
    DeadlineError,
    DeviceError,
    DeviceLostError,
    HostError,
    WouldBlockError,
)
from tabgrad.hosts.commands import Adapter, Buffer, Fault, Hello, Pipeline

# Each file comes after those that it imports.
_MODULES = (
    "protocol.js", "ids.js", "packet.js", "faults.js", "pipelines.js", "list.js", "groups.js",
    "staging.js", "timing.js", "encode.js", "waiting.js", "kept.js", "tabgrad.js",
)  # fmt: skip

# To make a proxy for the bytes of an answer takes longer than to copy them, up to about so many.
_SHORT = 4096
# What the bridge's `serve` returns for an answer that is not there.
_COMING = -2

# The results of the bridge's `wait` and `settle`.
_DONE, _DEADLINE, _LOST = 0, 1, 2


class BrowserHost:
    """Runs packets on a device of `navigator.gpu`; see `tabgrad.hosts.host.Host`."""

    def __init__(self, bridge: Any) -> None:
        self._bridge = bridge
        self.hello = _hello(bridge.hello.to_py())
        self.kept = str(bridge.kept)
        self._packet: bytearray | memoryview | None = None
        self.packets = 0
        self.stopped = -1
        # looking up a method of a proxy takes twice as long as calling it
        self._submit = bridge.submit
        self._fault_count = bridge.faultCount
        self._wait = bridge.wait
        self._block = bridge.block
        self._serve = bridge.serve
        self._take = bridge.take
        self._done = bridge.done
        self._tray = bytearray(_SHORT)
        bridge.lay(self._tray)
        self.foresee: Callable[[Pipeline], None] | None = self._foresee

    @property
    def lost(self) -> bool:
        """Whether the device is gone."""
        return bool(self._bridge.lost)

    def submit(self, packet: bytearray | memoryview, nbytes: int, blobs: Sequence[Buffer]) -> int:
        """Run a packet; return the number of queue submits."""
        if packet is not self._packet:
            self._bridge.pin(packet)
            self._packet = packet
        for blob in blobs:
            self._bridge.blob(blob)
        # one statement: an interrupt can't leave a taken packet uncounted
        submits, self.packets = self._submit(nbytes), self.packets + 1
        self.stopped = self._bridge.stopped if not submits else -1
        return int(submits)

    def compile_soon(self, pipeline: Pipeline) -> None:
        """Compile a pipeline in the background."""
        self._bridge.compileSoon(*_text(pipeline))

    def _foresee(self, pipeline: Pipeline) -> None:
        self._bridge.foresee(*_text(pipeline))

    def compiling(self) -> int:
        """Return how many pipelines are compiled in the background; -1 if one of the last failed."""
        return int(self._bridge.compiling())

    def give_up(self, token: int) -> None:
        """Cancel a read."""
        self._done(token)

    def can_block(self) -> bool:
        """Whether Python can wait for a promise here."""
        return can_block()

    def read(self, token: int, timeout: float) -> bytes:
        """Wait for a read's bytes; raise WouldBlockError if Python cannot wait."""
        n = self._serve(token)
        if n == _COMING:
            n = self._served(token, self._stand(token, timeout), timeout)
        return self._bytes(token, n)

    async def read_async(self, token: int, timeout: float) -> bytes:
        """Return a read's bytes without blocking."""
        n = self._serve(token)
        if n == _COMING:
            n = self._served(token, await self._wait(token, timeout * 1000), timeout)
        return self._bytes(token, n)

    def _stand(self, token: int, timeout: float) -> int:
        """Wait for a read, or for all if it is -1; if waiting is impossible, raise before that."""
        from pyodide.ffi import run_sync

        if not can_block():
            raise WouldBlockError(
                "Python cannot wait for the GPU here: use the awaitable form, or call this from "
                "code that was started asynchronously (runPythonAsync, an async function)"
            )
        code: int = run_sync(_Ending(self._block, token, timeout * 1000))
        return code

    def _served(self, token: int, code: int, timeout: float) -> int:
        n: int = self._serve(token) if code == _DONE else _COMING
        if n == _COMING:
            self._done(token)
            raise _error(_LOST if code == _DONE else code, f"read {token}", timeout)
        return n

    def _bytes(self, token: int, n: int) -> bytes:
        if n >= 0:
            return bytes(self._tray[:n])
        data: bytes = self._take(token).to_bytes()
        self._done(token)
        return data

    def synchronize(self, timeout: float) -> None:
        """Wait until everything submitted has run and its faults are known."""
        code = self._stand(-1, timeout)
        if code != _DONE:
            raise _error(code, "synchronize", timeout)

    async def synchronize_async(self, timeout: float) -> None:
        """Do what `synchronize` does, without blocking."""
        code = await self._bridge.settle(timeout * 1000)
        if code != _DONE:
            raise _error(code, "synchronize", timeout)

    def faults(self) -> list[Fault]:
        """Return the faults since the last call."""
        if not self._fault_count():
            return []
        return [Fault(**fault) for fault in self._bridge.takeFaults().to_py()]

    def keep(self, text: str) -> None:
        """Keep a text for the next session, in the browser's database."""
        self.kept = text
        self._bridge.keep(text)

    def close(self) -> None:
        """Release the device."""
        self._bridge.close()
        self._packet = None


def _text(its: Pipeline) -> tuple[str, str, str, str]:
    return its.label, its.source, its.bindings, json.dumps(dict(its.overrides))


class _Ending:
    """The end of something in JavaScript, for `run_sync`.

    Pyodide makes a future of a promise, which takes four turns of the browser's event loop to be done. This has
    what `run_sync` needs of a future, and JavaScript calls back at once.
    """

    _asyncio_future_blocking = False

    def __init__(self, start: Any, *arguments: float) -> None:
        self._start = start
        self._arguments = arguments

    def __await__(self) -> Generator[Any, None, int]:
        """Say that it can be awaited."""
        raise NotImplementedError

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        """Begin."""
        from pyodide.ffi import create_once_callable

        self._start(*self._arguments, create_once_callable(callback))


def _error(code: int, what: str, timeout: float) -> HostError:
    if code == _DEADLINE:
        return DeadlineError(f"{what}: no answer from the device within {timeout:g} s")
    if code == _LOST:
        return DeviceLostError("the device is lost")
    return HostError(f"{what} failed with the packet it was in")


def _hello(hello: dict[str, Any]) -> Hello:
    given = (hello["protocol"], hello["language"], hello["limits"], frozenset(hello["features"]))
    return Hello(*given, tuple(hello["routines"]), Adapter(**hello["adapter"]))


def can_block() -> bool:
    """Whether Python can wait for a promise here, by JavaScript Promise Integration."""
    from pyodide.ffi import can_run_sync

    return bool(can_run_sync())


def has_webgpu() -> bool:
    """Whether this browser has WebGPU."""
    import js

    return bool(getattr(getattr(js, "navigator", None), "gpu", None))


@functools.cache
def bridge_source() -> str:
    """Join the bridge's files into the text of one script, whose value is its function `connect`.

    JavaScript can't import files of a Python package, because they have no URL; and what has one without
    being a file (`blob:`, `data:`) some engines import and others don't.
    """
    modules = re.compile(r"^(?:import\b.*?;\n|export )", re.MULTILINE | re.DOTALL)
    parts = (modules.sub("", _file(name)) for name in _MODULES)
    return "\n".join(('"use strict";', *parts, "connect;", "//# sourceURL=tabgrad-bridge.js"))


def _file(name: str) -> str:
    try:
        data = pkgutil.get_data("tabgrad", f"_bridge/{name}")
    except OSError:
        data = None
    if data is None:
        # in a checkout the bridge is with the pages
        data = (Path(__file__).parents[3] / "web" / "bridge" / name).read_bytes()
    return data.decode()


async def connect_async(diagnose: bool = False) -> BrowserHost:
    """Open the browser's fastest device."""
    import pyodide_js
    from pyodide.code import run_js
    from pyodide.ffi import JsException

    try:
        bridge = await run_js(bridge_source())(pyodide_js._module, diagnose)
    except JsException as error:
        raise DeviceError(f"no WebGPU device: {error}. Use device 'cpu'") from None
    return BrowserHost(bridge)


def wait(promise: Any) -> Any:
    """Block until an awaitable has its result, and return that; see `can_block`."""
    from pyodide.ffi import run_sync

    return run_sync(promise)
