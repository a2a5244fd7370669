"""What every page relies on: the wheel imports without NumPy, Python may block, WebGPU is there."""

from __future__ import annotations

import os
import sys
import time

from tests.web.inside.marks import alone, main_thread, numpy


@numpy
@main_thread
def test_thread_and_numpy_are_as_asked(device):
    import js

    assert ("numpy" in sys.modules or _has_numpy()) == (device == "cpu")
    assert hasattr(js, "navigator")


def _has_numpy() -> bool:
    import importlib.util

    return importlib.util.find_spec("numpy") is not None


@main_thread
def test_python_may_block(device):
    import js
    from pyodide.ffi import can_run_sync, run_sync

    assert can_run_sync()
    assert run_sync(js.Promise.resolve(3)) == 3


@main_thread
async def test_there_is_an_adapter(device):
    import js

    adapter = await js.navigator.gpu.requestAdapter()
    info = adapter.info
    assert info.architecture == "swiftshader" or info.isFallbackAdapter or "llvmpipe" in info.device


MODULES, BYTES = 110, 790_000
"""What `import tabgrad` may load: compiling it is nearly all of the time that a page waits for it."""


@alone
def test_import_loads_only_what_it_needs(device):
    before = {name for name in sys.modules if name.partition(".")[0] in ("tabgrad", "numpy")}
    assert not before
    start = time.perf_counter()
    import tabgrad  # noqa: F401

    took = time.perf_counter() - start
    loaded = [m for name, m in sys.modules.items() if name.partition(".")[0] == "tabgrad"]
    size = sum(os.path.getsize(m.__file__) for m in loaded)
    print(f"import tabgrad: {1000 * took:.0f} ms, {len(loaded)} modules, {size} bytes")
    assert len(loaded) <= MODULES
    assert size <= BYTES
    assert "numpy" not in sys.modules
