"""Invertible functions of samples, with the logarithm of how much they stretch: those of single numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.core.submodules import missing_from
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import Given, describe, summed
from tabgrad.distributions.distribution import Distribution

Tensor = tg.Tensor


class Transform:
    """A function with an inverse: `t(x)`, `t.inv(y)`, and `t.log_abs_det_jacobian(x, y)`.

    A subclass gives `domain`, `codomain`, `_call`, `_inverse` and `log_abs_det_jacobian`. With `cache_size` 1
    the last pair is kept, so that the inverse of a result is its very argument.

    >>> import tabgrad as tg
    >>> t = tg.distributions.ExpTransform()
    >>> t.inv(t(tg.tensor(0.0)))
    tensor(0.)
    """

    bijective: bool = False
    domain: Any = constraints.real
    codomain: Any = constraints.real
    _sign: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        describe(cls)

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._pair: tuple[Any, Any] = (None, None)

    @property
    def event_dim(self) -> int:
        """The number of dims of what is transformed as a whole."""
        if self.domain.event_dim == self.codomain.event_dim:
            return int(self.domain.event_dim)
        raise ValueError("Please use either .domain.event_dim or .codomain.event_dim")

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _InverseTransform(self)

    @property
    def sign(self) -> Any:
        """1 where it grows, -1 where it falls."""
        if self._sign is None:
            raise NotImplementedError(f"{type(self).__name__} has no sign")
        return self._sign

    def with_cache(self, cache_size: int = 1) -> Any:
        """Return this transform with another size of the cache."""
        if self._cache_size == cache_size:
            return self
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, _cache_size=cache_size, _pair=(None, None))
        return new

    def __call__(self, x: Tensor) -> Tensor:
        if self._cache_size == 0:
            return self._call(x)
        if x is not self._pair[0]:
            self._pair = (x, self._call(x))
        return self._pair[1]

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size == 0:
            return self._inverse(y)
        if y is not self._pair[1]:
            self._pair = (self._inverse(y), y)
        return self._pair[0]

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no _call")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no _inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ln |det dy/dx|, where y is the transform of x."""
        return self._log_stretch(x, y)

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian")

    def forward_shape(self, shape: Sequence[int]) -> Any:
        """Return the shape of the result of an argument of this shape."""
        return shape

    def inverse_shape(self, shape: Sequence[int]) -> Any:
        """Return the shape of the argument of a result of this shape."""
        return shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return self is other or (_plain(self) and type(self) is type(other))

    def __hash__(self) -> int:
        return hash(type(self))


def _plain(t: Transform) -> bool:
    """Return whether a transform has no parameters, so that all of its kind are equal."""
    return set(t.__dict__) == {"_cache_size", "_pair"} and type(t) is not Transform


class _InverseTransform(Transform):
    """The inverse of a transform."""

    def __init__(self, transform: Transform) -> None:
        super().__init__(transform._cache_size)
        self._inv = transform

    @property
    def domain(self) -> Any:
        return self._inv.codomain

    @property
    def codomain(self) -> Any:
        return self._inv.domain

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return self._inv.bijective

    @property
    def sign(self) -> Any:
        return self._inv.sign

    @property
    def inv(self) -> Transform:
        return self._inv

    def with_cache(self, cache_size: int = 1) -> Any:
        return self._inv.with_cache(cache_size).inv

    def __call__(self, x: Tensor) -> Tensor:
        return self._inv._inv_call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._inv(y)

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> Any:
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Any:
        return self._inv.forward_shape(shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InverseTransform) and self._inv == other._inv

    def __hash__(self) -> int:
        return hash((_InverseTransform, self._inv))

    def __repr__(self) -> str:
        return f"_InverseTransform({self._inv!r})"


