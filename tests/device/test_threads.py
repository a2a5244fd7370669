"""A device used by several threads, as PyTorch's can be: each gets what it would have got alone."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.utils.checkpoint import checkpoint

pytestmark = pytest.mark.one_host("wgpu", "cuda")
F = nn.functional
RUNS = 3


def model(seed: int, device: str) -> Any:
    rng = np.random.default_rng(seed)
    made = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to(device)
    with tg.no_grad():
        for p in made.parameters():
            p.copy_(tg.tensor(rng.standard_normal(p.shape).astype("float32") * 0.3, device=device))
    return made


def batch(rng: Any, device: str) -> tuple[Any, Any]:
    x, y = rng.standard_normal((5, 8)), rng.standard_normal((5, 4))
    return (
        tg.tensor(x.astype("float32"), device=device),
        tg.tensor(y.astype("float32"), device=device),
    )


def train(seed: int, device: str, compiled: bool, n: int = 12) -> list[Any]:
    net, rng = model(seed, device), np.random.default_rng(seed)
    opt = tg.optim.Adam(net.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        opt.step()
        return loss.detach()

    run = tg.compile(step) if compiled else step
    losses = [run(*batch(rng, device)).item() for _ in range(n)]
    return [losses, *[p.tolist() for p in net.parameters()]]


def together(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Return what the jobs return, each run by a thread of its own; an exception is a result too."""
    results: list[Any] = [None] * len(jobs)

    def run(i: int) -> None:
        try:
            results[i] = jobs[i]()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "waits for ever"
    return results


@pytest.mark.parametrize("compiled", [False, True])
def test_four_train_a_model_each_to_the_same_bits(device: str, compiled: bool) -> None:
    alone = [train(seed, device, compiled) for seed in range(4)]
    for _ in range(RUNS):
        assert (
            together([lambda s=s: train(s, device, compiled) for s in range(4)])  # type: ignore[misc]
            == alone
        )


@pytest.mark.parametrize("compiled", [False, True])
def test_a_pool_infers(device: str, compiled: bool) -> None:
    net = model(0, device).eval()
    call = tg.compile(net) if compiled else net
    inputs = [batch(np.random.default_rng(i), device)[0].numpy() for i in range(200)]

    def infer(x: Any) -> Any:
        with tg.no_grad():
            return call(tg.tensor(x, device=device)).tolist()

    want = [infer(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(infer, inputs)) == want


def test_two_threads_share_a_model(device: str) -> None:
    """Gradients of both arrive: none is lost when they are added up at the same time."""
    net = model(0, device)
    data = [batch(np.random.default_rng(i), device) for i in range(2)]

    def add(x: Any, y: Any) -> None:
        for _ in range(10):
            ((net(x) - y) ** 2).mean().backward()

    for x, y in data:
        add(x, y)
    want = [p.grad.numpy() for p in net.parameters()]
    for _ in range(RUNS):
        net.zero_grad()
        assert together([lambda d=d: add(*d) for d in data]) == [None, None]  # type: ignore[misc]
        for p, grad in zip(net.parameters(), want, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), grad, rtol=1e-4, atol=1e-5)


def test_one_thread_makes_batches_while_another_trains(device: str) -> None:
    want = train(3, device, False)
    net, queue = model(3, device), Queue[Any](maxsize=2)
    opt = tg.optim.Adam(net.parameters(), lr=1e-2)

    def produce() -> None:
        rng = np.random.default_rng(3)
        for _ in range(12):
            x, y = batch(rng, device)
            queue.put((x * 2, y))  # what is recorded here is computed there

    def consume() -> list[float]:
        losses = []
        for _ in range(12):
            x, y = queue.get(timeout=60)
            opt.zero_grad()
            loss = ((net(x / 2) - y) ** 2).mean()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        return losses

    _, losses = together([produce, consume])
    assert losses == pytest.approx(want[0], rel=1e-5)


def test_a_device_is_entered_by_each_thread_for_itself(device: str) -> None:
    where = tg.device(device)

    def enter() -> None:
        for _ in range(30):
            with where, tg.device("cpu"):
                time.sleep(0.0005)
                assert tg.ones(1).device.type == "cpu"

    assert together([enter] * 3) == [None] * 3


def test_writes_in_place_are_added_up(device: str) -> None:
    x, norm = tg.zeros(1, device=device), nn.BatchNorm1d(3).to(device)

    def write() -> None:
        for _ in range(40):
            x.add_(1)
            norm(tg.ones(4, 3, device=device))

    assert together([write] * 4) == [None] * 4
    assert x.item() == 160
    assert norm.num_batches_tracked.item() == 160


