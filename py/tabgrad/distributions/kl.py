"""Kullback-Leibler divergences: which formula serves which pair of laws, and those of the same family."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.distributions.arguments import EULER, summed
from tabgrad.distributions.categorical import Categorical, OneHotCategorical
from tabgrad.distributions.continuous import (
    Cauchy,
    ContinuousBernoulli,
    Laplace,
    Normal,
    Uniform,
)  # fmt: skip
from tabgrad.distributions.discrete import Bernoulli, Binomial, Geometric, Poisson
from tabgrad.distributions.distribution import Distribution, ExponentialFamily
from tabgrad.distributions.gammas import Beta, Dirichlet, Exponential, Gamma
from tabgrad.distributions.independent import Independent
from tabgrad.distributions.made import Gumbel, HalfNormal, Pareto
from tabgrad.distributions.matrices import (
    LowRankMultivariateNormal,
    MultivariateNormal,
    Wishart,
    half_log_det,
    squared_length,
)  # fmt: skip
from tabgrad.distributions.transformed import TransformedDistribution

Tensor = tg.Tensor
Formula = Callable[[Any, Any], Any]

FORMULAS: dict[tuple[type, type], Formula] = {}
"""The formula of each pair of classes."""


def register_kl(type_p: type, type_q: type) -> Callable[[Formula], Formula]:
    """Return a decorator that makes a function of p and q the divergence for two classes.

    >>> import tabgrad as tg
    >>> @tg.distributions.register_kl(tg.distributions.Cauchy, tg.distributions.Normal)
    ... def heavy_tails(p, q):
    ...     return tg.full_like(p.loc, tg.inf)
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected type to be a Distribution subclass but got {kind}")

    def decorated(fun: Formula) -> Formula:
        FORMULAS[type_p, type_q] = fun
        return fun

    return decorated


def _found(type_p: type, type_q: type) -> Formula | None:
    """Return the formula of the nearest classes above both."""
    steps = [
        (type_p.__mro__.index(p) + type_q.__mro__.index(q), type_p.__mro__.index(p), p, q)
        for p, q in FORMULAS
        if issubclass(type_p, p) and issubclass(type_q, q)
    ]
    if not steps:
        return None
    _, _, p, q = min(steps, key=lambda step: step[:2])
    return FORMULAS[p, q]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """Return the mean of ln p(x) - ln q(x) over x from p, of the batch shape.

    Pairs without a formula raise NotImplementedError; `register_kl` gives them one.

    >>> import tabgrad as tg
    >>> D = tg.distributions
    >>> D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(1.0, 1.0))
    tensor(0.5000)
    """
    formula = _found(type(p), type(q))
    if formula is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        )
    return formula(p, q)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    rest = tg.xlogy(1 - p.probs, 1 - p.probs) - tg.xlogy(1 - p.probs, 1 - q.probs)
    return tg.xlogy(p.probs, p.probs) - tg.xlogy(p.probs, q.probs) + rest


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Tensor:
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    norm = q._log_normalizer(c, d) - p._log_normalizer(a, b)
    total = (c + d - a - b) * (a + b).digamma()
    return norm + (a - c) * a.digamma() + (b - d) * b.digamma() + total


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    each = p.total_count * _bernoulli(p, q)
    return tg.where(p.total_count > q.total_count, math.inf, each)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = tg.where(q.probs == 0, math.inf, terms)
    return tg.where(p.probs == 0, 0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Tensor:
    square = (p.scale + q.scale).square() + (p.loc - q.loc).square()
    return square.log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Tensor:
    low, other = (-p.probs).log1p(), (-q.probs).log1p()
    return p.mean * (p.logits - q.logits) + p._log_norm() + low - q._log_norm() - other


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    norm = q._log_normalizer(b) - p._log_normalizer(a)
    gap = a.digamma() - a.sum(-1, True).digamma()
    return norm + ((a - b) * gap).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(ExponentialFamily, ExponentialFamily)
def _family(p: Any, q: Any) -> Tensor:
    """Return the Bregman divergence of the normalizer."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed "
            "using Bregman divergences"
        )
    mine = [n if n.requires_grad else n.detach().requires_grad_() for n in p._natural_params]
    with tg.enable_grad():
        normalizer = p._log_normalizer(*mine)
        slopes = tg.autograd.grad(normalizer.sum(), mine, create_graph=True)
    total = q._log_normalizer(*q._natural_params) - normalizer
    for eta, other, slope in zip(mine, q._natural_params, slopes, strict=True):
        total = total - summed((other - eta) * slope, len(q.event_shape))
    return total


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    norm = b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma()
    return norm + (a - b) * a.digamma() + (q.rate - p.rate) * (a / p.rate)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    gap = (q.loc - p.loc) / q.scale
    return (gap + (1 + ratio).lgamma()).exp() - ratio.log() - gap + ratio * EULER - (1 + EULER)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Tensor:
    ratio, gap = p.scale / q.scale, (p.loc - q.loc).abs()
    return gap / q.scale + ratio * (-gap / p.scale).exp() - ratio.log() - 1


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be computed"
        )
    first, second = p.scale_tril, q.scale_tril
    shape = tg.broadcast_shapes(first.shape, second.shape)
    solved = tg.linalg.solve_triangular(second.expand(*shape), first.expand(*shape), upper=False)
    square = solved.square().sum((-2, -1)) + squared_length(second, q.loc - p.loc)
    return half_log_det(second) - half_log_det(first) + 0.5 * (square - p.event_shape[0])


@register_kl(Wishart, Wishart)
def _wishart(p: Any, q: Any) -> Tensor:
    first, second = p._factor, q._factor
    shape = tg.broadcast_shapes(first.shape, second.shape)
    solved = tg.linalg.solve_triangular(second.expand(*shape), first.expand(*shape), upper=False)
    trace = solved.square().sum((-2, -1))
    half = 0.5 * p.df * (trace - p.event_shape[0])
    return 0.5 * (p.df - q.df) * p._mean_log_det() + half + q._log_norm() - p._log_norm()


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Tensor:
    scales, ratio = p.scale / q.scale, q.alpha / p.alpha
    value = q.alpha * scales.log() - ratio.log() + ratio - 1
    return tg.where(p.scale < q.scale, math.inf, value)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Tensor:
    return tg.xlogy(p.rate, p.rate / q.rate) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("No KL(p || q) is implemented for laws with different transforms")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Tensor:
    value = ((q.high - q.low) / (p.high - p.low)).log()
    return tg.where((q.low > p.low) | (q.high < p.high), math.inf, value)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "No KL(p || q) is implemented for independent laws of different numbers of dims"
        )
    return summed(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
