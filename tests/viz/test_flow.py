"""Findings on the flow of gradients: each is seen where it is, and not where it isn't."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest

import tabgrad as tg
from tabgrad import nn


def stack(depth: int, gain: float, width: int = 8) -> nn.Sequential:
    """Linear layers whose weights are `gain` times the identity."""
    layers = [nn.Linear(width, width, bias=False, device="cpu") for _ in range(depth)]
    with tg.no_grad():
        for layer in layers:
            layer.weight.copy_(gain * tg.eye(width, device="cpu"))
    return nn.Sequential(*layers)


def after(net: nn.Module, x: tg.Tensor | None = None, scale: float = 1e-3) -> list[str]:
    (net(tg.ones(4, 8, device="cpu") if x is None else x).sum() * scale).backward()
    return tg.viz.flow(net).findings


def test_nothing_is_found_in_a_sound_model() -> None:
    assert after(stack(3, 1.0)) == []


def test_gradients_that_vanish_and_explode() -> None:
    class Scaled(nn.Sequential):
        """Passes values on as they are, and gradients times `factor`."""

        def forward(self, input: Any) -> Any:
            for layer in self:
                y = layer(input)
                input = y.detach() + factor * (y - y.detach())
            return input

    factor = 1e-2
    (found,) = after(Scaled(*stack(4, 1.0)), scale=1.0)
    assert found == "gradients vanish: 0.weight has 1e-06 times that of 3.weight"
    factor = 1e2
    (found,) = after(Scaled(*stack(4, 1.0)), scale=1e-12)
    assert found == "gradients explode: 0.weight has 1e+06 times that of 3.weight"


def test_parameters_without_a_gradient_and_zero_ones() -> None:
    net = stack(2, 1.0)
    net.append(nn.Linear(8, 8, device="cpu"))
    (net[0](tg.ones(1, 8, device="cpu")).sum() * 1e-3 + 0 * net[1].weight.sum()).backward()
    assert tg.viz.flow(net).findings == [
        "2.weight, 2.bias: no gradient; the loss does not depend on them, or backward has not run",
        "1.weight: the gradient is zero throughout; its 8 units, or all that follow them, may be dead, "
        "or saturated",
    ]


def test_units_that_are_dead() -> None:
    net = nn.Sequential(nn.Linear(8, 5, device="cpu"), nn.ReLU(), nn.Linear(5, 1, device="cpu"))
    with tg.no_grad():
        net[0].weight.fill_(0.1)
        net[0].bias.copy_(tg.tensor([0.1, -9.0, 0.1, -9.0, 0.1], device="cpu"))
        net[2].weight.fill_(0.5)
    assert "0.weight: 2 of 5 units have no gradient; they may be dead, or saturated" in after(net)


def test_a_layer_whose_units_are_all_dead_is_named() -> None:
    net = nn.Sequential(nn.Linear(8, 5, device="cpu"), nn.ReLU(), nn.Linear(5, 1, device="cpu"))
    with tg.no_grad():
        net[0].weight.fill_(0.1)
        net[0].bias.fill_(-9.0)
    found = after(net)
    assert found[0].startswith("0.weight: the gradient is zero throughout; its 5 units, or all"), (
        found
    )
    assert "0.bias: the gradient is zero throughout" in found


def test_empty_parameters_and_biases_near_zero_are_no_findings() -> None:
    tg.manual_seed(0)
    empty = nn.Linear(0, 2, device="cpu")
    assert after(empty, tg.ones(1, 0, device="cpu")) == []
    net = nn.Sequential(nn.Linear(8, 8, device="cpu"), nn.LayerNorm(8, device="cpu"))
    alone = nn.ParameterList([nn.Parameter(tg.full((8,), 1e-9, device="cpu"))])
    with tg.no_grad():
        net[0].bias.fill_(1e-9)
    net.append(alone)
    x = tg.randn(4, 8, device="cpu", generator=tg.Generator("cpu").manual_seed(0))
    ((net[1](net[0](x)) + alone[0]) ** 3).mean().backward()
    net[0].bias.grad = tg.full((8,), 1e-3, device="cpu")
    assert tg.viz.flow(net).findings == []
    net[0].bias.grad = tg.full((8,), 1e3, device="cpu")
    (found,) = tg.viz.flow(net).findings
    assert found.startswith(
        "0.bias: the gradient is 5.5e+03 times as large as the parameters of its"
    )


def test_gradients_that_are_not_finite_or_too_large() -> None:
    net = stack(1, 1.0)
    assert after(net, tg.full((1, 8), math.inf, device="cpu")) == [
        "0.weight: the gradient is not finite"
    ]
    (found,) = after(stack(1, 1e-3), scale=1.0)
    assert found.startswith("0.weight: the gradient is ")
    assert "times as large as the parameter" in found


class HeadFirst(nn.Module):
    """Registers its last layer before the others, whose gradients vanish."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 1, device="cpu")
        layers = [(nn.Linear(8, 8, device="cpu"), nn.Sigmoid()) for _ in range(12)]
        self.body = nn.Sequential(*[part for pair in layers for part in pair])

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.body(x))


def test_what_vanishes_is_found_wherever_it_is_registered() -> None:
    (found,) = after(HeadFirst())
    assert re.match(
        "gradients vanish or explode on their way: body.0.weight has .* head.weight", found
    )


def test_functions_that_are_saturated_are_found_with_inputs() -> None:
    class Calls(nn.Module):
        """Calls a function, which no module stands for."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8, device="cpu")

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return (self.layer(x) * 1e3).tanh()

    tg.manual_seed(0)
    x = tg.randn(32, 8, device="cpu")
    net = nn.Sequential(*stack(2, 1.0), nn.Tanh(), Calls(), nn.LSTM(8, 8, device="cpu"))
    with tg.no_grad():
        net[4].weight_ih_l0.mul_(1e3)
    net(x)[0].sum().backward()
    found = [text for text in tg.viz.flow(net, x).findings if "it is saturated" in text]
    assert [text.split(":")[0] for text in found] == ["3 (Calls)", "4 (LSTM)"]
    shares = [int(text.split("% of the values of ")[0].split()[-1]) for text in found]
    assert min(shares) > 50
    assert not [text for text in tg.viz.flow(net).findings if "it is saturated" in text]


def test_tables_and_sparse_gradients_and_modest_ones_are_no_findings() -> None:
    for sparse in (False, True):
        net = nn.Sequential(
            nn.Embedding(50, 4, sparse=sparse, device="cpu"), nn.Linear(4, 3, device="cpu")
        )
        loss = nn.functional.cross_entropy(
            net(tg.tensor([1, 2, 3], device="cpu")), tg.tensor([0, 1, 2], device="cpu")
        )
        loss.backward()
        assert tg.viz.flow(net).findings == []
    with pytest.raises(TypeError, match="expected a module, got int"):
        tg.viz.flow(3)  # type: ignore[arg-type]


@pytest.mark.every_host
def test_sizes_are_read_at_once_and_tiny_ones_do_not_underflow(device: str) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).to(device)
    (net(tg.ones(1, 3, device=device)).sum() * 1e-25).backward()
    found = tg.viz.flow(net)
    by_name = {row.name: row for row in found.rows}
    assert by_name["1.bias"].gradient == pytest.approx(1e-25, rel=1e-3)
    assert by_name["0.weight"].size == pytest.approx(
        float(net[0].weight.detach().square().mean().sqrt()), rel=1e-5
    )
    root = ElementTree.fromstring(found.svg())
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 4
    assert "1.bias" in str(found)
    with pytest.raises(ValueError, match="no parameters"):
        tg.viz.flow(nn.ReLU())
