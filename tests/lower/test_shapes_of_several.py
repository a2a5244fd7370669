"""What is asked of the record of an op with several results does not depend on which of them are wanted."""

from __future__ import annotations

import numpy as np
import pytest

import tabgrad as tg
from tests.lower import recorder, toy_outer

WANTED = [(0,), (1,), (0, 1), (1, 0)]


@pytest.fixture(autouse=True, scope="module")
def op():
    yield toy_outer.declare()
    toy_outer.forget()


@pytest.mark.every_host
@pytest.mark.parametrize("wanted", WANTED)
def test_results_of_different_shapes_can_be_wanted_alone(device, op, wanted) -> None:
    x = np.arange(1, 9, dtype="float32")
    made = op.bind(tg.tensor(x, device=device) + 1, size=100)
    exact = ((x + 1) / 2, (x + 1)[:, None] * np.arange(100, dtype="float32"))
    for i in wanted:
        np.testing.assert_array_equal(made[i].numpy(), exact[i])


@pytest.mark.one_host("reference")
@pytest.mark.parametrize("wanted", WANTED)
def test_the_threads_are_a_fact_of_the_call(op, wanted) -> None:
    where = recorder.device()
    made = op.bind(tg.zeros(8, device=where).cumsum(0), size=100)
    (sum(made[i].sum() for i in wanted)).tolist()
    plan = recorder.last_plan(where)
    (kernel,) = (k for k in plan.kernels if any(name.startswith("outer2") for name in k.ops))
    assert kernel.grid == (1, 1, 1)
    assert "g >= 8u" in kernel.source
