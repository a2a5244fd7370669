"""Maps on a software adapter: a thread computes several elements that lie side by side."""

from __future__ import annotations

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.lower import recorder

SIZES = (
    (1,),
    (63,),
    (4097,),
    (32768,),
    (32771,),
    (300000,),
    (1031, 263),
    (3, 65537),
    (8, 33, 1201),
)
"""One element a thread and several, with each number left over, one grid line of workgroups and more."""


@pytest.mark.every_host
@grouped("shape", SIZES, sampled=1)
def test_every_element_is_computed(shape: tuple[int, ...], device: tg.device) -> None:
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 1021
    x = tg.tensor(data, device=device)
    for dtype in (tg.float32, tg.int32):
        y, want = x.to(dtype), tg.tensor(data, device="cpu").to(dtype)
        assert tg.equal((y + y).cpu(), want + want)
        turned = want.movedim(0, -1).flip(0)
        assert tg.equal((y.movedim(0, -1).flip(0) * 2).cpu(), turned * 2)
    assert tg.equal((x > 500).cpu(), tg.tensor(data > 500, device="cpu"))


def test_large_maps_have_fewer_threads() -> None:
    device = recorder.device()
    x, y = tg.rand(1 << 20, device=device), tg.rand(1000, device=device)
    device.backend.flush()
    (kernel,) = tg.compiler.explain(x + x).kernels
    assert kernel.grid == (1024, 1, 1)
    (kernel,) = tg.compiler.explain(y + y).kernels
    assert kernel.grid == (16, 1, 1)
    device.backend.limits.software = False
    (kernel,) = tg.compiler.explain(x + x).kernels
    assert kernel.grid == (16384, 1, 1)
