"""The gamma law and those made from it: beta, Dirichlet, chi-squared, Student's t, F; the exponential law."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import Given, Sizes, normals, open_unit, tensors
from tabgrad.distributions.distribution import Distribution, ExponentialFamily
from tabgrad.special.gamma_samples import follow

Tensor = tg.Tensor


def log_gamma(concentration: Tensor, generator: tg.Generator | None = None) -> Tensor:
    """Return ln z for a sample z of the gamma law of rate 1, with z's derivative by the concentration.

    Each is the last of 8 tries of Marsaglia and Tsang's method that was accepted: none is with a
    probability below 1e-10, and then it is the middle of the law. Derivatives keep the quantile of z.
    """
    a = concentration.detach()
    a = a if a.dtype == tg.float64 else a.float()
    d = tg.where(a < 1, a + 1, a) - 1 / 3
    c = 1 / (9 * d).sqrt()
    cube = tg.zeros_like(a)
    for _ in range(8):
        x = normals(a.shape, a, generator)
        step = c * x
        log_v = 3 * step.clamp(min=-0.999999).log1p()
        u = open_unit(a.shape, a, generator)
        likely = u < 1 - 0.0331 * x.square().square()
        exact = u.log() < 0.5 * x.square() + d * (log_v - step * (3 + step * (3 + step)))
        cube = tg.where((step > -0.999999) & (likely | exact), log_v, cube)
    y = d.log() + cube
    y = tg.where(a < 1, y + open_unit(a.shape, a, generator).log() / tg.where(a < 1, a, 1), y)
    y = y.clamp(min=-1e30)
    return follow(concentration.to(a.dtype), y).to(concentration.dtype)


def gamma(concentration: Tensor) -> Tensor:
    """Return samples of the gamma law of rate 1, none of them 0."""
    y = log_gamma(concentration)
    return y.exp().clamp(min=tg.finfo(y.dtype).tiny)


class Exponential(ExponentialFamily):
    """The exponential law: rate exp(-rate x) for x >= 0.

    >>> import tabgrad as tg
    >>> tg.distributions.Exponential(2.0).mean
    tensor(0.5000)
    """

    arg_constraints = {"rate": constraints.positive}  # noqa: RUF012
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, rate: Given, validate_args: bool | None = None) -> None:
        (self.rate,) = tensors(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return 1 / self.rate

    @property
    def mode(self) -> Tensor:
        return tg.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return 1 / self.rate

    @property
    def variance(self) -> Tensor:
        return 1 / self.rate.square()

    def _rsample(self, shape: Sizes) -> Tensor:
        return -open_unit(shape, self.rate).log() / self.rate

    def _log_prob(self, value: Tensor) -> Tensor:
        return self.rate.log() - self.rate * value

    def _cdf(self, value: Tensor) -> Tensor:
        return -(-self.rate * value).expm1()

    def _icdf(self, value: Tensor) -> Tensor:
        return -(-value).log1p() / self.rate

    def _entropy(self) -> Tensor:
        return 1 - self.rate.log()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (-self.rate,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return -(-natural_params[0]).log()


class Gamma(ExponentialFamily):
    """The gamma law: proportional to x^(concentration - 1) exp(-rate x).

    `rsample` has the derivative by the concentration that keeps the quantile (implicit reparameterization).

    >>> import tabgrad as tg
    >>> tg.distributions.Gamma(2.0, 1.0).cdf(tg.tensor(2.0))
    tensor(0.5940)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}  # noqa: RUF012
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self, concentration: Given, rate: Given, validate_args: bool | None = None
    ) -> None:
        self.concentration, self.rate = tensors(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.square()

    def _rsample(self, shape: Sizes) -> Tensor:
        return gamma(self.concentration.expand(*shape)) / self.rate

    def _log_prob(self, value: Tensor) -> Tensor:
        a, rate = self.concentration, self.rate
        return a * rate.log() + tg.xlogy(a - 1, value) - rate * value - a.lgamma()

    def _cdf(self, value: Tensor) -> Tensor:
        a, x = tg.broadcast_tensors(self.concentration, self.rate * value)
        return tg.special.gammainc(a, x)

    def _entropy(self) -> Tensor:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        x, y = natural_params
        return (x + 1).lgamma() - (x + 1) * (-y).log()


class Chi2(Gamma):
    """The chi-squared law: that of the sum of `df` squares of normal numbers.

    >>> import tabgrad as tg
    >>> tg.distributions.Chi2(3.0).variance
    tensor(6.)
    """

    arg_constraints = {"df": constraints.positive}  # noqa: RUF012

    def __init__(self, df: Given, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    def _constraints(self) -> Any:
        return {**super()._constraints(), **Gamma.arg_constraints}

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return 2 * self.concentration


class Dirichlet(ExponentialFamily):
    """The law of probabilities that sum to 1: proportional to the product of x^(concentration - 1).

    Samples are gamma samples divided by their sum, and so are their derivatives.

    >>> import tabgrad as tg
    >>> tg.distributions.Dirichlet(tg.tensor([1.0, 3.0])).mean
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}  # noqa: RUF012
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        top = (self.concentration - 1).clamp(min=0)
        total = top.sum(-1, True)
        flat = tg.nn.functional.one_hot(self.concentration.argmax(-1), self._event_shape[0])
        corners = (self.concentration < 1).all(-1, True)  # else no point is the only highest one
        flat = tg.where(corners, flat.to(top.dtype), tg.nan)
        return tg.where(total > 0, top / tg.where(total > 0, total, 1), flat)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.mean * (1 - self.mean) / (total + 1)

    def _rsample(self, shape: Sizes) -> Tensor:
        return log_gamma(self.concentration.expand(*shape)).softmax(-1)

    def _log_prob(self, value: Tensor) -> Tensor:
        a = self.concentration
        return tg.xlogy(a - 1, value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def _entropy(self) -> Tensor:
        a, k = self.concentration, self._event_shape[0]
        total = a.sum(-1)
        each = ((a - 1) * a.digamma()).sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() - (k - total) * total.digamma() - each

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        (x,) = natural_params
        return x.lgamma().sum(-1) - x.sum(-1).lgamma()


class Beta(ExponentialFamily):
    """The beta law on [0, 1]: proportional to x^(concentration1 - 1) (1 - x)^(concentration0 - 1).

    >>> import tabgrad as tg
    >>> tg.distributions.Beta(1.0, 3.0).mean
    tensor(0.2500)
    """

    arg_constraints = {  # noqa: RUF012
        "concentration1": constraints.positive, "concentration0": constraints.positive
    }  # fmt: skip
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, concentration1: Given, concentration0: Given, validate_args: bool | None = None
    ) -> None:
        self._pair = tg.stack(tensors(concentration1, concentration0), -1)
        super().__init__(self._pair.shape[:-1], validate_args=validate_args)

    @property
    def concentration1(self) -> Tensor:
        """The exponent of x, plus 1."""
        return self._pair[..., 0]

    @property
    def concentration0(self) -> Tensor:
        """The exponent of 1 - x, plus 1."""
        return self._pair[..., 1]

    def expand(self, batch_shape: Sizes, _instance: Any = None) -> Any:
        """Return this distribution with its parameters expanded to `batch_shape`."""
        new = super().expand(batch_shape, _instance)
        new._pair = self._pair.expand(*batch_shape, 2)
        return new

    @property
    def _dirichlet(self) -> Dirichlet:
        return Dirichlet(self._pair, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / self._pair.sum(-1)

    @property
    def mode(self) -> Tensor:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self._pair.sum(-1)
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1))

    def _rsample(self, shape: Sizes) -> Tensor:
        first, second = log_gamma(self._pair.expand(*shape, 2)).unbind(-1)
        return (first - second).sigmoid()

    def _log_prob(self, value: Tensor) -> Tensor:
        return self._dirichlet.log_prob(tg.stack((value, 1 - value), -1))

    def _entropy(self) -> Tensor:
        return self._dirichlet.entropy()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        x, y = natural_params
        return x.lgamma() + y.lgamma() - (x + y).lgamma()


class StudentT(Distribution):
    """Student's t law of `df` degrees of freedom, moved by `loc` and stretched by `scale`.

    >>> import tabgrad as tg
    >>> tg.distributions.StudentT(4.0).variance
    tensor(2.)
    """

    arg_constraints = {  # noqa: RUF012
        "df": constraints.positive, "loc": constraints.real, "scale": constraints.positive
    }  # fmt: skip
    support = constraints.real
    has_rsample = True

    def __init__(
        self, df: Given, loc: Given = 0.0, scale: Given = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = tensors(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return tg.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        df = tg.where(self.df > 2, self.df, 3)
        there = self.scale.square() * df / (df - 2)
        elsewhere = tg.where(self.df > 1, tg.full_like(df, math.inf), math.nan)
        return tg.where(self.df > 2, there, elsewhere)

    def _rsample(self, shape: Sizes) -> Tensor:
        df = self.df.expand(*shape)
        spread = (gamma(0.5 * df) / (0.5 * df)).rsqrt()
        return self.loc + self.scale * (normals(shape, df) * spread)

    def _norm(self) -> Tensor:
        df = self.df
        half = (0.5 * df).lgamma() - (0.5 * (df + 1)).lgamma()
        return self.scale.log() + 0.5 * (df.log() + math.log(math.pi)) + half

    def _log_prob(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.scale
        return -0.5 * (self.df + 1) * (z.square() / self.df).log1p() - self._norm()

    def _entropy(self) -> Tensor:
        top = 0.5 * (self.df + 1)
        return self._norm() + top * (top.digamma() - (0.5 * self.df).digamma())


class FisherSnedecor(Distribution):
    """The F law: the ratio of two chi-squared numbers, each divided by its degrees of freedom.

    >>> import tabgrad as tg
    >>> tg.distributions.FisherSnedecor(1.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}  # noqa: RUF012
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Given, df2: Given, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = tensors(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        there = self.df2 > 2
        df2 = tg.where(there, self.df2, 3)
        return tg.where(there, df2 / (df2 - 2), math.nan)

    @property
    def mode(self) -> Tensor:
        there = self.df1 > 2
        value = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return tg.where(there, value, math.nan)

    @property
    def variance(self) -> Tensor:
        there = self.df2 > 4
        df1, df2 = self.df1, tg.where(there, self.df2, 5)
        value = 2 * df2.square() * (df1 + df2 - 2) / (df1 * (df2 - 2).square() * (df2 - 4))
        return tg.where(there, value, math.nan)

    def _rsample(self, shape: Sizes) -> Tensor:
        df1, df2 = self.df1.expand(*shape), self.df2.expand(*shape)
        ratio = log_gamma(0.5 * df1) - log_gamma(0.5 * df2) + df2.log() - df1.log()
        return ratio.exp().clamp(min=tg.finfo(ratio.dtype).tiny)

    def _log_prob(self, value: Tensor) -> Tensor:
        a, b = 0.5 * self.df1, 0.5 * self.df2
        ratio = self.df1 / self.df2
        beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
        power = a * ratio.log() + (a - 1) * value.log()
        return power - (a + b) * (ratio * value).log1p() - beta
