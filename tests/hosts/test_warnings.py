"""A warning names the line of the program that led to it, however deep in tabgrad it is made."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.core import errors
from tabgrad.hosts.devices import device as device_of
from tests.grouped import grouped


def resized() -> None:
    tg.add(tg.ones(3), tg.ones(3), out=tg.ones(2))


def duplicated() -> None:
    p = nn.Parameter(tg.ones(2))
    tg.optim.SGD([p, p], lr=0.1)


def early() -> None:
    optimizer = tg.optim.SGD([nn.Parameter(tg.ones(2))], lr=0.1)
    tg.optim.lr_scheduler.StepLR(optimizer, 1).step()


def no_operation() -> None:
    nn.Sequential(nn.Sequential(nn.Linear(2, 2, device="meta"))).load_state_dict(
        nn.Sequential(nn.Sequential(nn.Linear(2, 2))).state_dict()
    )


def shortened() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A window was not provided")
        found = tg.stft(tg.rand(64), 16, return_complex=True)
    tg.istft(found, 16, window=tg.ones(16), length=99)


WARNINGS: dict[str, Callable[[], Any]] = {
    "range": lambda: tg.range(1, 3),
    "resized out": resized,
    "grad of an inner tensor": lambda: (tg.ones(2, requires_grad=True) * 2).grad,
    "coarse gradcheck": lambda: tg.autograd.gradcheck(
        tg.sin, tg.ones(1, requires_grad=True), eps=1e-2, atol=1e-2
    ),
    "duplicate parameters": duplicated,
    "early scheduler": early,
    "load into meta": no_operation,
    "no window": lambda: tg.stft(tg.rand(64), 16, return_complex=True),
    "padded istft": shortened,
    "old initialiser": lambda: nn.init.uniform(tg.ones(2)),
    "old loss": nn.NLLLoss2d,
    "old container": lambda: nn.Container(a=nn.ReLU()),
    "old clip": lambda: nn.utils.clip_grad_norm([], 1.0),
    "upsample": lambda: nn.functional.upsample(tg.ones(1, 1, 2, 2), 4),
    "decorated class": lambda: tg.no_grad()(type("Inner", (), {})),
}


@grouped("name", WARNINGS)
def test_it_names_the_line_of_the_program(name: str) -> None:
    with tg.device("cpu"), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        WARNINGS[name]()
    assert seen
    assert {one.filename for one in seen} == {__file__}


@pytest.mark.one_host("wgpu")
def test_of_a_dtype_that_the_device_lacks() -> None:
    where = device_of("webgpu")
    makers: list[Callable[[], Any]] = [
        lambda: tg.ones(2, dtype=tg.float64, device="webgpu"),
        lambda: tg.tensor([1.0], dtype=tg.float64, device="webgpu"),
        lambda: tg.ones(2, device="webgpu").to(tg.float64),
        lambda: tg.ones(2, device="webgpu").double(),
        lambda: tg.ones(2, device="webgpu").sum(dtype=tg.float64),
        lambda: tg.ones(2, device="webgpu").cumsum(0, dtype=tg.float64),
        lambda: tg.softmax(tg.ones(2, device="webgpu"), 0, dtype=tg.float64),
    ]
    for make in makers:
        where._warned = False
        with pytest.warns(UserWarning, match="has no float64") as caught:
            make()
        assert [one.filename for one in caught] == [__file__]


def test_no_module_counts_frames_itself() -> None:
    home = Path(errors.__file__)
    folders = [home.parents[1], Path(sys.modules["tabgrad"].__file__ or "").parents[2] / "native"]
    counted = [
        str(path)
        for folder in folders
        for path in folder.rglob("*.py")
        if path != home and re.search(r"warnings\.warn\(|\bstacklevel=", path.read_text("utf-8"))
    ]
    assert not counted
