"""What a derivative has used is freed when it is dropped, and does not wait for the collector of cycles."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.nn import functional as F


def f(x: Any) -> Any:
    return (x.sin() * x.cumsum(0)).sum() + x.sort()[0].prod() + tg.logsumexp(x, 0)


def leaf() -> Any:
    return tg.randn(4, requires_grad=True)


def second_order() -> None:
    x = leaf()
    (first,) = tg.autograd.grad(f(x), x, create_graph=True)
    tg.autograd.grad(first.sum(), x)


def training() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 8), nn.LayerNorm(8), nn.Dropout(0.1), nn.Linear(8, 3),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters())

    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(tg.randn(4, 1, 8, 8)), tg.randint(0, 3, (4,))).backward()
        optimizer.step()


CASES: dict[str, Callable[[], Any]] = {
    "training": training,
    "embedding": lambda: F.embedding(tg.randint(0, 4, (3,)), leaf()[:, None]).max().backward(),
    "second order": second_order,
    "grad": lambda: tg.func.grad(f)(tg.randn(4)),
    "hessian": lambda: tg.func.hessian(f)(tg.randn(4)),
    "jacrev": lambda: tg.func.jacrev(lambda x: x * x.sum())(tg.randn(4)),
    "vmap of grad": lambda: tg.vmap(tg.func.grad(f))(tg.randn(3, 4)),
    "jvp": lambda: tg.func.jvp(f, (tg.randn(4),), (tg.randn(4),)),
    "vjp": lambda: tg.func.vjp(f, tg.randn(4))[1](tg.tensor(1.0)),
    "linearize": lambda: tg.func.linearize(f, tg.randn(4))[1](tg.randn(4)),
    "checkpoint": lambda: tg.utils.checkpoint.checkpoint(f, leaf(), use_reentrant=False).backward(),
    "scan": lambda: (
        tg.func.scan(lambda c, x: (c * x, c), leaf(), tg.randn(5, 4))[0].sum().backward()
    ),
}


@pytest.fixture
def by_hand() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("name", CASES)
def test_no_tensor_waits_for_the_collector(name: str, by_hand: None) -> None:
    run = CASES[name]
    run()
    gc.collect()
    run()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    held = [x for x in gc.garbage if isinstance(x, tg.Tensor)]
    assert len(held) == 0, f"{len(held)} tensors of shapes {[tuple(x.shape) for x in held][:5]}"
