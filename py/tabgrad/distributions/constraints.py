"""What values parameters may have and samples take: objects with `check(value)`; PyTorch's `constraints`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg

Tensor = tg.Tensor
Bound = float | Tensor


class Constraint:
    """A region of values, over whose last `event_dim` dims it is decided.

    A subclass overrides `check`. `is_discrete` says that the values are whole numbers or truth values.

    >>> import tabgrad as tg
    >>> tg.distributions.constraints.positive.check(tg.tensor([-1.0, 2.0]))
    tensor([False,  True])
    """

    is_discrete: Any = False
    event_dim: Any = 0

    def check(self, value: Tensor) -> Tensor:
        """Return for each event in `value` whether it lies in the region."""
        return self._holds(value)

    def _holds(self, value: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no check")

    def _shown(self) -> dict[str, Any]:
        return {}

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v}" for k, v in self._shown().items())
        return f"{type(self).__name__.lstrip('_')}({inside})"


class _Dependent(Constraint):
    """A region that depends on other values, so that it cannot be checked alone."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self) -> bool:
        if self._is_discrete is NotImplemented:
            raise NotImplementedError(".is_discrete cannot be determined statically")
        return bool(self._is_discrete)

    @property
    def event_dim(self) -> int:
        if self._event_dim is NotImplemented:
            raise NotImplementedError(".event_dim cannot be determined statically")
        return int(self._event_dim)

    def __call__(
        self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented
    ) -> Any:
        chosen = self._is_discrete if is_discrete is NotImplemented else is_discrete
        dims = self._event_dim if event_dim is NotImplemented else event_dim
        return _Dependent(is_discrete=chosen, event_dim=dims)

    def _holds(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Constraint) -> bool:
    """Return whether a constraint depends on other values."""
    return isinstance(constraint, _Dependent)