class ExpTransform(Transform):
    """y = exp(x).

    >>> import tabgrad as tg
    >>> tg.distributions.ExpTransform()(tg.tensor(0.0))
    tensor(1.)
    """

    codomain = constraints.positive
    bijective = True
    _sign = 1

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class PowerTransform(Transform):
    """y = x^exponent, for positive numbers.

    >>> import tabgrad as tg
    >>> tg.distributions.PowerTransform(tg.tensor(2.0))(tg.tensor(3.0))
    tensor(9.)
    """

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Given, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent if isinstance(exponent, Tensor) else tg.tensor(exponent)

    @property
    def sign(self) -> Any:
        return self.exponent.sign()

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Sequence[int]) -> Any:
        return tg.broadcast_shapes(tuple(shape), self.exponent.shape)

    inverse_shape = forward_shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and bool(self.exponent.eq(other.exponent).all())

    def __hash__(self) -> int:
        return hash(PowerTransform)


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp(-x)), never quite 0 or 1.

    >>> import tabgrad as tg
    >>> tg.distributions.SigmoidTransform()(tg.tensor(0.0))
    tensor(0.5000)
    """

    codomain = constraints.unit_interval
    bijective = True
    _sign = 1

    def _call(self, x: Tensor) -> Tensor:
        info = tg.finfo(x.dtype)
        return x.sigmoid().clamp(min=info.tiny, max=1 - info.eps / 2)

    def _inverse(self, y: Tensor) -> Tensor:
        info = tg.finfo(y.dtype)
        y = y.clamp(min=info.tiny, max=1 - info.eps / 2)
        return y.log() - (-y).log1p()

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        return -tg.nn.functional.softplus(-x) - tg.nn.functional.softplus(x)


class SoftplusTransform(Transform):
    """y = ln(1 + exp(x)); from 20 on x itself.

    >>> import tabgrad as tg
    >>> tg.distributions.SoftplusTransform()(tg.tensor(0.0))
    tensor(0.6931)
    """

    codomain = constraints.positive
    bijective = True
    _sign = 1

    def _call(self, x: Tensor) -> Tensor:
        return tg.nn.functional.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-(-y).expm1()).log() + y

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        return -tg.nn.functional.softplus(-x)


class TanhTransform(Transform):
    """y = tanh(x).

    >>> import tabgrad as tg
    >>> tg.distributions.TanhTransform()(tg.tensor(0.0))
    tensor(0.)
    """

    codomain = constraints.interval(-1.0, 1.0)
    bijective = True
    _sign = 1

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        return 2 * (math.log(2) - x - tg.nn.functional.softplus(-2 * x))


class AbsTransform(Transform):
    """y = |x|, whose inverse is the positive of two.

    >>> import tabgrad as tg
    >>> tg.distributions.AbsTransform()(tg.tensor(-1.0))
    tensor(1.)
    """

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """y = loc + scale x; `event_dim` last dims are one event.

    >>> import tabgrad as tg
    >>> tg.distributions.AffineTransform(1.0, 2.0)(tg.tensor(3.0))
    tensor(7.)
    """

    bijective = True

    def __init__(self, loc: Given, scale: Given, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        """All real numbers."""
        dims = self._event_dim
        return constraints.independent(constraints.real, dims) if dims else constraints.real

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        """All real numbers."""
        return self.domain

    @property
    def sign(self) -> Any:
        if isinstance(self.scale, Tensor):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        scale = self.scale
        if isinstance(scale, Tensor):
            each = scale.abs().log().expand(*tg.broadcast_shapes(x.shape, scale.shape))
        else:
            each = tg.full_like(x, math.log(abs(scale)) if scale else -math.inf)
        return summed(each, self._event_dim).expand(*x.shape[: x.dim() - self._event_dim])

    def forward_shape(self, shape: Sequence[int]) -> Any:
        others = (getattr(v, "shape", ()) for v in (self.loc, self.scale))
        return tg.broadcast_shapes(tuple(shape), *others)

    inverse_shape = forward_shape

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AffineTransform):
            return False
        pairs = ((self.loc, other.loc), (self.scale, other.scale))
        return all(bool(tg.as_tensor(a == b).all()) for a, b in pairs)

    def __hash__(self) -> int:
        return hash(AffineTransform)


class CumulativeDistributionTransform(Transform):
    """The cdf of a distribution of numbers, and back its quantiles.

    >>> import tabgrad as tg
    >>> d = tg.distributions.Normal(0.0, 1.0)
    >>> tg.distributions.CumulativeDistributionTransform(d)(tg.tensor(0.0))
    tensor(0.5000)
    """

    codomain = constraints.unit_interval
    bijective = True
    _sign = 1

    def __init__(self, distribution: Distribution, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        return self.distribution.support

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return a transform of the files that build on this one."""
        if name[:1].isupper() or name == "identity_transform":
            for file in ("joined_transforms", "matrix_transforms"):
                found = vars(import_module(f"tabgrad.distributions.{file}")).get(name)
                if found is not None:
                    return found
        return missing_from(__name__)(name)


__all__ = [
    "AbsTransform", "AffineTransform", "CumulativeDistributionTransform", "ExpTransform",
    "PowerTransform", "SigmoidTransform", "SoftplusTransform", "TanhTransform", "Transform",
]  # fmt: skip
