"""Tensors of the CPU whose elements several processes have: what one writes all see."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

TIMES = 40


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def work(k: int, total: Any, lock: Any, rows: Any, model: Any) -> None:
    """Add to a total under a lock, to a row of one's own without one, and train a model."""
    for _ in range(TIMES):
        with lock:
            total += 1
        rows[k] += 1
    optimizer = tg.optim.SGD(model.parameters(), lr=0.05)
    x = tg.cat([tg.eye(3), -tg.eye(3)]) * 3
    for _ in range(60):
        optimizer.zero_grad()
        (model(x) - x.sum(1, keepdim=True)).pow(2).mean().backward()
        optimizer.step()


def answer(received: Any, sent: Any) -> None:
    """Write to what comes, send back one of the tensors, and wait until it has arrived."""
    whole, column, bits, weight, plain = received.get()
    assert whole.is_shared()
    assert not plain.is_shared()
    kind = type(weight), weight.is_leaf, weight.requires_grad
    assert kind == (tg.nn.Parameter, True, True)
    column[0] = -5.0
    bits.view(tg.float32)[2] = 7.0
    plain.zero_()
    with tg.no_grad():
        weight.mul_(2)
    sent.put((whole[1], weight.tag))
    received.get()


def finished(processes: list[Any]) -> None:
    for p in processes:
        p.join(60)
        assert p.exitcode == 0


def test_processes_write_to_the_same_elements() -> None:
    context = multiprocessing.get_context("fork")
    total, rows = tg.zeros(3).share_memory_(), tg.zeros(2, 4000).share_memory_()
    view, last, model = rows[1], total.detach()[2:], tg.nn.Linear(3, 1).share_memory()
    before = [p.clone() for p in model.parameters()]
    lock = context.Lock()
    processes = [context.Process(target=work, args=(k, total, lock, rows, model)) for k in range(2)]
    for p in processes:
        p.start()
    finished(processes)
    assert total.tolist() == [2 * TIMES] * 3
    assert last.tolist() == [2 * TIMES]
    # no process has undone what the other wrote beside it
    assert (rows == TIMES).all()
    assert (view == TIMES).all()
    assert all(not tg.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert tg.allclose(model.weight, tg.ones(1, 3), atol=0.05)
    assert model.weight.grad is None


def test_shared_tensors_travel_as_what_they_are() -> None:
    context = multiprocessing.get_context("spawn")
    x = tg.arange(6.0).reshape(2, 3).share_memory_()
    weight = tg.nn.Parameter(tg.ones(2)).share_memory_()
    weight.tag = "mine"
    to, back = context.Queue(), context.Queue()
    p = context.Process(target=answer, args=(to, back))
    p.start()
    plain = tg.ones(2)
    to.put((x, x[:, 1], x.view(tg.int32).view(-1), weight, plain))
    row, tag = back.get(timeout=60)
    to.put(None)
    finished([p])
    assert x.tolist() == [[0, -5, 7], [3, 4, 5]]
    assert weight.tolist() == [2, 2]
    assert plain.tolist() == [1, 1]
    assert tag == "mine"
    row.neg_()
    assert x[1].tolist() == [-3, -4, -5]


def test_what_is_shared_here() -> None:
    x = tg.arange(6.0).reshape(2, 3)
    array, part = x.numpy(), x[0]
    assert not x.is_shared()
    assert x.share_memory_() is x
    assert x.share_memory_().is_shared()
    assert part.is_shared()
    assert x.untyped_storage().is_shared()
    assert not x.clone().is_shared()
    assert not copy.deepcopy(x).is_shared()
    assert not pickle.loads(pickle.dumps(x)).is_shared()
    x[0, 1] = 9
    assert part.tolist() == x.numpy()[0].tolist() == [0, 9, 2]
    assert array[0, 1] == 1
    x.numpy()[1] = -0.0
    assert np.signbit(x[1].numpy()).all()
    for y in (
        tg.zeros(0),
        tg.ones(3, dtype=tg.bfloat16),
        tg.tensor([True, False]),
        tg.ones(2) * 1j,
    ):
        kept = y.clone()
        assert tg.equal(y.share_memory_(), kept)
        y.copy_(kept.logical_not().to(y.dtype))
        assert tg.equal(y, kept.logical_not().to(y.dtype))


def test_memory_is_given_back_and_refusals() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    tensors = [tg.zeros(3).share_memory_() for _ in range(5)]
    del tensors
    gc.collect()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(NotImplementedError, match="on meta; share one on the CPU"):
        tg.zeros(2, device="meta").share_memory_()
    y = tg.ones(2, requires_grad=True) * 2
    y.share_memory_()
    with pytest.raises(GradientError, match=r"send x\.detach\(\)"):
        multiprocessing.reduction.ForkingPickler.dumps(y)
