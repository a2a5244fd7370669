"""Computed weights trained, removed and refused; modules without initial values; old names that warn."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn

KINDS = [
    (nn.utils.weight_norm, nn.utils.remove_weight_norm, ["bias", "weight_g", "weight_v"]),
    (nn.utils.spectral_norm, nn.utils.remove_spectral_norm, ["bias", "weight_orig"]),
]


@pytest.mark.every_host
@pytest.mark.parametrize(("put", "remove", "names"), KINDS)
def test_removed_it_is_a_parameter_again(put: Any, remove: Any, names: Any, device: str) -> None:
    layer = put(nn.Conv1d(2, 3, 3, device=device))
    assert sorted(name for name, _ in layer.named_parameters()) == names
    x = tg.ones(1, 2, 5, device=device)
    layer(x)
    layer.eval()
    wanted = layer(x)
    assert remove(layer) is layer
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert isinstance(layer.weight, nn.Parameter)
    assert tg.allclose(layer(x), wanted, atol=1e-6)
    with pytest.raises(ValueError, match=r"norm of 'weight' not found in Conv1d"):
        remove(layer)


@pytest.mark.every_host
@pytest.mark.parametrize(("put", "remove", "names"), KINDS)
def test_a_step_trains_what_the_weight_is_computed_from(
    put: Any, remove: Any, names: Any, device: str
) -> None:
    tg.manual_seed(1)
    layer = put(nn.Linear(4, 3, device=device))
    twin = put(nn.Linear(4, 3, device=device))
    twin.load_state_dict(layer.state_dict())
    x = tg.rand(8, 4, device=device)
    losses = []
    for one in (layer, twin):
        optimizer = tg.optim.SGD(one.parameters(), lr=0.1)

        def step(one: Any = one, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = (one(x) - 1).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = tg.compile(step) if one is twin else step
        losses.append([run().item() for _ in range(5)])
    assert losses[0][-1] < losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    layer = nn.Linear(3, 3, bias=False, device="cpu")
    with tg.no_grad():
        layer.weight.copy_(tg.diag(tg.tensor([2.0, -5.0, 1.0])))
    nn.utils.spectral_norm(layer, n_power_iterations=40)
    layer(tg.ones(1, 3, device="cpu"))
    assert layer.weight.detach().diag().tolist() == pytest.approx([0.4, -1.0, 0.2])
    before = layer.weight_u.tolist()
    layer.eval()(tg.ones(1, 3, device="cpu"))
    assert layer.weight_u.tolist() == before


@pytest.mark.parametrize(("put", "remove", "names"), KINDS)
def test_what_is_refused_changes_nothing(put: Any, remove: Any, names: Any) -> None:
    layer = nn.Linear(2, 2, bias=False, device="cpu")
    for name, error in (("bias", "no parameter 'bias'"), ("other", "no parameter 'other'")):
        with pytest.raises(ValueError, match=error):
            put(layer, name)
    with pytest.raises(ValueError, match="uninitialized"):
        put(nn.LazyLinear(2, device="cpu"))
    with pytest.raises(IndexError, match="out of range"):
        put(layer, dim=5)
    assert sorted(layer.state_dict()) == ["weight"]
    put(layer)
    with pytest.raises(RuntimeError, match="Cannot register two"):
        put(layer)
    with pytest.raises(ValueError, match="n_power_iterations"):
        nn.utils.spectral_norm(nn.Linear(2, 2, device="cpu"), n_power_iterations=0)


def test_what_cannot_be_fused_is_refused() -> None:
    conv, bn = nn.Conv1d(2, 3, 1, device="cpu"), nn.BatchNorm1d(3, device="cpu")
    with pytest.raises(AssertionError, match="only for eval"):
        nn.utils.fuse_conv_bn_eval(conv, bn.eval())
    free = nn.BatchNorm1d(3, track_running_stats=False, device="cpu").eval()
    with pytest.raises(AssertionError, match="must not be None"):
        nn.utils.fuse_conv_bn_eval(conv.eval(), free)
    with pytest.raises(AssertionError, match="out_features"):
        nn.utils.fuse_linear_bn_eval(nn.Linear(2, 2, device="cpu").eval(), bn.eval())


@pytest.mark.every_host
def test_skipping_initial_values_uses_up_no_random_numbers(device: str) -> None:
    tg.manual_seed(3)
    wanted = tg.rand(2, device=device).tolist()
    tg.manual_seed(3)
    layer = nn.utils.skip_init(nn.Linear, 4, 2, bias=False, device=device)
    assert layer.weight.shape == (2, 4)
    assert layer.weight.device == tg.device(device)
    assert tg.rand(2, device=device).tolist() == wanted
    with pytest.raises(RuntimeError, match="Expected a Module"):
        nn.utils.skip_init(int)  # type: ignore[type-var]
    with pytest.raises(RuntimeError, match="'device' arg"):
        nn.utils.skip_init(nn.ReLU)


def test_old_names_warn_and_do_the_same() -> None:
    w = tg.empty(3, 3, 3, device="cpu")
    for name in (
        "uniform", "normal", "dirac", "xavier_uniform", "xavier_normal", "kaiming_uniform",
        "kaiming_normal", "orthogonal",
    ):  # fmt: skip
        found = []
        for spelled in (name, f"{name}_"):
            tg.manual_seed(7)
            if spelled == name:
                with pytest.warns(FutureWarning, match=rf"nn.init.{name}_`"):
                    made = getattr(nn.init, spelled)(w)
            else:
                made = getattr(nn.init, spelled)(w)
            assert made is w
            found.append(w.tolist())
        assert found[0] == found[1]
    with pytest.warns(FutureWarning, match=r"nn.init.constant_`"):
        assert nn.init.constant(tg.empty(2, device="cpu"), val=2).tolist() == [2, 2]
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert nn.utils.clip_grad_norm([], 1.0).item() == 0
    with pytest.warns(FutureWarning, match="NLLLoss"):
        nn.NLLLoss2d()


@pytest.mark.every_host
def test_classes_of_an_adaptive_softmax(device: str) -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, device=device)
    x = tg.randn(6, 8, device=device)
    every = layer.log_prob(x)
    assert every.exp().sum(1).tolist() == pytest.approx([1] * 6, rel=1e-5)
    target = tg.tensor([0, 3, 4, 9, 10, 19], device=device)
    output, loss = layer(x, target)
    assert output.tolist() == pytest.approx(
        [every[i, t].item() for i, t in enumerate(target.tolist())]
    )
    assert loss.item() == pytest.approx(-output.mean().item())
    assert layer.predict(x).tolist() == every.argmax(1).tolist()
    for bad in (20, -1):
        with pytest.raises(IndexError):
            layer(x, tg.tensor([0, 1, 2, 3, 4, bad], device=device)).loss.item()
    for shape, wrong in (((6,), x[0]), ((5,), x), ((), x), ((2, 3), x)):
        with pytest.raises(RuntimeError):
            layer(wrong, tg.zeros(shape, dtype=target.dtype, device=device))
    for cutoffs in ([], [4, 4], [5, 4], [0, 4], [20], [2.5]):
        with pytest.raises(ValueError, match="cutoffs"):
            nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs, device=device)
