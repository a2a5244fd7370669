"""The base of all distributions, and of those of the exponential family."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import tabgrad as tg
from tabgrad.distributions.arguments import describe
from tabgrad.distributions.constraints import Constraint, is_dependent

Tensor = tg.Tensor
Size = tg.Size


class Distribution:
    """A law of random tensors of shape `event_shape`, one for each place of `batch_shape`.

    Wrong parameters and values raise ValueError, unless `validate_args` is False. Where no value can be
    read (inside `vmap`, in a tab that must not wait) they are not checked. A distribution of your own
    overrides `rsample` or `sample`, `log_prob`, and what else it has.

    >>> import tabgrad as tg
    >>> d = tg.distributions.Normal(tg.zeros(2, device="cpu"), 1.0)
    >>> d.batch_shape, d.sample((3,)).shape
    (tabgrad.Size([2]), tabgrad.Size([3, 2]))
    """

    has_rsample: bool = False
    has_enumerate_support = False
    _validate_args: bool = __debug__
    _parts: ClassVar[tuple[str, ...]] = ()
    """The names of distributions that this one is made of, which have its batch shape."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        describe(cls)

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Say whether distributions made from now on check their arguments."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: expected True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(
        self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self._constraints().items():
                self._check_parameter(name, constraint)

    def _constraints(self) -> dict[str, Constraint]:
        """Return the constraints of the parameters that were given."""
        try:
            known = self.arg_constraints
        except NotImplementedError:
            return {}
        lazy = {n for n in known if isinstance(getattr(type(self), n, None), cached_property)}
        return {n: c for n, c in known.items() if n in self.__dict__ or n not in lazy}

    def _check_parameter(self, name: str, constraint: Constraint) -> None:
        if is_dependent(constraint):
            return
        value = getattr(self, name)
        if not _all(constraint.check(value)):
            raise ValueError(
                f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid "
                f"values:\n{value}"
            )

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """Return this distribution with its parameters expanded to `batch_shape`."""
        shape = Size(batch_shape)
        new = copy.copy(self) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        for name, constraint in self._constraints().items():
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                kept = value.dim() - (0 if is_dependent(constraint) else constraint.event_dim)
                new.__dict__[name] = value.expand(*shape, *value.shape[kept:])
        for name in self._parts:
            new.__dict__[name] = self.__dict__[name].expand(shape)
        new._batch_shape = shape
        return new

    @property
    def batch_shape(self) -> Size:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one sample of one place."""
        return self._event_shape

    @property
    def arg_constraints(self) -> dict[str, Constraint]:
        """The constraint of each parameter by its name."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint that samples satisfy."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return samples of shape `sample_shape` + batch_shape + event_shape, without derivatives."""
        with tg.no_grad():
            if self.has_rsample:
                return self.rsample(sample_shape).detach()
            return self._sample(self._extended_shape(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return samples through which derivatives by the parameters go, where `has_rsample` is true."""
        return self._rsample(self._extended_shape(sample_shape))

    def _sample(self, shape: Size) -> Tensor:
        return self._rsample(shape).detach()

    def _rsample(self, shape: Size) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no rsample")

    def sample_n(self, n: int) -> Tensor:
        """Return n samples; deprecated, `sample((n,))` is the same."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the logarithm of the density, or of the probability, at `value`, of the batch shape."""
        if self._validate_args:
            self._validate_sample(value)
        return self._log_prob(value)

    def _log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of values up to `value`."""
        if self._validate_args:
            self._validate_sample(value)
        return self._cdf(value)

    def _cdf(self, value: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of the probability `value`."""
        return self._icdf(value)

    def _icdf(self, value: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all values along a new first dim, of the batch shape too if `expand`.

        Only distributions of finitely many values have it.
        """
        values = self._enumerated()
        if expand:
            values = values.expand(-1, *self._batch_shape, *self._event_shape)
        return values

    def _enumerated(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no enumerate_support")

    def entropy(self) -> Tensor:
        """Return the entropy, in nats, of the batch shape."""
        return self._entropy()

    def _entropy(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """Return exp(entropy)."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _stacked(self, values: Tensor) -> Tensor:
        """Return a line of values with ones for the dims of the batch."""
        return values.reshape(-1, *(1,) * len(self._batch_shape))

    def _validate_sample(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        at = value.dim() - len(self._event_shape)
        if value.shape[max(at, 0) :] != self._event_shape:
            raise ValueError(
                "The right-most size of value must match event_shape: "
                f"{value.shape} vs {self._event_shape}."
            )
        whole = (*self._batch_shape, *self._event_shape)
        for i, j in zip(reversed(value.shape), reversed(whole), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    "Value is not broadcastable with batch_shape+event_shape: "
                    f"{value.shape} vs {Size(whole)}."
                )
        try:
            support = self.support
        except NotImplementedError:
            return
        if not _all(support.check(value)):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be "
                f"within the support ({support!r}) of the distribution {self!r}, but found invalid "
                f"values:\n{value}"
            )

    def __repr__(self) -> str:
        try:
            names = [n for n in self.arg_constraints if n in self.__dict__]
        except NotImplementedError:
            names = []
        parts = [f"{n}: {_shown(self.__dict__[n])}" for n in names]
        return f"{type(self).__name__}({', '.join(parts)})"


def _all(valid: Tensor) -> bool:
    """Return whether all are true, and true where that cannot be read here."""
    try:
        return bool(valid.all())
    except (tg.TransformError, tg.WouldBlockError):
        return True


def _shown(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    try:
        return value.item() if value.numel() == 1 else value.size()
    except (tg.TransformError, tg.WouldBlockError):
        return value.size()


class ExponentialFamily(Distribution):
    """A law with the density exp(<t(x), η> − F(η) + k(x)); its entropy follows from F.

    A subclass gives `_natural_params`, `_log_normalizer` and `_mean_carrier_measure`, the mean of k.

    >>> import tabgrad as tg
    >>> issubclass(tg.distributions.Gamma, tg.distributions.ExponentialFamily)
    True
    """

    _mean_carrier_measure: Any = NotImplemented

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    def _entropy(self) -> Tensor:
        """Return F(η) − <η, F'(η)> less the mean of k."""
        if self._mean_carrier_measure is NotImplemented:
            raise NotImplementedError(f"{type(self).__name__} has no entropy")
        etas = [p if p.requires_grad else p.detach().requires_grad_() for p in self._natural_params]
        with tg.enable_grad():
            normalizer = self._log_normalizer(*etas)
            slopes = tg.autograd.grad(normalizer.sum(), etas, create_graph=True)
        total = normalizer - self._mean_carrier_measure
        for eta, slope in zip(etas, slopes, strict=True):
            term = eta * slope
            total = total - term.reshape(*self._batch_shape, -1).sum(-1)
        return total