class dependent_property(property, _Dependent):
    """A property of a distribution that is a constraint, and on the class a dependent one.

    >>> import tabgrad as tg
    >>> tg.distributions.constraints.is_dependent(tg.distributions.Uniform.support)
    True
    """

    def __init__(
        self, fn: Callable[[Any], Any] | None = None, *, is_discrete: bool | None = NotImplemented,
        event_dim: int | None = NotImplemented,
    ) -> None:  # fmt: skip
        super().__init__(fn)
        self._is_discrete, self._event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable[[Any], Any]) -> Any:  # type: ignore[override]
        return dependent_property(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


class _Independent(Constraint):
    """A constraint whose values are decided over more dims."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:
        return int(self.base_constraint.event_dim + self.reinterpreted_batch_ndims)

    def _holds(self, value: Tensor) -> Tensor:
        result = self.base_constraint.check(value)
        count = self.reinterpreted_batch_ndims
        if result.dim() < count:
            expected = self.base_constraint.event_dim + count
            raise ValueError(f"Expected value.dim() >= {expected} but got {value.dim()}")
        return result.reshape(*result.shape[: result.dim() - count], -1).all(-1)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """The support of a mixture: that of its components, without their dim."""

    def __init__(self, base_constraint: Constraint) -> None:
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:
        return int(self.base_constraint.event_dim)

    def _holds(self, value: Tensor) -> Tensor:
        dims = self.event_dim
        result = self.base_constraint.check(value.unsqueeze(-1 - dims))
        if value.dim() < dims:
            raise ValueError(f"Expected value.dim() >= {dims} but got {value.dim()}")
        return result.all(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


class _Boolean(Constraint):
    is_discrete = True

    def _holds(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def _holds(self, value: Tensor) -> Tensor:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Ranged(Constraint):
    """A region between bounds."""

    def __init__(self, lower_bound: Bound, upper_bound: Bound) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def _shown(self) -> dict[str, Any]:
        return {"lower_bound": self.lower_bound, "upper_bound": self.upper_bound}

    def _holds(self, value: Tensor) -> Tensor:
        return (self.lower_bound <= value) & (value <= self.upper_bound)


class _Interval(_Ranged):
    """Numbers between bounds, with both."""


class _HalfOpenInterval(_Ranged):
    """Numbers from a bound on, and below another."""

    def _holds(self, value: Tensor) -> Tensor:
        return (self.lower_bound <= value) & (value < self.upper_bound)


class _IntegerInterval(_Ranged):
    """Whole numbers between bounds, with both."""

    is_discrete = True

    def _holds(self, value: Tensor) -> Tensor:
        return _whole(value) & (self.lower_bound <= value) & (value <= self.upper_bound)


def _whole(value: Tensor) -> Tensor:
    return value % 1 == 0


class _Above(Constraint):
    """A region above a bound."""

    def __init__(self, lower_bound: Bound) -> None:
        self.lower_bound = lower_bound

    def _shown(self) -> dict[str, Any]:
        return {"lower_bound": self.lower_bound}


class _GreaterThan(_Above):
    """Numbers above a bound."""

    def _holds(self, value: Tensor) -> Tensor:
        return self.lower_bound < value


class _GreaterThanEq(_Above):
    """Numbers at a bound or above."""

    def _holds(self, value: Tensor) -> Tensor:
        return self.lower_bound <= value


class _IntegerGreaterThan(_Above):
    is_discrete = True

    def _holds(self, value: Tensor) -> Tensor:
        return _whole(value) & (value >= self.lower_bound)


class _Below(Constraint):
    """A region below a bound."""

    def __init__(self, upper_bound: Bound) -> None:
        self.upper_bound = upper_bound

    def _shown(self) -> dict[str, Any]:
        return {"upper_bound": self.upper_bound}


class _LessThan(_Below):
    """Numbers below a bound."""

    def _holds(self, value: Tensor) -> Tensor:
        return value < self.upper_bound


class _Multinomial(_Below):
    """Counts whose sum is at most a bound."""

    is_discrete = True
    event_dim = 1

    def _holds(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _Real(Constraint):
    def _holds(self, value: Tensor) -> Tensor:
        return value == value


class _Simplex(Constraint):
    event_dim = 1

    def _holds(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _LowerTriangular(Constraint):
    event_dim = 2

    def _holds(self, value: Tensor) -> Tensor:
        return (value.tril() == value).flatten(-2).all(-1)


class _LowerCholesky(_LowerTriangular):
    def _holds(self, value: Tensor) -> Tensor:
        return super()._holds(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_LowerCholesky):
    def _holds(self, value: Tensor) -> Tensor:
        error = 10 * value.shape[-1] * tg.finfo(value.dtype).eps
        norms = tg.linalg.vector_norm(value.detach(), dim=-1)
        return super()._holds(value) & ((norms - 1).abs() <= error).all(-1)


class _Square(Constraint):
    event_dim = 2

    def _holds(self, value: Tensor) -> Tensor:
        fits = value.shape[-2] == value.shape[-1]
        return tg.full(value.shape[:-2], fits, dtype=tg.bool, device=value.device)


class _Symmetric(_Square):
    def _holds(self, value: Tensor) -> Tensor:
        square = super()._holds(value)
        if value.shape[-2] != value.shape[-1]:
            return square
        return tg.isclose(value, value.mT, atol=1e-6).flatten(-2).all(-1)


class _PositiveSemidefinite(_Symmetric):
    def _holds(self, value: Tensor) -> Tensor:
        even = super()._holds(value)
        if value.shape[-2] != value.shape[-1]:
            return even
        return even & (tg.linalg.eigvalsh(value) >= 0).all(-1)


class _PositiveDefinite(_Symmetric):
    def _holds(self, value: Tensor) -> Tensor:
        even = super()._holds(value)
        if value.shape[-2] != value.shape[-1]:
            return even
        return even & (tg.linalg.cholesky_ex(value).info == 0)


class _Joined(Constraint):
    """Several constraints, each for a part of a value along `dim`."""

    def __init__(self, cseq: Sequence[Constraint], dim: int) -> None:
        if not all(isinstance(c, Constraint) for c in cseq):
            raise AssertionError("All elements of cseq must be Constraint instances")
        self.cseq, self.dim = list(cseq), dim

    @property
    def is_discrete(self) -> bool:
        return any(c.is_discrete for c in self.cseq)


class _Cat(_Joined):
    """Constraints for parts of `lengths` along a dim."""

    def __init__(
        self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None
    ) -> None:
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise AssertionError(
                f"lengths must have {len(self.cseq)} elements, got {len(self.lengths)}"
            )

    @property
    def event_dim(self) -> int:
        return max(int(c.event_dim) for c in self.cseq)

    def _holds(self, value: Tensor) -> Tensor:
        parts = value.split(self.lengths, self.dim)
        return tg.cat([c.check(v) for c, v in zip(self.cseq, parts, strict=True)], self.dim)


class _Stack(_Joined):
    """Constraints for the slices along a dim."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        super().__init__(cseq, dim)

    @property
    def event_dim(self) -> int:
        dims = max(int(c.event_dim) for c in self.cseq)
        return dims + 1 if self.dim + dims < 0 else dims

    def _holds(self, value: Tensor) -> Tensor:
        parts = [value.select(self.dim, i) for i in range(value.shape[self.dim])]
        return tg.stack([c.check(v) for c, v in zip(self.cseq, parts, strict=True)], self.dim)


dependent = _Dependent()
independent = _IndependentConstraint = _Independent
_DependentProperty = dependent_property
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _IntegerGreaterThan(0)
positive_integer = _IntegerGreaterThan(1)
integer_interval = _IntegerInterval
real = _Real()
real_vector = independent(real, 1)
positive = _GreaterThan(0.0)
nonnegative = _GreaterThanEq(0.0)
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
multinomial = _Multinomial
unit_interval = _Interval(0.0, 1.0)
interval = _Interval
half_open_interval = _HalfOpenInterval
simplex = _Simplex()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
cat = _Cat
stack = _Stack

__all__ = [
    "Constraint", "MixtureSameFamilyConstraint", "boolean", "cat", "corr_cholesky", "dependent",
    "dependent_property", "greater_than", "greater_than_eq", "half_open_interval", "independent",
    "integer_interval", "interval", "is_dependent", "less_than", "lower_cholesky", "lower_triangular",
    "multinomial", "nonnegative", "nonnegative_integer", "one_hot", "positive", "positive_definite",
    "positive_integer", "positive_semidefinite", "real", "real_vector", "simplex", "square", "stack",
    "symmetric", "unit_interval",
]  # fmt: skip
