"""Other packages on tensors: einops with its layers, SciPy's minimisers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg

einops = pytest.importorskip("einops", reason="einops is not installed")
optimize = pytest.importorskip("scipy.optimize", reason="SciPy is not installed")

from tabgrad.utils.einops import EinMix, Rearrange, Reduce  # noqa: E402
from tabgrad.utils.scipy import Objective, minimize  # noqa: E402


@pytest.mark.every_host
def test_einops_does_on_tensors_what_it_does_on_arrays(device: str) -> None:
    a = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    x = tg.tensor(a, device=device, requires_grad=True)
    pairs: list[tuple[Any, Any]] = [
        (einops.rearrange(v, "a b (c d) -> b (a d) c", d=2), v) for v in (x, a)
    ]
    found = [p[0] for p in pairs]
    assert np.array_equal(found[0].detach().numpy(), found[1])
    for kind in ("sum", "mean", "max", "min", "prod"):
        ours, theirs = (einops.reduce(v, "a b c -> b", kind) for v in (x, a))
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-5, atol=1e-6)
    for kind in ("any", "all"):
        ours, theirs = (einops.reduce(v > 0, "a b c -> a c", kind) for v in (x, a))
        assert ours.tolist() == theirs.tolist()
    ours, theirs = (einops.repeat(v, "a b c -> (r a) b c n", r=2, n=3) for v in (x, a))
    assert np.array_equal(ours.detach().numpy(), theirs)
    ours, theirs = (einops.einsum(v, v, "a b c, a d c -> b d") for v in (x, a))
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-5, atol=1e-6)
    packed, shapes = einops.pack([x, x[:, 0]], "a * c")
    assert [tuple(v.shape) for v in einops.unpack(packed, shapes, "a * c")] == [(2, 3, 4), (2, 4)]
    assert einops.rearrange([x, x], "n a b c -> a b (n c)").shape == (2, 3, 8)
    assert einops.parse_shape(x, "a _ c") == {"a": 2, "c": 4}
    assert np.array_equal(einops.asnumpy(x), a)
    einops.reduce(x, "a b c -> a", "mean").sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == np.full((2, 3, 4), np.float32(1 / 12)).tolist()


@pytest.mark.every_host
def test_layers_of_einops_train_and_are_saved(device: str) -> None:
    with tg.device(device):
        net = tg.nn.Sequential(
            Rearrange("n (h a) w -> n h (a w)", a=2),
            EinMix("n h i -> n h o", weight_shape="i o", bias_shape="o", i=8, o=5),
            EinMix("n (g i) o -> n (g o) i", weight_shape="g i o", g=2, i=1, o=5),
            Reduce("n a b -> n a", "max"),
        )
        x = tg.linspace(-1, 1, 32).reshape(2, 4, 4)
        optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[2] < losses[0]
        assert list(net.state_dict()) == ["1.weight", "1.bias", "2.weight"]
        assert tg.allclose(tg.compile(net)(x), net(x), atol=1e-5)


def rosenbrock(p: Any) -> tg.Tensor:
    return (100 * (p["y"] - p["x"] ** 2) ** 2 + (1 - p["x"]) ** 2).sum()


METHODS = [
    "BFGS",
    "L-BFGS-B",
    "CG",
    "Newton-CG",
    "trust-ncg",
    "trust-krylov",
    "TNC",
    "SLSQP",
    "Nelder-Mead",
    None,
]


@pytest.mark.parametrize("method", METHODS)
def test_minimisers_of_scipy_find_the_least_value(method: str | None) -> None:
    start = {n: tg.tensor([-1.2, 0.5], dtype=tg.float64, device="cpu") for n in "xy"}
    found = minimize(
        rosenbrock, start, method, options={"maxfun" if method == "TNC" else "maxiter": 4000}
    )
    assert found.fun < 1e-5
    for name in "xy":
        assert found.params[name].dtype is tg.float64
        assert found.params[name].tolist() == pytest.approx([1, 1], abs=1e-2)


def test_values_gradients_and_products_are_those_of_differences() -> None:
    start = {n: tg.tensor([-1.2, 0.5], dtype=tg.float64, device="cpu") for n in "xy"}
    f = Objective(rosenbrock, start)
    v, p = f.start, np.array([0.3, -0.2, 0.1, 0.5])
    assert f(v)[0] == f.value(v)
    np.testing.assert_allclose(f(v)[1], optimize.approx_fprime(v, f.value), rtol=1e-4)
    step = 1e-6
    np.testing.assert_allclose(
        f.hessp(v, p), (f(v + step * p)[1] - f(v - step * p)[1]) / (2 * step), rtol=1e-5
    )
    with pytest.raises(TypeError, match="x0 must be a tensor of floats"):
        minimize(rosenbrock, [1.0])
    with pytest.raises(TypeError, match="tensor of one element"):
        minimize(lambda x: x, tg.ones(2, device="cpu"))
