"""Arguments of a compiled call that are no tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
from tests.compile.meaning.support import (
    MARKS,
    Options,
    Programs,
    Seen,
    Slotted,
    Wrap,
    same_both_ways,
    t,
)

pytestmark = MARKS
program = Programs()


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


@program
def arrays(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, a: x + tg.tensor(a))
    for i in range(5):
        seen.append(f(t(1, 2), np.full(2, i, np.float32)))
        seen.append(f(t(1, 2), np.full(2, i)))


@program
def arrays_that_python_reads(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any, a: Any) -> Any:
        return x * float(a[0]) + a.sum() + np.mean(a) if a.any() else x

    f = wrap(step)
    for i in range(4):
        for _ in range(2):
            seen.append(f(t(1, 2), np.full(2, i, np.float32)))


@program
def values_as_arguments(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, k: x * (k if isinstance(k, int | float) else len(k)))
    for k in (1, True, 1.0, 2.0, 0.0, -0.0, {1, 2}, {1, 2, 3}, frozenset((1,)), "ab", float("nan")):
        for _ in range(2):
            seen.append((t(1, 2) / f(t(1, 2), k)).tolist())


@program
def objects_as_arguments(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, o: x * o.scale + len(o.sizes))
    fixed = Options(3.0)
    for o in (Options(), Options(), Options(4.0), fixed, fixed, Options(sizes=[])):
        seen.append(f(t(1, 2), o))
    fixed.scale = 8.0
    seen.append(f(t(1, 2), fixed))
    slotted = Slotted()
    g = wrap(lambda x, s: x * s.scale)
    for i in range(4):
        slotted.scale = 2.0 + i // 2
        seen.append(g(t(1, 2), slotted))


@program
def objects_with_tensors(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, o: x + o.inner)
    for i in range(4):
        seen.append(f(t(1, 2), Options(inner=t(i, i))))


@program
def lists_and_dicts_of_tensors(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda xs, d: sum(xs) * d["k"] + d["w"])
    for i in range(4):
        seen.append(f([t(i), t(i + 1)], {"k": 2 + i // 2, "w": t(i)}))
        seen.append(f([t(i)], {"w": t(i), "k": 3.0}))


@program
def tensors_of_the_cpu(wrap: Wrap, seen: Seen) -> None:
    where = tg.get_default_device()

    def step(x: Any) -> Any:
        return x.to(where) * 2

    f = wrap(step)
    for i in range(4):
        x = tg.tensor([1.0, float(i)], device="cpu")
        seen += [f(x), f(x)]
        x.add_(1)
        seen.append(f(x))


def test_batches_from_arrays_are_uploaded_and_not_traced_anew() -> None:
    layer = nn.Linear(3, 2)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)

    @tg.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(tg.as_tensor(x)), tg.from_numpy(y))
        loss.backward()
        optimizer.step()
        return loss.detach()

    rng = np.random.default_rng(0)
    for _ in range(12):
        step(rng.random((4, 3), np.float32), rng.integers(0, 2, 4).astype(np.int32))
    assert step.traces <= 2
