"""Functions made of ops against what PyTorch computed, on every device; and under every transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import func
from tests.grouped import grouped
from tests.ops import oracle_calls, recorded

ENTRIES = recorded.entries()
names = grouped("name", ENTRIES)


@pytest.mark.every_host
@names
def test_agrees_with_pytorch(name: str, device: str) -> None:
    assert not recorded.check(ENTRIES[name], device)


def test_the_oracle_holds_every_call() -> None:
    labels = [
        f"{function}{':' + label if label else ''}" for function, _, label in oracle_calls.CALLS
    ]
    assert labels == list(ENTRIES), "run `python -m tests.ops.oracle` where PyTorch is installed"


def called(entry: Any, tensors: list[Any]) -> Any:
    """Return the first result of an entry's function for other tensors."""
    args = [recorded._argument(a, tensors) for a in entry["args"]]
    kwargs = {k: recorded._argument(a, tensors) for k, a in entry["kwargs"].items()}
    out = recorded.function(entry["function"])(*args, **kwargs)
    return out[0] if isinstance(out, tuple) else out


@names
def test_batching_agrees_with_a_loop(name: str) -> None:
    entry = ENTRIES[name]
    rng = np.random.default_rng(0)
    columns = []
    for r in entry["inputs"]:
        x = np.array(r["data"], dtype=r["dtype"].replace("32", "64")).reshape(r["shape"])
        others = [rng.permutation(x.reshape(-1)).reshape(x.shape) for _ in range(2)]
        if entry["function"] == "searchsorted":
            others = [x, x]
        columns.append([x, *others])
    rows = [[tg.tensor(c[b], device="cpu") for c in columns] for b in range(3)]
    want = [called(entry, row).tolist() for row in rows]
    stacked = [tg.tensor(np.stack(c), device="cpu") for c in columns]
    got = func.vmap(lambda *xs: called(entry, list(xs)))(*stacked)
    np.testing.assert_allclose(got.tolist(), want, rtol=1e-9, atol=1e-10)


@names
def test_forward_mode_is_the_transpose_of_reverse(name: str) -> None:
    entry = ENTRIES[name]
    at = [i for i, r in enumerate(entry["inputs"]) if r.get("differentiable")]
    tensors = [recorded.tensor(r, "cpu", True) for r in entry["inputs"]]
    rng = np.random.default_rng(1)
    tangents = [tg.tensor(rng.normal(size=tensors[i].shape), device="cpu") for i in at]

    def function(*xs: Any) -> Any:
        full = list(tensors)
        for i, x in zip(at, xs, strict=True):
            full[i] = x
        return called(entry, full)

    if not at:
        assert not called(entry, tensors).dtype.is_differentiable or "cotangent" not in entry
        return
    _, dy = func.jvp(function, tuple(tensors[i] for i in at), tuple(tangents))
    ct = np.array(entry["cotangent"]["data"]).reshape(entry["cotangent"]["shape"])
    first = len(entry["expected"]) - len(at) * (2 if "directions" in entry else 1)
    found = entry["expected"][first : first + len(at)]
    right = sum(
        float((np.array(g["data"]) * np.array(t.tolist()).reshape(-1)).sum())
        for g, t in zip(found, tangents, strict=True)
    )
    left = float((ct * np.array(dy.tolist()).reshape(ct.shape)).sum())
    assert left == pytest.approx(right, rel=1e-6, abs=1e-6)
