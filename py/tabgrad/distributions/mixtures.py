"""Mixtures of laws of one family, and relaxed categories."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import (
    Given,
    Sizes,
    cached_property,
    clamped,
    floating,
    one_of,
    open_unit,
    tensors,
    to_logits,
    to_probs,
)  # fmt: skip
from tabgrad.distributions.categorical import CHOICE, Categorical, _Categories
from tabgrad.distributions.discrete import BINARY
from tabgrad.distributions.distribution import Distribution
from tabgrad.distributions.transformed import TransformedDistribution
from tabgrad.distributions.transforms import ExpTransform, SigmoidTransform

Tensor = tg.Tensor
Size = tg.Size


class MixtureSameFamily(Distribution):
    """A mixture: one of the components, along the last batch dim, by a categorical law of as many.

    >>> import tabgrad as tg
    >>> D = tg.distributions
    >>> d = D.MixtureSameFamily(D.Categorical(tg.ones(2)), D.Normal(tg.tensor([-1.0, 3.0]), 1.0))
    >>> d.mean
    tensor(1.)
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of "
                "tabgrad.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of "
                "tabgrad.distributions.Distribution"
            )
        mixed, parts = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        for one, other in zip(reversed(mixed), reversed(parts), strict=False):
            if one != 1 and other != 1 and one != other:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({mixed}) is not compatible with "
                    f"`component_distribution.batch_shape`({parts})"
                )
        count, other = mixture_distribution._num_events, component_distribution.batch_shape[-1]
        if count != other:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({other})"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        self._num_component = count
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(parts, component_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Sizes, _instance: Any = None) -> Any:
        """Return this distribution with its parameters expanded to `batch_shape`."""
        new = super().expand(batch_shape, _instance)
        component = self._component_distribution
        new._component_distribution = component.expand((*batch_shape, self._num_component))
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the components."""
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """Which component it is."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    def _weights(self) -> Tensor:
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *(1,) * self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return (self._weights() * self._component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        """The mean of the variances, and the variance of the means."""
        dim, weights, component = (
            -1 - self._event_ndims,
            self._weights(),
            self._component_distribution,
        )
        gap = component.mean - self.mean.unsqueeze(dim)
        return (weights * (component.variance + gap.square())).sum(dim)

    def _cdf(self, value: Tensor) -> Tensor:
        each = self._component_distribution.cdf(value.unsqueeze(-1 - self._event_ndims))
        return (each * self._mixture_distribution.probs).sum(-1)

    def _log_prob(self, value: Tensor) -> Tensor:
        each = self._component_distribution.log_prob(value.unsqueeze(-1 - self._event_ndims))
        return tg.logsumexp(each + self._mixture_distribution.logits, -1)

    def _sample(self, shape: Sizes) -> Tensor:
        dims = self._event_ndims
        lead = Size(shape[: len(shape) - dims])
        more = lead[: len(lead) - len(self._batch_shape)]
        index = self._mixture_distribution.expand(self._batch_shape).sample(more)
        every = self._component_distribution.sample(more)
        place = index.reshape(*lead, 1, *(1,) * dims).expand(*lead, 1, *self._event_shape)
        return every.gather(len(lead), place).squeeze(len(lead))

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"


class _LogitRelaxedBernoulli(Distribution):
    """The logits of relaxed Bernoulli numbers."""

    arg_constraints = BINARY
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature: Given, probs: Any, logits: Any, validate_args: Any) -> None:
        name = one_of(probs, logits)
        given = floating(probs if logits is None else logits)
        self.temperature = temperature
        setattr(self, name, given)
        super().__init__(given.shape, validate_args=validate_args)

    probs = cached_property(lambda self: to_probs(self.logits, True))
    logits = cached_property(lambda self: to_logits(self.probs, True))

    def _rsample(self, shape: Sizes) -> Tensor:
        p = clamped(self.probs.expand(*shape))
        u = clamped(open_unit(shape, p))
        noise = u.log() - (-u).log1p()
        return (noise + p.log() - (-p).log1p()) / self.temperature

    def _log_prob(self, value: Tensor) -> Tensor:
        logits, value = tensors(self.logits, value)
        gap = logits - value * self.temperature
        return (
            floating(self.temperature).log().to(gap.device)
            + gap
            - 2 * tg.nn.functional.softplus(gap)
        )


class _Relaxed(TransformedDistribution):
    """What relaxed laws tell of the law that they are made of."""

    has_rsample = True
    base_dist: Any

    def _constraints(self) -> Any:
        return {}

    @property
    def temperature(self) -> Given:
        """How far samples are from the extremes."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The logits of the law without a temperature."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities of the law without a temperature."""
        return self.base_dist.probs


class RelaxedBernoulli(_Relaxed):
    """Numbers in (0, 1) near 0 or 1, the nearer the lower the temperature, with derivatives.

    >>> import tabgrad as tg
    >>> tg.distributions.RelaxedBernoulli(tg.tensor(2.0), tg.tensor([0.1, 0.9])).rsample().shape
    tabgrad.Size([2])
    """

    arg_constraints = BINARY
    support = constraints.unit_interval

    def __init__(
        self, temperature: Given, probs: Given | None = None, logits: Given | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        base = _LogitRelaxedBernoulli(temperature, probs, logits, validate_args)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)


class _LogRelaxedCategorical(_Categories):
    """The logarithms of relaxed categories."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature: Given, probs: Any, logits: Any, validate_args: Any) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def _rsample(self, shape: Sizes) -> Tensor:
        u = clamped(open_unit(shape, self.logits))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def _log_prob(self, value: Tensor) -> Tensor:
        k = self._event_shape[0]
        logits, value = tensors(self.logits, value)
        heat = floating(self.temperature).to(value.device)
        norm = math.lgamma(k) + (k - 1) * heat.log()
        scores = logits - value * heat
        return (scores - scores.logsumexp(-1, keepdim=True)).sum(-1) + norm


class RelaxedOneHotCategorical(_Relaxed):
    """Probabilities near one category, the nearer the lower the temperature, with derivatives.

    >>> import tabgrad as tg
    >>> tg.distributions.RelaxedOneHotCategorical(tg.tensor(2.0), tg.ones(3)).rsample().shape
    tabgrad.Size([3])
    """

    arg_constraints = CHOICE
    support = constraints.simplex

    def __init__(
        self, temperature: Given, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        base = _LogRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)
