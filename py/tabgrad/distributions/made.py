"""Laws that a transform makes of another: log-normal, half-normal, Gumbel, Weibull, Pareto and others."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import EULER, Given, tensors
from tabgrad.distributions.continuous import Cauchy, Normal, Uniform
from tabgrad.distributions.gammas import Exponential, Gamma
from tabgrad.distributions.matrix_transforms import StickBreakingTransform
from tabgrad.distributions.transformed import TransformedDistribution
from tabgrad.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    PowerTransform,
)  # fmt: skip

Tensor = tg.Tensor


class _Scaled(TransformedDistribution):
    """The base of laws whose location and scale are those of their base."""

    base_dist: Any
    has_rsample = True

    @property
    def loc(self) -> Tensor:
        """The location of the base."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The scale of the base."""
        return self.base_dist.scale


class LogNormal(_Scaled):
    """The law of exp(x) for a normal x.

    >>> import tabgrad as tg
    >>> tg.distributions.LogNormal(0.0, 1.0).mean
    tensor(1.6487)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.positive

    def __init__(self, loc: Given, scale: Given, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return (self.loc + self.scale.square() / 2).exp()

    @property
    def mode(self) -> Tensor:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        square = self.scale.square()
        return square.expm1() * (2 * self.loc + square).exp()

    def _entropy(self) -> Tensor:
        return self.base_dist.entropy() + self.loc


class LogisticNormal(_Scaled):
    """The law of probabilities that stick-breaking makes of normal numbers.

    >>> import tabgrad as tg
    >>> tg.distributions.LogisticNormal(tg.zeros(3), tg.ones(3)).sample().shape
    tabgrad.Size([4])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.simplex

    def __init__(self, loc: Given, scale: Given, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        base = base if base.batch_shape else base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """The means of the normal numbers."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviations of the normal numbers."""
        return self.base_dist.base_dist.scale


class _Half(_Scaled):
    """The base of the laws of |x|."""

    support = constraints.nonnegative
    arg_constraints = {"scale": constraints.positive}  # noqa: RUF012

    @property
    def mode(self) -> Tensor:
        return tg.zeros_like(self.scale)

    def _log_prob(self, value: Tensor) -> Tensor:
        return tg.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def _cdf(self, value: Tensor) -> Tensor:
        return 2 * self.base_dist.cdf(value) - 1

    def _icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf((value + 1) / 2)

    def _entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """The law of |x| for a normal x of mean 0.

    >>> import tabgrad as tg
    >>> tg.distributions.HalfNormal(1.0).mean
    tensor(0.7979)
    """

    def __init__(self, scale: Given, validate_args: bool | None = None) -> None:
        super().__init__(Normal(0, scale, False), AbsTransform(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The law of |x| for an x of the Cauchy law around 0.

    >>> import tabgrad as tg
    >>> tg.distributions.HalfCauchy(1.0).cdf(tg.tensor(1.0))
    tensor(0.5000)
    """

    def __init__(self, scale: Given, validate_args: bool | None = None) -> None:
        super().__init__(Cauchy(0, scale, False), AbsTransform(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return tg.full_like(self.scale, math.inf)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance


class Gumbel(TransformedDistribution):
    """The Gumbel law: that of the largest of many numbers.

    >>> import tabgrad as tg
    >>> tg.distributions.Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.real

    def __init__(self, loc: Given, scale: Given, validate_args: bool | None = None) -> None:
        self.loc, self.scale = tensors(loc, scale)
        info = tg.finfo(self.loc.dtype)
        base = Uniform(tg.full_like(self.loc, info.tiny), 1 - info.eps, validate_args=False)
        steps = [
            ExpTransform().inv, AffineTransform(0, -1), ExpTransform().inv,
            AffineTransform(self.loc, -self.scale),
        ]  # fmt: skip
        super().__init__(base, steps, validate_args=validate_args)

    def _log_prob(self, value: Tensor) -> Tensor:
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    def _cdf(self, value: Tensor) -> Tensor:
        return (-((self.loc - value) / self.scale).exp()).exp()

    def _icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * (-value.log()).log()

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * EULER

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale * (math.pi / math.sqrt(6))

    @property
    def variance(self) -> Tensor:
        return self.stddev.square()

    def _entropy(self) -> Tensor:
        return self.scale.log() + (1 + EULER)


class Weibull(TransformedDistribution):
    """The Weibull law of times until a failure, more likely with age where the concentration is above 1.

    >>> import tabgrad as tg
    >>> tg.distributions.Weibull(2.0, 1.0).mean
    tensor(2.)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}  # noqa: RUF012
    support = constraints.positive

    def __init__(
        self, scale: Given, concentration: Given, validate_args: bool | None = None
    ) -> None:
        self.scale, self.concentration = tensors(scale, concentration)
        base = Exponential(tg.ones_like(self.scale), validate_args=False)
        steps = [PowerTransform(1 / self.concentration), AffineTransform(0, self.scale)]
        super().__init__(base, steps, validate_args=validate_args)

    def _moment(self, power: float) -> Tensor:
        return (1 + power / self.concentration).lgamma()

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1).exp()

    @property
    def mode(self) -> Tensor:
        k = self.concentration
        return self.scale * ((k - 1).clamp(min=0) / k) ** (1 / k)

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (self._moment(2).exp() - (2 * self._moment(1)).exp())

    def _entropy(self) -> Tensor:
        k = self.concentration
        return EULER * (1 - 1 / k) + (self.scale / k).log() + 1


class Pareto(TransformedDistribution):
    """The Pareto law: alpha scale^alpha / x^(alpha + 1) above `scale`.

    >>> import tabgrad as tg
    >>> tg.distributions.Pareto(1.0, 3.0).mean
    tensor(1.5000)
    """

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}  # noqa: RUF012

    def __init__(self, scale: Given, alpha: Given, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = tensors(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        steps = [ExpTransform(), AffineTransform(0, self.scale)]
        super().__init__(base, steps, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """At least the scale."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = self.alpha.clamp(min=2)
        return self.scale.square() * a / ((a - 1).square() * (a - 2))

    def _entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + 1 + 1 / self.alpha


class Kumaraswamy(TransformedDistribution):
    """A law on [0, 1] like the beta law, with a cdf in closed form: 1 - (1 - x^concentration1)^concentration0.

    >>> import tabgrad as tg
    >>> tg.distributions.Kumaraswamy(1.0, 1.0).mean
    tensor(0.5000)
    """

    arg_constraints = {  # noqa: RUF012
        "concentration1": constraints.positive, "concentration0": constraints.positive
    }  # fmt: skip
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, concentration1: Given, concentration0: Given, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = tensors(concentration1, concentration0)
        ones = tg.ones_like(self.concentration0)
        info = tg.finfo(ones.dtype)
        base = Uniform(ones * info.tiny, ones - info.eps / 2, validate_args=False)
        steps = [
            PowerTransform(1 / self.concentration0), AffineTransform(1.0, -1.0),
            PowerTransform(1 / self.concentration1),
        ]  # fmt: skip
        super().__init__(base, steps, validate_args=validate_args)

    def _moment(self, power: int) -> Tensor:
        a, b = self.concentration1, self.concentration0
        other = 1 + power / a
        return (other.lgamma() + b.lgamma() - (other + b).lgamma() + b.log()).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        inside = (a >= 1) & (b >= 1) & ~((a == 1) & (b == 1))
        x = (((a - 1).clamp(min=0)) / tg.where(inside, a * b - 1, 1)) ** (1 / a)
        return tg.where(inside, x, math.nan)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()

    def _log_prob(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        value, a, b = tg.broadcast_tensors(value, a, b)
        tail = tg.special.xlog1py(b - 1, -(value**a))
        return a.log() + b.log() + tg.xlogy(a - 1, value) + tail

    def _cdf(self, value: Tensor) -> Tensor:
        return -(self.concentration0 * (-(value**self.concentration1)).log1p()).expm1()

    def _icdf(self, value: Tensor) -> Tensor:
        rest = -((-value).log1p() / self.concentration0).expm1()
        return rest ** (1 / self.concentration1)

    def _entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + EULER
        return 1 - 1 / b + (1 - 1 / a) * harmonic - a.log() - b.log()


class InverseGamma(TransformedDistribution):
    """The law of 1 / x for a gamma x.

    >>> import tabgrad as tg
    >>> tg.distributions.InverseGamma(3.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}  # noqa: RUF012
    support = constraints.positive
    has_rsample = True
    base_dist: Any

    def __init__(
        self, concentration: Given, rate: Given, validate_args: bool | None = None
    ) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        step = PowerTransform(-tg.ones_like(base.rate))
        super().__init__(base, step, validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        """The concentration of the gamma law."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Tensor:
        """The rate of the gamma law, here a scale."""
        return self.base_dist.rate

    @property
    def mean(self) -> Tensor:
        a = self.concentration
        return tg.where(a > 1, self.rate / (tg.where(a > 1, a, 2) - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        a = tg.where(self.concentration > 2, self.concentration, 3)
        there = self.rate.square() / ((a - 1).square() * (a - 2))
        return tg.where(self.concentration > 2, there, math.inf)

    def _entropy(self) -> Tensor:
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()
