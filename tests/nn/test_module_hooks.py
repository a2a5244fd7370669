"""Backward hooks of modules with several inputs and outputs: each runs once, and what it returns is used."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn

pytestmark = pytest.mark.every_host


class Crossed(nn.Module):
    """(x, k, y) -> {"sum": x + y, "both": (2x, 3y)}; k is no tensor."""

    def forward(self, x: Any, k: float, y: Any) -> Any:
        return {"sum": (x + y) * k, "both": (2 * x, 3 * y)}


def leaves(device: str) -> tuple[Any, Any]:
    x = tg.tensor([[1.0, -2.0, 0.5], [2.0, 3.0, -1.0]], device=device)
    y = tg.tensor([[1.0, 0.0], [4.0, -1.0], [2.0, 2.0]], device=device)
    return x.requires_grad_(), y.requires_grad_()


def values(grads: Any) -> list[Any]:
    return [None if g is None else g.sum().item() for g in grads]


def test_each_runs_once_in_order_and_changes_what_goes_on(device: str) -> None:
    module, seen = Crossed(), []
    module.register_full_backward_pre_hook(lambda m, go: seen.append(("pre", values(go))))
    module.register_full_backward_pre_hook(lambda m, go: tuple(2 * g for g in go))
    module.register_full_backward_hook(
        lambda m, gi, go: seen.append(("post", values(gi), values(go)))
    )
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10, None, gi[2] * 100))
    module.register_full_backward_hook(lambda m, gi, go: seen.append(("last", values(gi))))
    x, y = leaves(device)
    # views of what is no leaf, so that the gradients go on through other ops
    out = module((x * 1.0).T, 5.0, y * 1.0)
    (out["sum"].sum() + out["both"][0].sum() + out["both"][1].sum()).backward()
    # the cotangents are ones of 6 elements, doubled by the second pre-hook
    assert seen == [
        ("pre", [6.0, 6.0, 6.0]),
        ("post", [84.0, None, 96.0], [12.0, 12.0, 12.0]),
        ("last", [840.0, None, 9600.0]),
    ]
    assert x.grad.tolist() == [[140.0] * 3] * 2
    assert y.grad.tolist() == [[1600.0] * 2] * 3


def test_an_output_that_is_not_used(device: str) -> None:
    module, seen = Crossed(), []
    module.register_full_backward_pre_hook(lambda m, go: seen.append(values(go)))
    module.register_full_backward_hook(lambda m, gi, go: seen.append(values(gi)))
    x, y = leaves(device)
    module(x.T, 1.0, y)["both"][0].sum().backward()
    assert seen == [[None, 12.0 / 2, None], [12.0, None, 0.0]]
    assert x.grad.tolist() == [[2.0] * 3] * 2


def test_under_second_derivatives_and_a_graph_walked_twice(device: str) -> None:
    module, seen = nn.Tanh(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append(1))
    x, _ = leaves(device)
    y = module(2 * x).sum()
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    (h,) = tg.autograd.grad((g * g).sum(), x, retain_graph=True)
    t = (2 * x).detach().tanh()
    assert tg.allclose(g, 2 * (1 - t * t))
    assert tg.allclose(h, 2 * g.detach() * -8 * t * (1 - t * t), atol=1e-5)
    y.backward()
    assert len(seen) == 2
    assert tg.allclose(x.grad, g)


def test_under_transforms(device: str) -> None:
    module, seen = Crossed(), []
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 3, None, gi[2]))
    module.register_full_backward_hook(lambda m, gi, go: seen.append(gi[0].shape))
    x, y = leaves(device)

    def loss(x: Any) -> Any:
        return module(x, 1.0, y.detach()[:, 0])["both"][0].sum()

    rows = x.detach()
    assert tg.func.grad(loss)(rows[0]).tolist() == [6.0] * 3
    assert tg.func.vmap(tg.func.grad(loss))(rows).tolist() == [[6.0] * 3] * 2
    assert seen == [tg.Size([3]), tg.Size([3])]


def test_a_hook_returns_as_many_gradients_as_there_are(device: str) -> None:
    module = Crossed()
    handle = module.register_full_backward_hook(lambda m, gi, go: gi[:1])
    x, y = leaves(device)
    with pytest.raises(RuntimeError, match="expected 3 gradients back, got 1"):
        module(x.T, 1.0, y)["sum"].sum().backward()
    handle.remove()
    module.register_full_backward_hook(lambda m, gi, go: (gi[0][:1], None, gi[2]))
    with pytest.raises(RuntimeError, match=r"shape"):
        module(x.T, 1.0, y)["sum"].sum().backward()


# -- hooks of every module -------------------------------------------------------------------------


def test_hooks_of_every_module_run_before_its_own(device: str) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).to(device)
    seen: list[Any] = []

    def note(what: str) -> Any:
        return lambda m, *args: seen.append((what, type(m).__name__))

    net[1].register_forward_pre_hook(note("own before"))
    net[1].register_forward_hook(note("own after"))
    net[1].register_full_backward_pre_hook(note("own back before"))
    net[1].register_full_backward_hook(note("own back"))
    everywhere = nn.modules.module
    handles = [
        everywhere.register_module_forward_pre_hook(note("before")),
        everywhere.register_module_forward_hook(note("after")),
        everywhere.register_module_full_backward_pre_hook(note("back before")),
        everywhere.register_module_full_backward_hook(note("back")),
    ]
    x = tg.ones(1, 2, device=device, requires_grad=True)
    net(x).sum().backward()
    own = [
        ("own before", "ReLU"), ("own after", "ReLU"), ("own back before", "ReLU"), ("own back", "ReLU"),
    ]  # fmt: skip
    assert seen == [
        ("before", "Sequential"), ("before", "Linear"), ("after", "Linear"),
        ("before", "ReLU"), own[0], ("after", "ReLU"), own[1], ("after", "Sequential"),
        ("back before", "Sequential"), ("back before", "ReLU"), own[2], ("back", "ReLU"), own[3],
        ("back before", "Linear"), ("back", "Linear"), ("back", "Sequential"),
    ]  # fmt: skip
    for handle in handles:
        handle.remove()
    seen.clear()
    net(x).sum().backward()
    assert seen == own


def test_hooks_of_every_module_change_what_goes_on(device: str) -> None:
    everywhere = nn.modules.module
    x = tg.ones(2, device=device, requires_grad=True)
    with everywhere.register_module_forward_pre_hook(lambda m, args: (args[0] + 1,)):
        assert nn.Identity()(x).tolist() == [2.0, 2.0]
    with everywhere.register_module_forward_hook(lambda m, args, y: y * 3):
        assert nn.Identity()(x).tolist() == [3.0, 3.0]
    with everywhere.register_module_full_backward_hook(lambda m, gi, go: (gi[0] * 5,)):
        nn.Identity()(x).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    seen: list[Any] = []
    with (
        everywhere.register_module_forward_hook(
            lambda m, args, kwargs, y: seen.append((kwargs, y)), with_kwargs=True, always_call=True
        ),
        pytest.raises(TypeError),
    ):
        nn.ReLU()(x, wrong=1)
    assert seen == [({"wrong": 1}, None)]


def test_hooks_on_what_modules_keep() -> None:
    everywhere = nn.modules.module
    seen: list[Any] = []
    with (
        everywhere.register_module_module_registration_hook(
            lambda m, name, child: seen.append(("module", name))
        ),
        everywhere.register_module_parameter_registration_hook(
            lambda m, name, p: seen.append(("parameter", name))
        ),
        everywhere.register_module_buffer_registration_hook(
            lambda m, name, b: seen.append(("buffer", name))
        ),
    ):
        nn.Sequential(nn.BatchNorm1d(1))
    assert seen == [
        ("parameter", "weight"), ("parameter", "bias"), ("buffer", "running_mean"),
        ("buffer", "running_var"), ("buffer", "num_batches_tracked"), ("module", "0"),
    ]  # fmt: skip
    with everywhere.register_module_module_registration_hook(lambda m, name, c: nn.Identity()):
        net = nn.Sequential(nn.ReLU())
    assert isinstance(net[0], nn.Identity)
    assert isinstance(nn.Sequential(nn.ReLU())[0], nn.ReLU)
