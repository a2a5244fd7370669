"""Which host the tests run on, known failures, and a guard against state left behind."""

from __future__ import annotations

import fnmatch
import gc
import pathlib
import sys
from collections.abc import Iterator

import pytest

from tests import collected, grouped

pytest_plugins = ["tests.parallel"]
TESTS = pathlib.Path(__file__).parent
DEVICES = {"reference": "cpu", "wgpu": "webgpu", "cuda": "cuda", "browser": "webgpu"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--host",
        choices=tuple(DEVICES),
        default="reference",
        help="the host that tests run on; one that is asked for and absent is an error",
    )
    parser.addoption(
        "--engine",
        choices=("chromium", "firefox", "deno", "node"),
        default="chromium",
        help="what runs Python with --host=browser",
    )
    parser.addoption("--case", help="of tests with many cases, run those with this in their ids")


def require_wgpu(config: pytest.Config) -> str:
    """Say which adapter wgpu-py gives; raise where there is none."""
    import wgpu

    info = wgpu.gpu.request_adapter_sync().info
    return f"{info['device']} ({info['backend_type']}, {info['adapter_type']})"


def require_cuda(config: pytest.Config) -> str:
    """Say which CUDA device CuPy gives; raise where there is none."""
    import cupy

    name: bytes = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    return name.decode()


def require_browser(config: pytest.Config) -> str:
    """Say which engine is used; raise where there is none."""
    from tests.web.engine import noted

    return str(noted(config.getoption("--engine")))


def pytest_configure(config: pytest.Config) -> None:
    if collected.COLLECTING and config.getoption("--host") == "wgpu":
        collected.collect()


NEEDED = {"wgpu": require_wgpu, "cuda": require_cuda, "browser": require_browser}


def pytest_report_header(config: pytest.Config) -> str:
    host = config.getoption("--host")
    if host not in NEEDED:
        return f"host: {host}"
    try:
        return f"host: {host}, {NEEDED[host](config)}"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise pytest.UsageError(f"--host={host} was asked for and is not here. {reason}") from error


def hosts_of(item: pytest.Item) -> set[str]:
    """The hosts a test can run on; a test without a marker needs none and runs with `reference`."""
    if TESTS / "web" in item.path.parents:
        return {"browser"}
    if item.get_closest_marker("every_host"):
        return {"reference", "wgpu", "cuda"}
    named = {name for mark in item.iter_markers("one_host") for name in mark.args}
    return named or {"reference"}


def known_failures(name: str) -> list[tuple[str, str]]:
    """Read `xfails/<name>.txt`, of a host or an engine: a pattern of test ids, ` # ` and a reason."""
    path = TESTS / "xfails" / f"{name}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    entries = [line.partition(" # ")[::2] for line in lines if line and not line.startswith("#")]
    for pattern, reason in entries:
        if not reason.strip():
            raise pytest.UsageError(f"{path.name}: {pattern} stands there without a reason")
    return [(pattern.strip(), reason.strip()) for pattern, reason in entries]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    host = config.getoption("--host")
    elsewhere = [item for item in items if host not in hosts_of(item)]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if host in hosts_of(item)]
    name = config.getoption("--engine") if host == "browser" else host
    config.stash[grouped.KNOWN] = known_failures(name)
    for pattern, reason in config.stash[grouped.KNOWN]:
        for item in items:
            if fnmatch.fnmatchcase(item.nodeid, pattern):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_collection_finish() -> None:
    """Spare the collector of cycles thousands of tests, which it would look through all the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def collector_is_spared() -> None:
    """Spare it what earlier modules have left too: a capture collects each time, all that is not frozen."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def host_name(pytestconfig: pytest.Config) -> str:
    """The host that --host names."""
    return str(pytestconfig.getoption("--host"))


@pytest.fixture(scope="session")
def device(host_name: str) -> str:
    """The device of that host: "cpu", "webgpu" or "cuda"."""
    return DEVICES[host_name]


@pytest.fixture(scope="session", autouse=True)
def lowering_is_verified() -> None:
    """Look at what each stage of lowering leaves for the next one."""
    from tabgrad.lower import verify

    verify.ON = True


@pytest.fixture(autouse=True)
def default_device(host_name: str) -> None:
    """Let what names no device live on that of the host."""
    import tabgrad

    tabgrad.set_default_device(DEVICES[host_name])


@pytest.fixture(autouse=True)
def no_mode_left_behind() -> Iterator[None]:
    """Fail a test that leaves an interpreter, or a switched grad mode, on the stack."""
    yield
    overrides = sys.modules.get("tabgrad.overrides")
    if overrides is not None:
        overrides.deactivate()  # a subclass of Tensor that a test made is asked no more
    trace = sys.modules.get("tabgrad.core.trace")
    if trace is None:
        return
    mode = trace.MODE.get()
    assert not mode.levels, f"the test left interpreters behind: {mode.levels}"
    assert mode.grad, "the test left grad mode switched off"


@pytest.fixture(scope="session", autouse=True)
def chains_at_once() -> Iterator[None]:
    """Let each function that may run as a chain on small tensors do so from its first call."""
    from tabgrad.tensor.chained import Waiting

    before = Waiting.calls
    Waiting.calls = 1
    yield
    Waiting.calls = before
