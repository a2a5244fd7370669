"""Lazy layers become ordinary ones at their first input, with the parameters an optimizer already holds."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn


@pytest.fixture(autouse=True)
def on_cpu() -> Any:
    tg.set_default_device("cpu")
    yield
    tg.set_default_device(None)


LAYERS = [
    (lambda: nn.LazyLinear(4), (2, 7), "Linear(in_features=7, out_features=4, bias=True)"),
    (lambda: nn.LazyLinear(4, bias=False), (7,), "Linear(in_features=7, out_features=4, bias=False)"),
    (lambda: nn.LazyConv1d(4, 3), (2, 5, 9), "Conv1d(5, 4, kernel_size=(3,), stride=(1,))"),
    (lambda: nn.LazyConv2d(4, 3, padding=1), (2, 5, 8, 8),
     "Conv2d(5, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"),
    (lambda: nn.LazyConv2d(4, 3, bias=False), (5, 8, 8),
     "Conv2d(5, 4, kernel_size=(3, 3), stride=(1, 1), bias=False)"),
    (lambda: nn.LazyConv3d(4, 2), (1, 2, 3, 3, 3), "Conv3d(2, 4, kernel_size=(2, 2, 2), stride=(1, 1, 1))"),
    (lambda: nn.LazyConvTranspose1d(4, 3), (2, 5, 9), "ConvTranspose1d(5, 4, kernel_size=(3,), stride=(1,))"),
    (lambda: nn.LazyConvTranspose2d(4, 3, 2), (2, 5, 4, 4),
     "ConvTranspose2d(5, 4, kernel_size=(3, 3), stride=(2, 2))"),
    (lambda: nn.LazyConvTranspose3d(4, 2), (1, 2, 3, 3, 3),
     "ConvTranspose3d(2, 4, kernel_size=(2, 2, 2), stride=(1, 1, 1))"),
    (lambda: nn.LazyBatchNorm1d(), (4, 3), "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, "
     "track_running_stats=True)"),
    (lambda: nn.LazyBatchNorm2d(affine=False), (4, 3, 2, 2), "BatchNorm2d(3, eps=1e-05, momentum=0.1, "
     "affine=False, bias=False, track_running_stats=True)"),
    (lambda: nn.LazyBatchNorm3d(), (4, 3, 2, 2, 2), "BatchNorm3d(3, eps=1e-05, momentum=0.1, affine=True, "
     "bias=True, track_running_stats=True)"),
    (lambda: nn.LazyInstanceNorm2d(), (4, 3, 2, 2), "InstanceNorm2d(3, eps=1e-05, momentum=0.1, "
     "affine=True, bias=True, track_running_stats=True)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shape", "text"), LAYERS, ids=[t for *_, t in LAYERS])
def test_shapes_come_from_the_first_input(make: Any, shape: tuple[int, ...], text: str) -> None:
    layer = make()
    params = list(layer.parameters())
    assert all(repr(p) == "<UninitializedParameter>" for p in params)
    x = tg.randn(shape)
    first = layer(x)
    assert repr(layer) == text
    assert all(p is q for p, q in zip(layer.parameters(), params, strict=True))
    assert all(type(p) is nn.Parameter and p.requires_grad for p in params)
    ordinary = eval(f"nn.{text}", {"nn": nn})
    ordinary.load_state_dict(layer.state_dict())
    ordinary.train(False)
    layer.train(False)
    assert ordinary(x).tolist() == layer(x).tolist()
    assert not layer._hooks["forward_pre"]
    if params:
        first.sum().backward()
    assert all(p.grad is not None for p in params)


def test_initial_values_are_those_of_an_ordinary_layer() -> None:
    layer = nn.LazyLinear(400)
    layer(tg.zeros(1, 100))
    assert 0.095 < layer.weight.abs().max().item() <= 0.1
    norm = nn.LazyBatchNorm1d()
    norm(tg.randn(5, 3))
    assert norm.weight.tolist() == [1.0, 1.0, 1.0]


def test_a_lazy_model_takes_a_state_dict() -> None:
    ready = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    lazy = nn.Sequential(nn.LazyLinear(4), nn.LazyLinear(2))
    lazy.load_state_dict(ready.state_dict())
    x = tg.ones(1, 3)
    assert lazy(x).tolist() == ready(x).tolist()
    assert lazy[0].in_features == 3
    twin = nn.Sequential(nn.LazyLinear(4), nn.LazyLinear(2))
    twin.load_state_dict(nn.Sequential(nn.LazyLinear(4), nn.LazyLinear(2)).state_dict())
    assert twin[0].has_uninitialized_params()
    with pytest.raises(RuntimeError, match="before this lazy parameter had a shape"):
        ready.load_state_dict(twin.state_dict())


def test_wrong_inputs_are_told() -> None:
    with pytest.raises(RuntimeError, match="expected 3D or 4D input, got 2D"):
        nn.LazyConv2d(4, 3)(tg.zeros(2, 2))
    with pytest.raises(ValueError, match=r"in_channels \(3\) must be divisible by groups \(2\)"):
        nn.LazyConv1d(4, 3, groups=2)(tg.zeros(1, 3, 9))


def test_an_optimizer_made_before_the_first_input_trains() -> None:
    net = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(1))
    optimizer = tg.optim.Adam(net.parameters(), lr=0.05)
    x = tg.randn(8, 3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = ((net(x) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
