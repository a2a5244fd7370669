"""What a function composes is one recorded node, with the kernels and results of its ops one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.spec import spec
from tabgrad.nn import functional as F
from tests.grouped import grouped
from tests.lower import recorder

X = [[0.5 * i - j for i in range(6)] for j in range(5)]
CASES: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda x: F.softmax(x, -1),
    "softmax of half": lambda x: F.softmax(x.half(), 0),
    "log_softmax": lambda x: F.log_softmax(x, dim=0),
    "logsumexp": lambda x: x.logsumexp((0, 1)),
    "layer_norm": lambda x: F.layer_norm(x, (6,), x[0], x[1] * 2, 1e-3),
    "rms_norm": lambda x: F.rms_norm(x, (6,)),
    "linear": lambda x: F.linear(x, x, x[:, 0]),
    "two of them": lambda x: F.softmax(F.layer_norm(x, (6,)), -1).sum(),
}


def kernels(name: str, plainly: bool) -> tuple[list[Any], Any, int]:
    """Return the kernels and numbers of a case, and how many nodes are left recorded."""
    where = recorder.device(features=("shader-f16",))
    with where:
        x = tg.tensor(X)
        # a capture sees every op
        y = tg.compile(CASES[name])(x) if plainly else CASES[name](x)
        recorded = len(where.backend.graph.recorded)
        y.tolist()
    plan = recorder.last_plan(where)
    stored = list(where.backend.plans.values())[-1]
    texts = [(k.bindings, k.label, k.ops) for k in plan.kernels]
    return texts, stored.values, recorded


@grouped("name", CASES)
def test_kernels_are_those_of_the_ops(name: str) -> None:
    one, its, recorded = kernels(name, False)
    many, others, _ = kernels(name, True)
    assert one == many
    assert sorted(map(str, its)) == sorted(map(str, others))
    assert recorded <= 6, recorded


@pytest.mark.every_host
def test_values_are_the_same_bits(device: str) -> None:
    if device == "cpu":
        pytest.skip("nothing is recorded there")
    with tg.device(device):
        x = tg.tensor(X)
        for name, fn in CASES.items():
            if "half" not in name or x.device.backend.has_float16:
                assert fn(x).tolist() == tg.compile(fn)(x).tolist() == fn(x).tolist(), name


def test_numbers_are_no_part_of_a_plan_and_shapes_are() -> None:
    where = recorder.device()
    counters = where.backend.counters
    with where:
        x = tg.tensor(X)
        for eps in (1e-5, 1e-3, 0.0):
            F.layer_norm(x, (6,), eps=eps).tolist()
            stored = list(where.backend.plans.values())[-1]
            assert eps in stored.values
        assert counters.plans == 1
        F.layer_norm(tg.tensor(X[:3]), (6,)).tolist()
    assert counters.plans == 2


def test_the_places_of_operands_count() -> None:
    where = recorder.device()
    with where:
        x, w = tg.tensor(X), tg.tensor([2.0] * 6)
        for weight, bias in ((w, None), (None, w)):
            F.layer_norm(x, (6,), weight, bias).tolist()
            texts = [k.source for k in recorder.last_plan(where).kernels]
            F.layer_norm(x, (6,), weight, bias).tolist()
            assert [k.source for k in recorder.last_plan(where).kernels] == texts
        assert where.backend.counters.plans == 2


def test_settings_without_end_are_not_kept() -> None:
    where = recorder.device()
    with where:
        x = tg.tensor(X)
        before = len(where.backend.graph.op)
        for i in range(300):
            F.rms_norm(x, (6,), eps=1e-3 + i)
        assert len(where.backend.graph.op) - before < 300
        F.rms_norm(x, (6,), eps=7.0).tolist()
    assert where.backend.counters.plans >= 1


def test_histories_transforms_and_errors_are_those_of_the_function() -> None:
    where = recorder.device()
    with where:
        x = tg.tensor(X)
        F.softmax(x, 1)
        y = F.softmax(x.requires_grad_(), 1)
        assert y.grad_fn is not None
        with tg.no_grad():
            assert F.softmax(x, 1).grad_fn is None
        assert tg.func.vmap(lambda r: F.softmax(r, 0))(x.detach()).shape == (5, 6)
        for _ in range(3):
            with pytest.raises((ValueError, RuntimeError), match="layer_norm"):
                F.layer_norm(x.detach(), (7,))
        with pytest.raises(IndexError):
            F.softmax(x.detach(), 5)
        assert F.linear(x.detach(), x.detach()).spec is spec((5, 5), tg.float32)
