"""The device meta: shapes and dtypes, no values."""

from __future__ import annotations

import copy
import io
import tracemalloc
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.grouped import grouped
from tests.nn.cases import CASES, Case, name
from tests.nn.run import inputs


def test_shapes_flow_and_nothing_is_stored() -> None:
    tracemalloc.start()
    try:
        with tg.device("meta"):
            x = tg.empty(100_000, 100_000)
            assert tg.tensor([]).device.type == "meta"
            made = [
                tg.zeros(3),
                tg.randn(2, 3),
                tg.arange(5),
                tg.eye(2),
                tg.tensor([[1, 2]]),
                tg.full((2,), 3.0),
                tg.rand(4),
                tg.linspace(0, 1, 3),
                tg.randperm(4),
                tg.zeros_like(x[:1]),
            ]
            y = (x @ x.T + 1).softmax(-1)[:, :10].sum(0)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    assert {t.device.type for t in made} == {"meta"}
    assert (y.shape, y.device.type, y.dtype, y.is_meta) == ((10,), "meta", tg.float32, True)
    assert not tg.ones(1, device="cpu").is_meta
    assert x.data_ptr() == 0
    assert x.untyped_storage().nbytes() == 40_000_000_000
    assert tg.linalg.svd(x[:4, :3]).U.shape == (4, 4)
    assert [t.shape for t in x[:2, :5].sort(-1)] == [(2, 5)] * 2
    assert tg.func.vmap(lambda row: row.sum())(x[:3]).shape == (3,)
    assert tg.func.grad(lambda v: (v * v).sum())(x[0]).shape == (100_000,)
    with pytest.raises(tg.DeviceError, match="got meta and cpu"):
        x[0, :2] + tg.ones(2, device="cpu")
    row = x[0]
    row.add_(1)
    x[1, 2] = 3
    x.copy_(tg.ones(1, device="cpu"))
    assert row.shape == (100_000,)


def test_it_is_printed_as_in_pytorch() -> None:
    x = tg.ones(2, device="meta", requires_grad=True)
    assert repr(x) == "tensor(..., device='meta', size=(2,), requires_grad=True)"
    assert repr(x * 2) == "tensor(..., device='meta', size=(2,), grad_fn=<MulBackward0>)"
    assert repr(tg.ones((), device="meta", dtype=tg.int64)) == (
        "tensor(..., device='meta', size=(), dtype=tabgrad.int64)"
    )
    assert repr(tg.device("meta")) == "device(type='meta')"


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@grouped("case", [c for c in CASES if c.module != "nn.NLLLoss2d()"], ids=name)
def test_modules_have_the_shapes_of_real_ones(case: Case) -> None:
    found = []
    for where in ("cpu", "meta"):
        module = eval(case.module, {"nn": nn}).to(where).train(case.train)
        given = [x.to(where).detach() for x in inputs(tg, case, "cpu")]
        out = module(*given)
        y = out if case.pick is None else out[case.pick]
        found.append((y.shape, y.dtype, [p.shape for p in module.parameters()]))
        assert y.device.type == where
    assert found[0] == found[1]


def test_what_needs_values_says_so() -> None:
    x = tg.ones(2, 3, device="meta")
    real = tg.ones(2, 3, device="cpu")
    for use in (
        lambda: x.sum().item(),
        lambda: x.cpu(),
        lambda: x.tolist(),
        lambda: x.numpy(),
        lambda: real.copy_(x),
        lambda: bool(x[0, 0]),
        lambda: tg.nonzero(x),
        lambda: tg.equal(x, x),
        lambda: x.unique(),
        lambda: x.to("cpu"),
        lambda: float(x.mean()),
    ):
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
            use()
    assert real.tolist() == [[1] * 3] * 2


def test_a_module_gets_its_memory_later() -> None:
    with tg.device("meta"):
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    real = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).to("cpu")
    assert {p.device.type for p in (*net.parameters(), *net.buffers())} == {"meta"}
    with pytest.warns(UserWarning, match=r"for weight: copying from a non-meta parameter .* no-op"):
        nn.Linear(3, 4, False, "meta").load_state_dict(nn.Linear(3, 4, False, "cpu").state_dict())
    assert copy.deepcopy(net)[0].weight.is_meta
    other: Any = copy.deepcopy(net)
    assert other.to_empty(device="cpu")[0].weight.shape == (4, 3)
    net.load_state_dict(real.state_dict(), assign=True)
    x = tg.linspace(-1, 1, 12, device="cpu").view(4, 3)
    assert tg.equal(net.eval()(x), real.eval()(x))
    assert isinstance(net[0].weight, nn.Parameter)
    assert real.to("meta")[0].weight.is_meta


def test_files() -> None:
    file = io.BytesIO()
    tg.save({"x": tg.ones(2, 3, device="meta"), "y": tg.ones(2, device="cpu")}, file)
    for where, there in (("cpu", "cpu"), ("meta", "meta")):
        found = tg.load(io.BytesIO(file.getvalue()), map_location=where)
        assert (found["x"].shape, found["x"].device.type) == ((2, 3), "meta")
        assert found["y"].device.type == there
