"""Random programs of views and writes, beside NumPy, whose views share memory."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host

Views = dict[str, Any]


def tail(x: Any, k: int) -> Any:
    return x[..., k % x.shape[-1] :] if x.shape else x


def item(x: Any, k: int) -> Any:
    # with the dots NumPy gives a view of one element too
    return x[k % x.shape[0], ...] if x.shape and x.shape[0] else x


VIEWS: Views = {
    "flat": (lambda x, k: x.reshape(-1), lambda x, k: x.reshape(-1)),
    "transposed": (lambda x, k: x.T, lambda x, k: x.T),
    "item": (item, item),
    "tail": (tail, tail),
    "every other": (lambda x, k: x[::2] if x.shape else x, lambda x, k: x[::2] if x.shape else x),
    "new axis": (lambda x, k: x[None], lambda x, k: x.unsqueeze(0)),
    "squeezed": (lambda x, k: x.squeeze(), lambda x, k: x.squeeze()),
    "detached": (lambda x, k: x[...], lambda x, k: x.detach()),
    "diagonal": (
        lambda x, k: np.einsum("ii->i", x) if x.ndim == 2 and x.shape[0] == x.shape[1] else x,
        lambda x, k: x.diagonal() if x.ndim == 2 and x.shape[0] == x.shape[1] else x,
    ),
    "swapped": (
        lambda x, k: x.swapaxes(0, -1) if x.ndim > 1 else x,
        lambda x, k: x.transpose(0, -1) if x.ndim > 1 else x,
    ),
    "pairs": (
        lambda x, k: x.reshape(-1, 2) if x.size and x.size % 2 == 0 else x,
        lambda x, k: x.reshape(-1, 2) if x.numel() and x.numel() % 2 == 0 else x,
    ),
}


def write(x: Any, kind: int, k: int, other: Any) -> None:
    """Write to `x`, an array or a tensor: the same lines serve both."""
    if kind == 0:
        x[...] = x + k
    elif kind == 1:
        x *= 0.5
    elif kind == 2 and x.shape:
        x[0] = k
    elif kind == 3 and x.shape == other.shape:
        # a copy first: what overlapping memory gives is not defined
        x[...] = other + 0
    elif kind == 4:
        x[x > 1] = 0.25
    elif kind == 5 and x.shape:
        x[::2] -= 1
    elif kind == 6:
        x += other.sum() * 0.125


def program(seed: int) -> list[tuple[Any, ...]]:
    """Return random steps: a view of a tensor, or a write to one."""
    choose = random.Random(seed)
    steps: list[tuple[Any, ...]] = []
    count = 2
    for _ in range(choose.randrange(5, 14)):
        at, k = choose.randrange(count), choose.randrange(4)
        if choose.random() < 0.5:
            steps.append(("view", choose.choice(list(VIEWS)), at, k))
            count += 1
        else:
            steps.append(("write", choose.randrange(7), at, k, choose.randrange(count)))
    return steps


def run(steps: list[tuple[Any, ...]], pool: list[Any], library: int) -> list[Any]:
    for step in steps:
        if step[0] == "view":
            pool.append(VIEWS[step[1]][library](pool[step[2]], step[3]))
        else:
            write(pool[step[2]], step[1], step[3], pool[step[4]])
    return [x.tolist() for x in pool]


@pytest.mark.parametrize("seed", range(60))
def test_views_and_writes(seed: int) -> None:
    steps = program(seed)
    first, second = (
        [[0.5, -1.0, 2.0, 0.25], [1.5, 0.75, -0.5, 1.0], [2.5, 0.0, 3.0, 1.25]],
        [[1.0, 2.0], [3.0, 4.0]],
    )
    arrays = [np.array(x, dtype=np.float32) for x in (first, second)]
    tensors = [tg.tensor(first), tg.tensor(second)]
    wanted = run(steps, list(arrays), 0)
    found = run(steps, list(tensors), 1)
    assert found == wanted, steps
