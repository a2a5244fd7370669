"""Laws of real numbers with a location and a scale, and those on intervals."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import (
    HALF_LOG_TAU,
    Given,
    Sizes,
    cached_property,
    clamped,
    floating,
    normals,
    one_of,
    open_unit,
    tensors,
    to_logits,
    to_probs,
)  # fmt: skip
from tabgrad.distributions.distribution import Distribution, ExponentialFamily

Tensor = tg.Tensor
LOC_SCALE = {"loc": constraints.real, "scale": constraints.positive}


class Normal(ExponentialFamily):
    """The normal law of mean `loc` and standard deviation `scale`.

    >>> import tabgrad as tg
    >>> tg.distributions.Normal(0.0, 1.0).log_prob(tg.tensor(0.0))
    tensor(-0.9189)
    """

    arg_constraints = LOC_SCALE
    support = constraints.real
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, loc: Given, scale: Given, validate_args: bool | None = None) -> None:
        self.loc, self.scale = tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def _rsample(self, shape: Sizes) -> Tensor:
        return self.loc + self.scale * normals(shape, self.loc)

    def _log_prob(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.scale
        return -0.5 * z.square() - self.scale.log() - HALF_LOG_TAU

    def _cdf(self, value: Tensor) -> Tensor:
        return tg.special.ndtr((value - self.loc) / self.scale)

    def _icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * tg.special.ndtri(value)

    def _entropy(self) -> Tensor:
        return 0.5 + HALF_LOG_TAU + self.scale.log()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.loc / self.variance, -0.5 / self.variance

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        x, y = natural_params
        return -0.25 * x.square() / y + 0.5 * (-math.pi / y).log()


class Laplace(Distribution):
    """The Laplace law: exp(-|x - loc| / scale) / (2 scale).

    >>> import tabgrad as tg
    >>> tg.distributions.Laplace(0.0, 1.0).cdf(tg.tensor(0.0))
    tensor(0.5000)
    """

    arg_constraints = LOC_SCALE
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Given, scale: Given, validate_args: bool | None = None) -> None:
        self.loc, self.scale = tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.square()

    @property
    def stddev(self) -> Tensor:
        return math.sqrt(2) * self.scale

    def _rsample(self, shape: Sizes) -> Tensor:
        gap = open_unit(shape, self.loc).log() - open_unit(shape, self.loc).log()
        return self.loc + self.scale * gap

    def _log_prob(self, value: Tensor) -> Tensor:
        return -(value - self.loc).abs() / self.scale - (2 * self.scale).log()

    def _cdf(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.scale
        tail = 0.5 * (-z.abs()).exp()
        return tg.where(z < 0, tail, 1 - tail)

    def _icdf(self, value: Tensor) -> Tensor:
        z = value - 0.5
        return self.loc - self.scale * z.sign() * (-2 * z.abs()).log1p()

    def _entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()


class Cauchy(Distribution):
    """The Cauchy law, whose tails are so heavy that it has no mean: it is nan, the variance infinite.

    >>> import tabgrad as tg
    >>> tg.distributions.Cauchy(0.0, 1.0).cdf(tg.tensor(1.0))
    tensor(0.7500)
    """

    arg_constraints = LOC_SCALE
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Given, scale: Given, validate_args: bool | None = None) -> None:
        self.loc, self.scale = tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return tg.full_like(self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return tg.full_like(self.loc, math.inf)

    def _rsample(self, shape: Sizes) -> Tensor:
        return self.icdf(open_unit(shape, self.loc))

    def _log_prob(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.scale
        return -math.log(math.pi) - self.scale.log() - z.square().log1p()

    def _cdf(self, value: Tensor) -> Tensor:
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def _icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * (math.pi * (value - 0.5)).tan()

    def _entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()


class Uniform(Distribution):
    """The uniform law on [low, high).

    >>> import tabgrad as tg
    >>> tg.distributions.Uniform(0.0, 4.0).icdf(tg.tensor(0.25))
    tensor(1.)
    """

    has_rsample = True

    @property
    def arg_constraints(self) -> Any:
        """The constraint of each parameter by its name."""
        return {
            "low": constraints.less_than(self.high), "high": constraints.greater_than(self.low)
        }  # fmt: skip

    def __init__(self, low: Given, high: Given, validate_args: bool | None = None) -> None:
        self.low, self.high = tensors(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From low to high."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        return math.nan * self.high

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low).square() / 12

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) / math.sqrt(12)

    def _rsample(self, shape: Sizes) -> Tensor:
        u = tg.rand(tuple(shape), dtype=self.low.dtype, device=self.low.device)
        return self.low + u * (self.high - self.low)

    def _log_prob(self, value: Tensor) -> Tensor:
        inside = (self.low <= value) & (value < self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def _cdf(self, value: Tensor) -> Tensor:
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def _icdf(self, value: Tensor) -> Tensor:
        return self.low + value * (self.high - self.low)

    def _entropy(self) -> Tensor:
        return (self.high - self.low).log()


class VonMises(Distribution):
    """The law of an angle that is most often near `loc`: exp(concentration cos(x - loc)), normalized.

    A sample is the last of 24 tries that was accepted; none is with a probability below 1e-10.

    >>> import tabgrad as tg
    >>> tg.distributions.VonMises(tg.tensor(0.0), tg.tensor(1.0)).log_prob(tg.tensor(0.0))
    tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}  # noqa: RUF012
    support = constraints.real

    def __init__(self, loc: Given, concentration: Given, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = tensors(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean direction."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The circular variance."""
        k = self.concentration
        return 1 - tg.special.i1e(k) / tg.special.i0e(k)

    def _sample(self, shape: Sizes) -> Tensor:
        k = self.concentration.expand(*shape)
        work = k if k.dtype == tg.float64 else k.float()
        root = (1 + 4 * work.square()).sqrt()
        tau = 1 + root
        bottom = tau + (2 * tau).sqrt()
        rho = 2 * work / bottom
        # written so that nothing cancels for small or large concentrations
        rest = (1 + 1 / (root + 2 * work) + (2 * tau).sqrt()) / bottom
        angle, ratio = tg.zeros_like(work), (rest / (1 + rho)).square()
        excess = (rest * (1 + rho) / (2 * rho)).square()
        r = (1 + rho.square()) / (2 * rho)
        for _ in range(24):
            turn = math.pi * (open_unit(shape, work) - 0.5)
            z = (2 * turn).cos()
            c = work * excess / (r + z)
            u = open_unit(shape, work)
            taken = (c * (2 - c) > u) | ((c / u).log() + 1 - c >= 0)
            angle = tg.where(taken, 2 * (ratio.sqrt() * turn.tan()).atan(), angle)
        x = angle.to(k.dtype) + self.loc
        return (x + math.pi) % (2 * math.pi) - math.pi

    def _log_prob(self, value: Tensor) -> Tensor:
        k = self.concentration
        lower = 2 * (0.5 * (value - self.loc)).sin().square()
        return -k * lower - math.log(2 * math.pi) - tg.special.i0e(k).log()


class GeneralizedPareto(Distribution):
    """The generalized Pareto law above `loc`: the limit of what exceeds a high threshold.

    >>> import tabgrad as tg
    >>> tg.distributions.GeneralizedPareto(0.0, 1.0, 0.5).mean
    tensor(2.)
    """

    arg_constraints = {**LOC_SCALE, "concentration": constraints.real}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self, loc: Given, scale: Given, concentration: Given, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = tensors(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """At least loc, and where the concentration is negative at most loc - scale / concentration."""
        k = self.concentration
        end = self.loc - self.scale / tg.where(k < 0, k, -1)
        return constraints.interval(self.loc, tg.where(k < 0, end, math.inf))

    def _curved(self) -> tuple[Tensor, Tensor]:
        """Return where the concentration is not 0, and it with 1 in the other places."""
        k = self.concentration
        curved = k.abs() > tg.finfo(k.dtype).eps
        return curved, tg.where(curved, k, 1)

    def _hazard(self, value: Tensor) -> Tensor:
        """Return -ln(1 - cdf)."""
        z = (value - self.loc) / self.scale
        curved, k = self._curved()
        return tg.where(curved, (k * tg.where(curved, z, 0)).log1p() / k, z)

    @property
    def mean(self) -> Tensor:
        k = self.concentration
        there = k < 1
        return tg.where(there, self.loc + self.scale / (1 - tg.where(there, k, 0)), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        k = self.concentration
        there = k < 0.5
        safe = tg.where(there, k, 0)
        value = self.scale.square() / ((1 - safe).square() * (1 - 2 * safe))
        return tg.where(there, value, math.inf)

    def _rsample(self, shape: Sizes) -> Tensor:
        return self.icdf(open_unit(shape, self.loc))

    def _log_prob(self, value: Tensor) -> Tensor:
        return -self.scale.log() - (1 + self.concentration) * self._hazard(value)

    def _cdf(self, value: Tensor) -> Tensor:
        return -(-self._hazard(value)).expm1()

    def _icdf(self, value: Tensor) -> Tensor:
        hazard = -(-value).log1p()
        curved, k = self._curved()
        return self.loc + self.scale * tg.where(curved, (k * hazard).expm1() / k, hazard)

    def _entropy(self) -> Tensor:
        return 1 + self.scale.log() + self.concentration


class ContinuousBernoulli(ExponentialFamily):
    """The law on [0, 1] with a density proportional to p^x (1 - p)^(1 - x), for p near 0.5 by its series.

    >>> import tabgrad as tg
    >>> tg.distributions.ContinuousBernoulli(probs=0.5).mean
    tensor(0.5000)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}  # noqa: RUF012
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self, probs: Given | None = None, logits: Given | None = None,
        lims: tuple[float, float] = (0.499, 0.501), validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = one_of(probs, logits)
        given = floating(probs if logits is None else logits)
        self._lims = lims
        setattr(self, name, given)
        super().__init__(given.shape, validate_args=validate_args)
        if name == "probs":
            self.probs = clamped(given)

    @cached_property
    def probs(self) -> Tensor:
        """The parameter p."""
        return clamped(to_probs(self.logits, True))

    @cached_property
    def logits(self) -> Tensor:
        """Its logit ln(p / (1 - p))."""
        return to_logits(self.probs, True)

    def _cut(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return whether p is outside the limits, p there and 0.25 elsewhere, and p - 0.5."""
        p = self.probs
        outside = (p <= self._lims[0]) | (p > self._lims[1])
        return outside, tg.where(outside, p, 0.25), p - 0.5

    def _log_norm(self) -> Tensor:
        outside, p, x = self._cut()
        ratio = 2 * (1 - 2 * p).atanh() / (1 - 2 * p)
        square = x.square()
        return tg.where(outside, ratio.log(), math.log(2) + (4 / 3 + 104 / 45 * square) * square)

    @property
    def mean(self) -> Tensor:
        outside, p, x = self._cut()
        value = p / (2 * p - 1) + 1 / (2 * (1 - 2 * p).atanh())
        return tg.where(outside, value, 0.5 + (1 / 3 + 16 / 45 * x.square()) * x)

    @property
    def variance(self) -> Tensor:
        outside, p, x = self._cut()
        value = p * (p - 1) / (1 - 2 * p).square() + 1 / ((-p).log1p() - p.log()).square()
        square = x.square()
        return tg.where(outside, value, 1 / 12 - (1 / 15 - 128 / 945 * square) * square)

    def _rsample(self, shape: Sizes) -> Tensor:
        return self.icdf(open_unit(shape, self.probs))

    def _log_prob(self, value: Tensor) -> Tensor:
        logits = self.logits
        return value * logits - tg.nn.functional.softplus(logits) + self._log_norm()

    def _cdf(self, value: Tensor) -> Tensor:
        outside, p, _ = self._cut()
        curved = (p**value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        found = tg.where(outside, curved, value)
        return tg.where(value <= 0, 0, tg.where(value >= 1, 1, found))

    def _icdf(self, value: Tensor) -> Tensor:
        outside, p, _ = self._cut()
        top = (value * (2 * p - 1) - p).log1p() - (-p).log1p()
        return tg.where(outside, top / (p.log() - (-p).log1p()), value)

    def _entropy(self) -> Tensor:
        low, high = (-self.probs).log1p(), self.probs.log()
        return self.mean * (low - high) - self._log_norm() - low

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        (x,) = natural_params
        near = x.abs() < 4 * (self._lims[1] - 0.5)
        safe = tg.where(near, 1, x)
        # ln((exp(x) - 1) / x), without overflow
        large = tg.where(safe > 0, safe, 0) + (-(-safe.abs()).expm1()).log() - safe.abs().log()
        return tg.where(near, x / 2 + x.square() / 24, large)
