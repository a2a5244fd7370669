"""Laws of counts: Bernoulli, geometric, binomial, negative binomial, Poisson."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import (
    Given,
    Sizes,
    cached_property,
    floating,
    one_of,
    open_unit,
    tensors,
    to_logits,
    to_probs,
)  # fmt: skip
from tabgrad.distributions.distribution import Distribution, ExponentialFamily
from tabgrad.distributions.gammas import gamma
from tabgrad.distributions.rooted import halved_binomial

Tensor = tg.Tensor
F = tg.nn.functional
BINARY = {"probs": constraints.unit_interval, "logits": constraints.real}


class Bernoulli(ExponentialFamily):
    """1 with the probability `probs`, else 0.

    >>> import tabgrad as tg
    >>> tg.distributions.Bernoulli(tg.tensor(0.25)).log_prob(tg.tensor(1.0)).exp()
    tensor(0.2500)
    """

    arg_constraints = BINARY
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(
        self, probs: Given | None = None, logits: Given | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = one_of(probs, logits)
        given = floating(probs if logits is None else logits)
        setattr(self, name, given)
        super().__init__(given.shape, validate_args=validate_args)

    @cached_property
    def probs(self) -> Tensor:
        """The probability of 1."""
        return to_probs(self.logits, True)

    @cached_property
    def logits(self) -> Tensor:
        """ln(p / (1 - p))."""
        return to_logits(self.probs, True)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        p = self.probs
        return tg.where(p == 0.5, math.nan, (p >= 0.5).to(p.dtype))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _sample(self, shape: Sizes) -> Tensor:
        return tg.bernoulli(self.probs.detach().expand(*shape))

    def _log_prob(self, value: Tensor) -> Tensor:
        logits, value = tg.broadcast_tensors(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def _enumerated(self) -> Tensor:
        p = self.probs
        return self._stacked(tg.arange(2, dtype=p.dtype, device=p.device))

    def _entropy(self) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return F.softplus(natural_params[0])


class Geometric(Distribution):
    """The number of failures before the first success, each try succeeding with the probability `probs`.

    >>> import tabgrad as tg
    >>> tg.distributions.Geometric(0.25).mean
    tensor(3.)
    """

    arg_constraints = BINARY
    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Given | None = None, logits: Given | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = one_of(probs, logits)
        given = floating(probs if logits is None else logits)
        setattr(self, name, given)
        super().__init__(given.shape, validate_args=validate_args)
        if self._validate_args and name == "probs" and not bool((given > 0).all()):
            raise ValueError(
                f"Expected parameter probs ({type(given).__name__} of shape {tuple(given.shape)}) of "
                f"distribution {self!r} to be positive but found invalid values:\n{given}"
            )

    probs = cached_property(lambda self: to_probs(self.logits, True))
    logits = cached_property(lambda self: to_logits(self.probs, True))

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return tg.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def _sample(self, shape: Sizes) -> Tensor:
        p = self.probs.detach().expand(*shape)
        return (open_unit(shape, p).log() / (-p).log1p()).floor().abs()

    def _log_prob(self, value: Tensor) -> Tensor:
        value, p = tg.broadcast_tensors(value, self.probs)
        return tg.special.xlog1py(value, -p) + p.log()

    def _entropy(self) -> Tensor:
        cross = F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return cross / self.probs


class Binomial(Distribution):
    """The number of successes in `total_count` tries, each with the probability `probs`.

    >>> import tabgrad as tg
    >>> tg.distributions.Binomial(4, tg.tensor(0.25)).variance
    tensor(0.7500)
    """

    arg_constraints = {"total_count": constraints.nonnegative_integer, **BINARY}  # noqa: RUF012
    has_enumerate_support = True

    def __init__(
        self, total_count: Tensor | int = 1, probs: Tensor | None = None,
        logits: Tensor | None = None, validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = one_of(probs, logits)
        self.total_count, given = tensors(total_count, probs if logits is None else logits)
        self.total_count = self.total_count.to(given.dtype)
        setattr(self, name, given)
        super().__init__(given.shape, validate_args=validate_args)

    probs = cached_property(lambda self: to_probs(self.logits, True))
    logits = cached_property(lambda self: to_logits(self.probs, True))

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """From 0 to the count."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def _sample(self, shape: Sizes) -> Tensor:
        count, p = (x.detach().expand(*shape) for x in (self.total_count, self.probs))
        return halved_binomial(count, p, None)

    def _log_prob(self, value: Tensor) -> Tensor:
        n, logits = self.total_count, self.logits
        ways = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return ways + value * logits - n * F.softplus(logits)

    def _same_count(self, name: str) -> int:
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{name}`.")
        return most

    def _enumerated(self) -> Tensor:
        n = self._same_count("enumerate_support")
        p = self.probs
        return self._stacked(tg.arange(n + 1, dtype=p.dtype, device=p.device))

    def _entropy(self) -> Tensor:
        self._same_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)


class NegativeBinomial(Distribution):
    """The number of successes before `total_count` failures, each try succeeding with the probability `probs`.

    >>> import tabgrad as tg
    >>> tg.distributions.NegativeBinomial(3.0, tg.tensor(0.5)).mean
    tensor(3.)
    """

    arg_constraints = {  # noqa: RUF012
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0), "logits": constraints.real,
    }  # fmt: skip
    support = constraints.nonnegative_integer

    def __init__(
        self, total_count: Given, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = one_of(probs, logits)
        self.total_count, given = tensors(total_count, probs if logits is None else logits)
        self.total_count = self.total_count.to(given.dtype)
        setattr(self, name, given)
        super().__init__(given.shape, validate_args=validate_args)

    probs = cached_property(lambda self: to_probs(self.logits, True))
    logits = cached_property(lambda self: to_logits(self.probs, True))

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    def _sample(self, shape: Sizes) -> Tensor:
        count, logits = (x.detach().expand(*shape) for x in (self.total_count, self.logits))
        rate = tg.where(count > 0, gamma(tg.where(count > 0, count, 1)) * logits.exp(), 0)
        return tg.poisson(rate)

    def _log_prob(self, value: Tensor) -> Tensor:
        n, logits = self.total_count, self.logits
        power = n * F.logsigmoid(-logits) + value * F.logsigmoid(logits)
        ways = (n + value).lgamma() - (1 + value).lgamma() - n.lgamma()
        # without failures to wait for, the number is 0
        return power + tg.where(n + value == 0, 0, ways)


class Poisson(ExponentialFamily):
    """The number of events of a `rate` in a unit of time.

    >>> import tabgrad as tg
    >>> tg.distributions.Poisson(2.0).log_prob(tg.tensor(0.0))
    tensor(-2.)
    """

    arg_constraints = {"rate": constraints.nonnegative}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, rate: Given, validate_args: bool | None = None) -> None:
        (self.rate,) = tensors(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def _sample(self, shape: Sizes) -> Tensor:
        return tg.poisson(self.rate.detach().expand(*shape))

    def _log_prob(self, value: Tensor) -> Tensor:
        rate, value = tg.broadcast_tensors(self.rate, value)
        return tg.xlogy(value, rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.rate.log(),)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return natural_params[0].exp()
