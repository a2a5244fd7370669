"""What kills an interpreter in a browser: long chains, a heap that grows, a device that goes away."""

from __future__ import annotations

import gc

from tests.web.inside.marks import alone, deadline, numpy


@numpy
@deadline(240)
def test_a_chain_of_a_hundred_thousand_ops(device):
    import tabgrad as tg

    before = tg.profiler.memory().buffers
    x = tg.tensor([1.0, 2.0], device=device, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    y.sum().backward()
    factor = 1.00001**100_000
    assert all(abs(g / factor - 1) < 2e-2 for g in x.grad.tolist())
    del x, y
    gc.collect()
    assert tg.profiler.memory().buffers <= before


@deadline(120)
def test_the_heap_may_grow_while_packets_are_written(device):
    import tabgrad as tg

    x = tg.ones(8, device=device)
    kept = []
    for i in range(8):
        kept.append(bytearray(64 << 20))
        x = x + i
        assert x.tolist() == [1.0 + sum(range(i + 1))] * 8
    assert len(kept) == 8


@alone
@deadline(120)
def test_shapes_that_do_not_come_back_are_forgotten(device):
    import tabgrad as tg
    from tabgrad.hosts import eviction

    eviction.MOST_PLANS = 8
    for n in (*range(1, 24), *range(1, 24)):
        assert tg.ones(n, device=device).cumsum(0).sum().item() == n * (n + 1) / 2
    backend = tg.device(device).backend
    assert len(backend.plans) <= 8
    assert len(backend.pipelines) <= 16


@alone
@deadline(120)
def test_a_lost_device_is_said_and_a_new_one_can_be_made(device):
    import tabgrad as tg
    from tabgrad.core.errors import DeviceLostError

    x = tg.ones(4, device=device)
    assert (x + 1).tolist() == [2.0] * 4
    tg.device(device).backend.host.close()
    assert error_of(lambda: (x * 3).tolist(), DeviceLostError)
    y = tg.ones(4, device=device)
    assert (y + 2).tolist() == [3.0] * 4
    assert "lost" in error_of(lambda: x + y, DeviceLostError)


def error_of(call, kind):
    """What `call` raises, as text; empty if it does not raise."""
    try:
        call()
    except kind as error:
        return str(error)
    return ""
