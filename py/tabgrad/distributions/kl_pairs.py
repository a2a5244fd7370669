"""Kullback-Leibler divergences between laws of different families."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.core.settings import on_restore
from tabgrad.distributions.arguments import EULER, HALF_LOG_TAU
from tabgrad.distributions.continuous import ContinuousBernoulli, Laplace, Normal, Uniform
from tabgrad.distributions.discrete import Bernoulli, Binomial, Poisson
from tabgrad.distributions.gammas import Beta, Exponential, Gamma
from tabgrad.distributions.kl import (
    FORMULAS,
    kl_divergence as kl_divergence,
    register_kl as register_kl,
)
from tabgrad.distributions.made import Gumbel, Pareto

Tensor = tg.Tensor


def _endless(p: Any, q: Any) -> Tensor:
    """Return infinity: p has values that q has not."""
    shape = tg.broadcast_shapes(p.batch_shape, q.batch_shape)
    return tg.full(shape, math.inf, dtype=p.mean.dtype, device=p.mean.device)


_UNIT = (ContinuousBernoulli, Beta)
for _p, _others in {
    Beta: (Pareto,), ContinuousBernoulli: (Pareto,),
    Exponential: (Uniform, Pareto, *_UNIT), Gamma: (Uniform, Pareto, *_UNIT),
    Gumbel: (Uniform, Pareto, Gamma, Exponential, *_UNIT),
    Laplace: (Uniform, Pareto, Gamma, Exponential, *_UNIT),
    Normal: (Uniform, Pareto, Gamma, Exponential, *_UNIT),
    Pareto: (Uniform, *_UNIT), Poisson: (Bernoulli, Binomial),
}.items():  # fmt: skip
    for _q in _others:
        register_kl(_p, _q)(_endless)


def _cross_normal(mean: Tensor, variance: Tensor, q: Any) -> Tensor:
    """Return the mean of -ln q for a normal q."""
    square = variance + (mean - q.loc).square()
    return 0.5 * square / q.scale.square() + q.scale.log() + HALF_LOG_TAU


def _within(p: Any, q: Any, value: Tensor) -> Tensor:
    """Return the value where the uniform law q covers [0, 1]."""
    return tg.where((q.high < 1) | (q.low > 0), math.inf, value)


@register_kl(Beta, ContinuousBernoulli)
def _beta_continuous(p: Any, q: Any) -> Tensor:
    return -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._log_norm()


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Tensor:
    return q.rate - tg.xlogy(p.probs, q.rate) - p.entropy()


@register_kl(Pareto, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
@register_kl(Beta, Exponential)
@register_kl(Gamma, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Tensor:
    a, rate = q.concentration, q.rate
    log_mean = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    cross = a.lgamma() - a * rate.log() - (a - 1) * log_mean + rate * p.mean
    return cross - p.entropy()


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
def _normal(p: Any, q: Any) -> Tensor:
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(Pareto, Normal)
def _pareto_normal(p: Any, q: Any) -> Tensor:
    value = _cross_normal(p.mean, tg.where(p.alpha > 2, p.variance, 0), q) - p.entropy()
    return tg.where(p.alpha > 2, value, math.inf)


@register_kl(Beta, Uniform)
@register_kl(ContinuousBernoulli, Uniform)
def _unit_uniform(p: Any, q: Any) -> Tensor:
    return _within(p, q, (q.high - q.low).log() - p.entropy())


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Tensor:
    ratio, a = q.rate / p.rate, q.concentration
    return -a * ratio.log() + ratio + a.lgamma() + a * EULER - (1 + EULER)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Tensor:
    product = p.rate * q.scale
    gap = q.loc / q.scale
    return product.log() - 1 + 1 / product - gap + (gap + (product / (product + 1)).log()).exp()


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Tensor:
    product, gap = p.rate * q.scale, q.loc / q.scale
    tail = (gap - p.concentration * (1 / product).log1p()).exp()
    return -p.entropy() + q.scale.log() + p.mean / q.scale - gap + tail


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Tensor:
    gap, ratio = (p.loc - q.loc) / q.scale, (p.scale / q.scale).square()
    return -p.entropy() + q.scale.log() + gap + (0.5 * ratio - gap).exp()


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Tensor:
    gap = p.loc - q.loc
    z = gap / p.scale
    distance = p.scale * math.sqrt(2 / math.pi) * (-0.5 * z.square()).exp()
    distance = distance + gap * (z * math.sqrt(0.5)).erf()
    return -p.entropy() + (2 * q.scale).log() + distance / q.scale


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Tensor:
    a, rate = q.concentration, q.rate
    log_mean = p.scale.log() + 1 / p.alpha
    cross = a.lgamma() - a * rate.log() - (a - 1) * log_mean + rate * p.mean
    return tg.where(p.alpha > 1, cross - p.entropy(), math.inf)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Tensor:
    a, b, width = q.concentration1, q.concentration0, p.high - p.low
    inner = tg.xlogy(p.high, p.high) - tg.xlogy(p.low, p.low) - width
    outer = tg.xlogy(1 - p.high, 1 - p.high) - tg.xlogy(1 - p.low, 1 - p.low) + width
    cross = q._log_normalizer(a, b) - ((a - 1) * inner - (b - 1) * outer) / width
    return tg.where((p.high > 1) | (p.low < 0), math.inf, cross - width.log())


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous(p: Any, q: Any) -> Tensor:
    cross = -p.mean * q.logits - (-q.probs).log1p() - q._log_norm()
    return tg.where((p.high > 1) | (p.low < 0), math.inf, cross - p.entropy())


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Tensor:
    return tg.where(p.low < 0, math.inf, q.rate * p.mean - q.rate.log() - p.entropy())


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Tensor:
    a, rate, width = q.concentration, q.rate, p.high - p.low
    log_mean = (tg.xlogy(p.high, p.high) - tg.xlogy(p.low, p.low)) / width - 1
    cross = a.lgamma() - a * rate.log() - (a - 1) * log_mean + rate * p.mean
    return tg.where(p.low < 0, math.inf, cross - p.entropy())


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Tensor:
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    mean = 0.5 * (high + low)
    tail = ((-low).exp() - (-high).exp()) / (high - low)
    return mean + tail + q.scale.log() - p.entropy()


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Tensor:
    width = p.high - p.low
    log_mean = (tg.xlogy(p.high, p.high) - tg.xlogy(p.low, p.low)) / width - 1
    cross = (q.alpha + 1) * log_mean - q.alpha.log() - q.alpha * q.scale.log()
    return tg.where(p.low < q.scale, math.inf, cross - p.entropy())


_OWN = dict(FORMULAS)


@on_restore
def _forget() -> None:
    """Forget the formulas that a program registered: the next one starts without them."""
    FORMULAS.clear()
    FORMULAS.update(_OWN)
