"""`python -m tabgrad`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tabgrad as tg
from tabgrad import __main__ as command


def test_info_names_versions_and_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["info"]) == 0
    told = capsys.readouterr().out
    assert f"tabgrad       {tg.__version__}" in told
    assert "device cpu\n  language    NumPy" in told
    for kind in ("webgpu", "cuda"):
        assert f"device {kind}" in told


def test_info_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["devices"]) == {"cpu", "webgpu", "cuda"}
    assert facts["versions"]["tabgrad"] == tg.__version__


@pytest.mark.one_host("wgpu")
def test_info_describes_the_adapter() -> None:
    about = command.device("webgpu")
    assert about["language"] == "wgsl"
    assert about["adapter"]["name"]
    assert about["limits"]["max_buffer_size"] >= 1 << 28


@pytest.mark.one_host("wgpu")
def test_kernels_prints_what_was_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tabgrad.utils.benchmark import kernels

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backend = tg.device("webgpu").backend
    monkeypatch.setattr(backend, "known", None)
    monkeypatch.setattr(backend, "probe", None)
    backend.plans.clear()
    x = tg.rand(40, 24, device="webgpu")
    monkeypatch.setattr(kernels, "work", lambda device: iter([lambda: x.mT @ x]))
    assert command.main(["kernels"]) == 0
    assert eval("{" + capsys.readouterr().out + "}").popitem()[1] == {}
    assert command.main(["kernels", "--measure", "100"]) == 0
    ((adapter, answers),) = eval("{" + capsys.readouterr().out + "}").items()
    assert adapter.endswith(f"| {backend.host.hello.adapter.device}".lower())
    assert list(answers) == ["product float32 1 32 32 64 --"]
    assert tg.backends.webgpu.benchmark is None
    backend.plans.clear()


def test_a_device_that_is_not_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "tabgrad[cuda]" in command.device("cuda")["error"]
    told = command.text({"versions": {}, "devices": {"cuda": {"error": "no such thing"}}})
    assert told == "\ndevice cuda: not available\n  no such thing"


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tabgrad", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "info" in done.stdout
    bare = subprocess.run(
        [sys.executable, "-m", "tabgrad"], capture_output=True, text=True, timeout=60
    )
    assert bare.returncode == 2
    assert "usage: python -m tabgrad" in bare.stdout
