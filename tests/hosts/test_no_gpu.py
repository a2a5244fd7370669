"""Where no GPU can be used, the default device is the CPU, and the user is told why."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError
from tabgrad.hosts import devices, host

REASON = "WebGPU found no adapter:\n  the driver\n  is missing.\n"


@pytest.fixture
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a package for GPUs, on which no device was used yet."""
    monkeypatch.setattr(host, "available", lambda: ())
    monkeypatch.setattr(devices, "_DEVICES", {})
    monkeypatch.setattr(devices, "_REASONS", {})
    monkeypatch.setattr(devices._Default, "chosen", None)


@pytest.fixture
def no_gpu(no_extras: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose package for WebGPU is there, but finds nothing."""

    def connect(kind: str, **_: object) -> None:
        raise DeviceError(REASON)

    monkeypatch.setattr(host, "available", lambda: ("webgpu",))
    monkeypatch.setattr(host, "connect", connect)


@pytest.mark.usefixtures("no_gpu")
def test_the_cpu_is_the_default_and_one_warning_says_why() -> None:
    with pytest.warns(UserWarning, match="no adapter: the driver is missing\\): tensors") as caught:
        assert tg.ones(2).device.type == "cpu"
    assert [warning.filename for warning in caught] == [__file__]
    assert tg.zeros(2).device.type == "cpu"  # a second warning would be an error here
    assert not tg.accelerator.is_available()


@pytest.mark.usefixtures("no_gpu")
def test_nothing_is_said_where_the_cpu_was_chosen() -> None:
    with tg.device("cpu"):
        assert tg.ones(2).device.type == "cpu"


@pytest.mark.usefixtures("no_gpu")
def test_without_numpy_the_error_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"the driver is missing.*micropip") as caught:
        tg.ones(2)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_extras")
def test_a_machine_without_extras_for_gpus_is_told_nothing() -> None:
    assert tg.ones(2).device.type == "cpu"


@pytest.mark.one_host("wgpu")
def test_drivers_that_look_for_a_screen_print_nothing() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    program = (
        "import os, tabgrad as tg; tg.ones(1, device='webgpu').item(); "
        "print('XDG_RUNTIME_DIR' in os.environ)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
