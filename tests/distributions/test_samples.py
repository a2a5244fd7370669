"""Samples follow their law: moments, the distance from the cdf, and derivatives that keep the quantile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg

D = tg.distributions


def on(device: Any, *values: Any) -> list[Any]:
    return [tg.tensor(v, device=device) for v in values]


def laws(device: Any) -> list[Any]:
    """Return a law of every family of numbers."""
    a, b, p = on(device, [0.3, 0.9, 5.0], [1.5, 0.7, 2.0], [0.2, 0.5, 0.9])
    return [
        D.Normal(a, b), D.Laplace(a, b), D.Uniform(a, a + b), D.Exponential(b), D.Gamma(a, b),
        D.Chi2(a), D.Beta(a, b), D.StudentT(a + 5, a, b), D.FisherSnedecor(a + 3, b + 12),
        D.GeneralizedPareto(a, b, p / 10), D.ContinuousBernoulli(p), D.Bernoulli(p), D.Geometric(p),
        D.Binomial(tg.tensor([7.0, 90.0, 300.0], device=device), p), D.NegativeBinomial(a, p / 2),
        D.Poisson(a), D.LogNormal(a / 10, b / 4), D.HalfNormal(b), D.Gumbel(a, b), D.Weibull(b, a + 1),
        D.Pareto(b, a + 5), D.Kumaraswamy(a, b), D.InverseGamma(a + 5, b), D.OneHotCategorical(p),
        D.Multinomial(9, p), D.Dirichlet(a), D.MultivariateNormal(a, tg.eye(3, device=device) + 0.5),
        D.LowRankMultivariateNormal(a, b[:, None], p),
        D.Wishart(tg.tensor(5.0, device=device), tg.eye(3, device=device) + 0.5),
        D.MixtureSameFamily(D.Categorical(p), D.Normal(a, b)),
    ]  # fmt: skip


def test_samples_have_the_moments_of_their_law() -> None:
    tg.manual_seed(3)
    count = 1500
    wrong = []
    for law in laws("cpu"):
        x = law.sample((count,))
        assert x.shape == (count, *law.batch_shape, *law.event_shape)
        if law._validate_args:
            assert bool(law.support.check(x).all()), law
        far = (x.mean(0) - law.mean).abs() / (law.variance / count).sqrt()
        spread = x.var(0) / law.variance
        if not bool((far < 4.5).all()) or not bool(((spread > 0.5) & (spread < 1.8)).all()):
            wrong.append((law, far, spread))
    assert wrong == []


def distance(law: Any, count: int) -> Any:
    """Return the Kolmogorov-Smirnov distance of samples from the cdf, times the root of their number."""
    x = law.sample((count,)).sort(0).values
    step = tg.arange(1, count + 1, device=x.device).reshape(-1, 1) / count
    gap = law.cdf(x) - step
    return tg.maximum(gap.abs(), (gap + 1 / count).abs()).max() * math.sqrt(count)


@pytest.mark.every_host
def test_samples_lie_as_the_cdf_says(device: Any) -> None:
    tg.manual_seed(4)
    a, b, p = on(device, [0.2, 0.3, 1.0, 9.0], [1.5, 0.7, 2.0, 1.0], [0.2, 0.4, 0.6, 0.9])
    asked = [
        D.Normal(a, b), D.Laplace(a, b), D.Cauchy(a, b), D.Gamma(a, b), D.Exponential(b), D.HalfCauchy(b),
        D.ContinuousBernoulli(p), D.Gumbel(a, b), D.Weibull(b, a + 1), D.Kumaraswamy(a + 1, b),
    ]  # fmt: skip
    for law in asked[3:5] if str(device) != "cpu" else asked:
        # 1 in 10,000 is further away
        assert float(distance(law, 2000)) < 2.4, law


def test_angles_are_spread_as_the_von_mises_law_says() -> None:
    tg.manual_seed(5)
    k = tg.tensor([1e-3, 0.5, 3.0, 500.0], device="cpu")
    law = D.VonMises(tg.tensor(1.0, device="cpu"), k)
    x = law.sample((8000,))
    gap = ((x - 1).cos().mean(0) - (1 - law.variance)) * math.sqrt(8000)
    spread = (x - 1).cos().var(0).sqrt()
    assert bool((gap.abs() < 4.5 * spread).all())
    assert bool((((x - 1).sin().mean(0) * math.sqrt(8000)).abs() < 4.5).all())


def test_correlations_are_spread_as_the_lkj_law_says() -> None:
    tg.manual_seed(6)
    eta = tg.tensor([0.7, 3.0], device="cpu")
    x = D.LKJCholesky(3, eta).sample((4000,))
    r = (x @ x.mT)[..., 2, 1]
    # each correlation is 2 y - 1 for a beta number of both concentrations eta + (n - 2) / 2
    law = D.Beta(eta + 0.5, eta + 0.5)
    assert bool(((r.var(0) / (4 * law.variance) - 1).abs() < 0.12).all())
    assert bool((r.mean(0).abs() < 0.05).all())


def slope(make: Callable[[Any], Any], at: list[float]) -> tuple[Any, Any, Any, Any]:
    """Return a parameter, samples, their derivatives and second derivatives."""
    a = tg.tensor(at, dtype=tg.float64, device="cpu", requires_grad=True)
    wide = a + 0 * tg.zeros(20, len(at), dtype=tg.float64, device="cpu")
    x = make(wide).rsample()
    (first,) = tg.autograd.grad(x.sum(), wide, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), wide)
    return wide.detach(), x.detach(), first.detach(), second


def test_gamma_samples_move_with_their_quantile() -> None:
    tg.manual_seed(7)
    wide, x, first, second = slope(lambda a: D.Gamma(a, 2.0), [0.05, 0.6, 1.0, 2.5, 30.0, 1e4])

    def quantile_moves(a: Any, x: Any) -> Any:
        """Return -(dP/da) / p, by a difference of the cdf."""
        h = 1e-3 * a.clamp(max=1)
        p = [tg.special.gammainc(a + k * h, 2 * x) for k in (-2, -1, 1, 2)]
        rise = (p[0] - 8 * p[1] + 8 * p[2] - p[3]) / (12 * h)
        return -rise / D.Gamma(a, 2.0).log_prob(x).exp()

    tg.testing.assert_close(first, quantile_moves(wide, x), rtol=1e-6, atol=1e-9)
    h = 1e-3 * wide.clamp(max=1)
    ahead = quantile_moves(wide + h, x + h * first + h * h * second / 2)
    behind = quantile_moves(wide - h, x - h * first + h * h * second / 2)
    tg.testing.assert_close(second, (ahead - behind) / (2 * h), rtol=1e-3, atol=1e-6)


def test_derivatives_of_samples_are_those_of_the_mean() -> None:
    tg.manual_seed(8)
    made: list[tuple[Callable[[Any], Any], list[float]]] = [
        (lambda a: D.Beta(a, 2.0), [0.4, 3.0]), (lambda a: D.Beta(2.0, a), [0.4, 3.0]),
        (lambda a: D.Chi2(a), [1.0, 5.0]), (lambda a: D.Normal(a, 1.0), [1.0, 5.0]),
        (lambda a: D.Exponential(a), [1.0, 5.0]), (lambda a: D.Weibull(a, 2.0), [1.0, 5.0]),
        (lambda a: D.FisherSnedecor(3.0, a), [9.0, 12.0]), (lambda a: D.InverseGamma(a, 2.0), [4.0, 5.0]),
        (lambda a: D.Kumaraswamy(a, 2.0), [0.5, 5.0]), (lambda a: D.ContinuousBernoulli(a), [0.3, 0.9]),
    ]  # fmt: skip
    for make, at in made:
        a = tg.tensor(at, dtype=tg.float64, device="cpu", requires_grad=True)
        wide = a.expand(500, len(at))
        (each,) = tg.autograd.grad(make(wide).rsample().sum(), wide)
        (wanted,) = tg.autograd.grad(make(a).mean.sum(), a)
        gap = (each.mean(0) - wanted).abs()
        assert bool((gap <= 4.5 * (each.var(0) / 500).sqrt() + 1e-9).all()), make(a)


def test_tangents_and_batches_go_through_samples() -> None:
    a = tg.tensor([0.5, 3.0], dtype=tg.float64, device="cpu")

    def draw(a: Any) -> Any:
        tg.manual_seed(9)
        return D.Dirichlet(a).rsample()

    x, moved = tg.func.jvp(draw, (a,), (tg.ones_like(a),))
    jacobian = tg.func.jacrev(draw)(a)
    tg.testing.assert_close(moved, jacobian.sum(-1))
    assert float(moved.sum().abs()) < 1e-12
    assert x.shape == (2,)
    each = tg.vmap(lambda a: D.Gamma(a, 1.0).log_prob(a))(a)
    tg.testing.assert_close(each, D.Gamma(a, 1.0).log_prob(a))


@pytest.mark.every_host
def test_gamma_derivatives_on_devices(device: Any) -> None:
    tg.manual_seed(10)
    at = [0.05, 0.6, 2.5, 30.0]
    a = tg.tensor(at, device=device, requires_grad=True)
    wide = a.expand(16, 4)
    x = D.Gamma(wide, 1.0).rsample()
    (first,) = tg.autograd.grad(x.sum(), wide)
    from tabgrad.special.gamma_samples import follow

    exact = tg.tensor(at, dtype=tg.float64, device="cpu").expand(16, 4).clone().requires_grad_()
    y = x.detach().cpu().double()
    (wanted,) = tg.autograd.grad(follow(exact, y.log()).exp().sum(), exact)
    tg.testing.assert_close(first.cpu().double(), wanted, rtol=1e-4, atol=1e-9)
