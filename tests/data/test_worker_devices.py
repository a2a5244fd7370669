"""Worker processes of a program that has a GPU open."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.utils.data import DataLoader, TensorDataset
from tests.data.examples import Made

pytestmark = [
    pytest.mark.one_host("wgpu"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def test_workers_make_tensors_on_the_cpu_and_the_caller_moves_them(device: str) -> None:
    w = tg.ones(2, device=device)
    with tg.device(device):
        loader = DataLoader([[1.0, 2.0], [3.0, 4.0]], num_workers=2, multiprocessing_context="fork")
        for k, batch in enumerate(loader):
            got = tg.stack(batch)
            assert got.device == tg.device("cpu")
            w = w + got[:, 0].to(device)
            assert k < 2
    assert w.tolist() == [5, 7]


def test_tensors_on_the_device_do_not_survive_a_fork(device: str) -> None:
    x = tg.arange(4.0, device=device)
    y = x * 3
    loader = DataLoader(TensorDataset(x), 2, num_workers=1, multiprocessing_context="fork")
    for _ in range(2):
        with pytest.raises(tg.DeviceError, match=r"(?s)in DataLoader worker process 0.*spawn"):
            next(iter(loader))
    assert [b[0].tolist() for b in DataLoader(TensorDataset(x), 2)] == [[0, 1], [2, 3]]
    assert y.tolist() == [0, 3, 6, 9]


def test_a_fork_while_another_thread_has_the_device(device: str) -> None:
    """The child drops what it has inherited, and goes on."""
    x = tg.ones(3, device=device)
    backend: Any = x.device.backend
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with backend.graph.lock, tg.core.locks.WRITING:
            held.set()
            go.wait(30)

    def make() -> Any:
        nonlocal x
        del x
        kept = tg.ones(2)
        kept.add_(1)
        return kept.requires_grad_().sum().item(), tg.rand(2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        loader = DataLoader(
            Made(make, 1), None, num_workers=1, timeout=20, multiprocessing_context="fork"
        )
        ((total, drawn),) = loader
    finally:
        go.set()
        thread.join()
    assert total == 4
    assert drawn.device == tg.device("cpu")
    assert (x + 1).tolist() == [2, 2, 2]


def test_a_loader_in_a_thread(device: str) -> None:
    found: list[Any] = []

    def run() -> None:
        loader = DataLoader([1, 2, 3], num_workers=1, multiprocessing_context="fork")
        found.extend(batch.to(device).tolist() for batch in loader)

    tg.ones(1, device=device).tolist()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert found == [[1], [2], [3]]


def test_a_sampler_may_yield_tensors_of_the_device(device: str) -> None:
    order = tg.tensor([3, 1, 2, 0], device=device)
    data = Made(lambda: tg.get_default_device().type, 4)
    assert list(DataLoader(data, 2, sampler=order, num_workers=1)) == [["cpu", "cpu"]] * 2  # type: ignore[arg-type]
    rows = TensorDataset(tg.arange(4.0, device="cpu"))
    for workers in (0, 1):
        loader = DataLoader(rows, 2, sampler=order, num_workers=workers)  # type: ignore[arg-type]
        assert [b[0].tolist() for b in loader] == [[3, 1], [2, 0]]


def test_interrupts_are_raised_once_and_leave_no_worker(device: str) -> None:
    """With a device open there are other threads, which may take the signal while a worker starts."""
    assert tg.ones(3, device=device).sum().item() == 3
    data = Made(lambda: tg.ones(3, device="cpu"), 12)

    def once() -> None:
        list(DataLoader(data, 2, num_workers=2, multiprocessing_context="fork"))

    def for_ever() -> None:
        while True:
            once()

    once()
    before = len(os.listdir("/dev/fd"))
    source = (
        "import os, signal, sys, time\n"
        f"for line in sys.stdin: time.sleep(float(line)); os.kill({os.getpid()}, signal.SIGINT)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, text=True, start_new_session=True
    ) as sender:
        assert sender.stdin is not None
        for k in range(25):
            sender.stdin.write(f"{0.002 + 0.004 * k}\n")
            sender.stdin.flush()
            with pytest.raises(KeyboardInterrupt):
                for_ever()
        sender.stdin.close()
    gc.collect()
    assert not multiprocessing.active_children()
    assert len(os.listdir("/dev/fd")) == before
