"""What a compiled function says of itself: repr, explain, the warning of too many traces; copies of it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn

pytestmark = pytest.mark.one_host("wgpu", "cuda")


class Scale:
    by = 2.0


def twice(x: Any) -> Any:
    return x * 2


def test_it_says_what_is_compared_and_why_a_call_was_not_replayed(device: str) -> None:
    scale = Scale()
    f: Any = tg.compile(lambda x: x * scale.by)
    x = tg.ones(3, device=device)
    assert "nothing captured" in str(f.explain(x))
    f(x)
    f(x)
    found = f.explain(x)
    assert (found.traces, found.dispatches) == (1, [1])
    assert any("scale.by" in line or "Scale.by is 2.0" in line for line in found.guards[0])
    assert found.inputs == [f"float32[3] on {device}"]
    assert "1 plans, 1 dispatches" in repr(f)
    scale.by = 3.0
    f(x)
    assert tg.compiler.explain(f, x).traces == 2
    assert list(f.explain(x).causes.values()) == [1]
    assert str(f.explain(x)).count("plan ") == 2


def test_it_says_why_nothing_is_replayed(device: str) -> None:
    seen: list[int] = []

    def step(x: Any) -> Any:
        seen.append(1)
        return x + 1

    f: Any = tg.compile(step)
    x = tg.ones(3, device=device)
    for _ in range(3):
        f(x)
    assert "changes seen" in str(f.explain(x))
    w = tg.ones(3, device=device, requires_grad=True)
    g: Any = tg.compile(lambda x: w * x)
    g(x)
    assert "needs its gradient" in g.explain(x).reason


def test_eight_traces_for_one_cause_warn_once_and_end_there(device: str) -> None:
    scale = Scale()
    f: Any = tg.compile(lambda x: x * scale.by)
    x = tg.ones(2, device=device)
    for i in range(8):
        scale.by = float(i)
        assert f(x).tolist() == [i, i]
    scale.by = 8.0
    with pytest.warns(UserWarning, match=r"traced 8 times because .*by.* was \d.* and is"):
        y = f(x)
    assert y.tolist() == [8, 8]
    traces = f.traces
    for i in range(20, 30):
        scale.by = float(i)
        assert f(x).tolist() == [i, i]
    assert f.traces == traces


def test_copies_and_pickles(device: str) -> None:
    model = nn.Linear(2, 2).to(device)
    f: Any = tg.compile(model)
    x = tg.ones(1, 2, device=device)
    with tg.no_grad():
        for _ in range(3):
            want = f(x).tolist()
        again = copy.deepcopy(f)
        assert again.fn is not model
        again.fn.weight.zero_()
        assert f(x).tolist() == want
        assert again(x).tolist() == model.bias.reshape(1, 2).tolist()
    assert pickle.loads(pickle.dumps(tg.compile(twice)))(x).tolist() == [[2, 2]]