def test_random_numbers_are_drawn_once_and_checkpoints_draw_their_own_again(device: str) -> None:
    seen: list[int] = []

    def draw() -> None:
        for _ in range(200):
            seen.append(tg.default_generator.advance())
        for _ in range(5):
            x = tg.ones(500, device=device, requires_grad=True)
            y = checkpoint(lambda v: F.dropout(v * 2, 0.5), x, use_reentrant=False)
            y.sum().backward()
            assert tg.equal(x.grad, y.detach())

    assert together([draw] * 4) == [None] * 4
    assert len(set(seen)) == len(seen)


def test_a_capture_and_writes_of_other_threads_wait_for_each_other_in_one_order(
    device: str,
) -> None:
    def capture() -> None:
        for k in range(40):
            x, w = tg.zeros(3, device=device), tg.ones(3, device=device, requires_grad=True)

            def f(v: Any, x: Any = x, w: Any = w, k: int = k) -> Any:
                x.add_(k)
                (w * v).sum().backward()
                return v + 1

            tg.compile(f)(tg.ones(3, device=device))

    def write() -> None:
        w, y = tg.ones(3, device=device, requires_grad=True), tg.zeros(3, device=device)
        for _ in range(400):
            y.add_(1)
            (w * 2).sum().backward()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        assert together([capture, write, write]) == [None] * 3
    finally:
        sys.setswitchinterval(before)


def test_a_captured_walk_that_goes_on_in_other_threads_takes_the_device_along(device: str) -> None:
    class Nested(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, depth: int) -> Any:
            ctx.depth = depth
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            if ctx.depth:
                with tg.enable_grad():
                    y = tg.ones(2, device=device, requires_grad=True)
                    Nested.apply(y, ctx.depth - 1).sum().backward()
            return grads[0], None

    def f(v: Any) -> Any:
        x = tg.ones(2, device=device, requires_grad=True)
        Nested.apply(x, 60).sum().backward()
        return v + x.grad

    (got,) = together([lambda: tg.compile(f)(tg.ones(2, device=device)).tolist()])
    assert got == [2, 2]


def test_modes_are_those_of_a_thread(device: str) -> None:
    inside, done = threading.Event(), threading.Event()

    def without() -> bool:
        with tg.no_grad():
            inside.set()
            done.wait(60)
            return tg.is_grad_enabled()

    def with_grad() -> bool:
        inside.wait(60)
        seen = tg.is_grad_enabled()
        done.set()
        return seen

    assert together([without, with_grad]) == [False, True]


def test_handles_are_dropped_by_any_thread(device: str) -> None:
    tg.ones(3, device=device).sum().item()
    before = tg.profiler.memory().buffers

    def drop() -> None:
        for i in range(300):
            x = tg.ones(i % 7 + 1, device=device).cumsum(0)
            if i % 50 == 0:
                x.tolist()

    assert together([drop] * 4) == [None] * 4
    tg.accelerator.synchronize()
    assert tg.profiler.memory().buffers <= before + 1


def _wrong(device: str) -> Any:
    return tg.ones(5, device=device)[tg.tensor([7], device=device)]


def _right(device: str) -> Any:
    return tg.arange(5.0, device=device)[tg.tensor([3], device=device)]


def test_an_index_error_is_told_to_the_thread_that_made_it(device: str) -> None:
    ended = threading.Event()

    def wrong() -> list[str]:
        told = []
        try:
            for _ in range(40):
                try:
                    _wrong(device).tolist()
                    told.append("nothing")
                except IndexError as error:
                    told.append(str(error)[:33])
        finally:
            ended.set()
        return told

    def right() -> list[float]:
        got = []
        while not ended.is_set() or len(got) < 40:
            got += _right(device).tolist()
            tg.accelerator.synchronize(device)
        return got

    told, *got = together([wrong, right, right])
    assert told == ["index 7 is out of bounds for dime"] * 40
    assert all(set(values) == {3.0} for values in got)


def test_what_came_of_a_wrong_index_raises_in_the_thread_that_reads_it(device: str) -> None:
    made: Queue[Any] = Queue()
    go_on, handed = threading.Event(), threading.Event()

    def makes() -> str:
        y = _wrong(device) * 2
        tg.compile(lambda y: y + 1)(y)  # runs it here
        made.put(y)
        handed.set()
        go_on.wait(30)
        try:
            _right(device).tolist()
        except IndexError:
            return "told"
        return "nothing"

    def reads() -> str:
        handed.wait(30)
        y = made.get()
        try:
            assert _right(device).tolist() == [3.0]
            try:
                (y + 3).tolist()
            except IndexError:
                return "told"
            return "nothing"
        finally:
            go_on.set()

    assert together([makes, reads]) == ["told", "told"]


def test_the_error_of_a_thread_that_has_ended_is_told_at_the_next_read(device: str) -> None:
    def makes() -> None:
        tg.compile(lambda y: y + 1)(_wrong(device))

    assert together([makes]) == [None]
    with pytest.raises(IndexError, match="index 7"):
        _right(device).tolist()
    assert _right(device).tolist() == [3.0]
