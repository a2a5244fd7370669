"""A law that transforms are applied to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import Sizes, summed
from tabgrad.distributions.distribution import Distribution
from tabgrad.distributions.independent import Independent
from tabgrad.distributions.joined_transforms import ComposeTransform
from tabgrad.distributions.transforms import Transform

Tensor = tg.Tensor
Size = tg.Size


class TransformedDistribution(Distribution):
    """The law of t(x), for x from `base_distribution` and one or several transforms.

    >>> import tabgrad as tg
    >>> D = tg.distributions
    >>> d = D.TransformedDistribution(D.Normal(0.0, 1.0), [D.ExpTransform()])
    >>> d.cdf(tg.tensor(1.0))
    tensor(0.5000)
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self, base_distribution: Distribution, transforms: Transform | list[Transform],
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(
                f"transforms must be a Transform or a list of Transforms, but was {transforms}"
            )
        whole = ComposeTransform(self.transforms)
        shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        dims = len(base_distribution.event_shape)
        takes, gives = whole.domain.event_dim, whole.codomain.event_dim
        if len(shape) < takes:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {takes}, but got {shape}."
            )
        after = whole.forward_shape(shape)
        before = whole.inverse_shape(after)
        if tuple(before) != shape:
            base_distribution = base_distribution.expand(before[: len(before) - dims])
        if takes > dims:
            base_distribution = Independent(base_distribution, takes - dims)
        self.base_dist = base_distribution
        cut = len(after) - max(gives, dims + gives - takes)
        super().__init__(after[:cut], after[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Sizes, _instance: Any = None) -> Any:
        """Return this distribution with its parameters expanded to `batch_shape`."""
        new = super().expand(batch_shape, _instance)
        shape: Any = (*batch_shape, *self._event_shape)
        for t in reversed(self.transforms):
            shape = t.inverse_shape(shape)
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base has it."""
        return self.base_dist.has_rsample

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        """What the last transform gives."""
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        more = len(self._event_shape) - found.event_dim
        return constraints.independent(found, more) if more > 0 else found

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return transformed samples of the base."""
        with tg.no_grad():
            return self._moved(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return transformed samples of the base, with derivatives by its parameters and the transforms'."""
        return self._moved(self.base_dist.rsample(sample_shape))

    def _moved(self, x: Tensor) -> Tensor:
        for t in self.transforms:
            x = t(x)
        return x

    def _log_prob(self, value: Tensor) -> Tensor:
        total: Any = 0.0
        y, dims = value, len(self._event_shape)
        for t in reversed(self.transforms):
            x = t._inv_call(y)
            dims += t.domain.event_dim - t.codomain.event_dim
            total = total - summed(t.log_abs_det_jacobian(x, y), dims - t.domain.event_dim)
            y = x
        return total + summed(self.base_dist.log_prob(y), dims - len(self.base_dist.event_shape))

    def _flipped(self, p: Tensor) -> Tensor:
        sign: Any = 1
        for t in self.transforms:
            sign = sign * t.sign
        if isinstance(sign, int) and sign == 1:
            return p
        return sign * (p - 0.5) + 0.5

    def _cdf(self, value: Tensor) -> Tensor:
        for t in reversed(self.transforms):
            value = t._inv_call(value)
        return self._flipped(self.base_dist.cdf(value))

    def _icdf(self, value: Tensor) -> Tensor:
        return self._moved(self.base_dist.icdf(self._flipped(value)))
