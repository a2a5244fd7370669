"""Programs as people write them for PyTorch run unmodified, and print what PyTorch prints.

The programs are in `scripts/`; each is run under the alias on the CPU, and on the accelerator of the host: one
that asks for "cuda" takes it, one that names no device has it as default device.
`record.py` wrote `expected.json`.
"""

from __future__ import annotations

import json
import math
import pathlib
import re
from collections.abc import Iterator

import pytest

import tabgrad as tg
from tabgrad.core import settings
from tabgrad.hosts import devices
from tests.grouped import grouped
from tests.programs.running import EXPECTED, SCRIPTS, printed

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)(?![\w])")
CLOSE = {"cpu": 2e-4, "webgpu": 1e-3, "cuda": 1e-3}
"""How far a printed number may be away, absolutely and relatively: sums of float32 in another order."""


@pytest.fixture
def torch(device: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the alias in place, with no accelerator where the tests are for the CPU."""
    if device == "cpu":
        monkeypatch.setattr(devices, "best_accelerator", lambda: None)
        monkeypatch.setattr(tg.accelerator, "best_accelerator", lambda: None)
        tg.set_default_device(None)
    with tg.as_torch():
        yield
    settings.restore()


def parts(text: str) -> tuple[list[float], str]:
    """Split what was printed into its numbers and the rest, without devices and names of ops."""
    text = re.sub(r",\s+device='[\w:]+'|grad_fn=<\w+>| \((webgpu|cuda)\)", "", text)
    numbers = [float(n) for n in NUMBER.findall(text)]
    return numbers, " ".join(NUMBER.sub("#", text).split())


def without_64_bits(text: str) -> str:
    """Return the text as a device prints it that has no 64-bit dtypes: WebGPU."""
    text = re.sub(r",\s+dtype=torch\.(int32|float64)", "", text)
    return text.replace("torch.int64", "torch.int32").replace("torch.float64", "torch.float32")


def compare(told: str, expected: str, close: float) -> None:
    """Compare what two runs printed."""
    numbers, text = parts(told)
    wanted, wanted_text = parts(expected)
    assert text == wanted_text, told
    for a, b in zip(numbers, wanted, strict=True):
        same = a == b or (math.isnan(a) and math.isnan(b))
        assert same or abs(a - b) <= close * max(1.0, abs(b)), (
            f"{a} is not {b}:\n{told}\n{expected}"
        )


@pytest.mark.every_host
@grouped("path", SCRIPTS, ids=lambda path: path.stem, size=16, sampled=2)
def test_it_prints_what_pytorch_prints(path: pathlib.Path, torch: None, device: str) -> None:
    expected = json.loads(EXPECTED.read_text("utf-8"))[path.stem]
    if device != "cpu":
        tg.set_default_device(device)
    told = printed(path)
    if device == "webgpu":
        told, expected = without_64_bits(told), without_64_bits(expected)
    compare(told, expected, CLOSE[device])


def test_all_are_recorded() -> None:
    assert {path.stem for path in SCRIPTS} == set(json.loads(EXPECTED.read_text("utf-8")))
    assert len(SCRIPTS) >= 60


def test_numbers_are_compared() -> None:
    compare("loss 1.00005, tensor([1., 2.])", "loss  1.0, tensor([1., 2.])", 2e-4)
    for other in ("loss 1.1 a", "loss 1.0 b", "loss 1.0 2 a", "loss nan a", "lose 1.0 a"):
        with pytest.raises((AssertionError, ValueError)):
            compare(other, "loss 1.0 a", 2e-4)
