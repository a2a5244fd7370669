"""Transforms from real numbers to regions: `biject_to`, one to one, and `transform_to`, onto the region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.distributions import constraints
from tabgrad.distributions.constraints import Constraint
from tabgrad.distributions.joined_transforms import (
    CatTransform,
    ComposeTransform,
    IndependentTransform,
    StackTransform,
    identity_transform,
)  # fmt: skip
from tabgrad.distributions.matrix_transforms import (
    CorrCholeskyTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SoftmaxTransform,
    StickBreakingTransform,
)  # fmt: skip
from tabgrad.distributions.transforms import (
    AffineTransform,
    ExpTransform,
    SigmoidTransform,
    Transform,
)  # fmt: skip

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """Which transform leads to the region of a constraint, by the class of the constraint.

    >>> import tabgrad as tg
    >>> tg.distributions.transform_to(tg.distributions.constraints.positive)
    ExpTransform()
    """

    def __init__(self) -> None:
        self._registry: dict[type[Constraint], Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Say how to make the transform for a class of constraints, or that of an object; also a decorator."""
        if factory is None:
            return lambda found: self.register(constraint, found)
        kind = type(constraint) if isinstance(constraint, Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, Constraint):
            raise TypeError(
                "Expected constraint to be either a Constraint subclass or instance, but got "
                f"{constraint}"
            )
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        if type(constraint) not in self._registry:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__} constraints; register a transform for them"
            )
        return self._registry[type(constraint)](constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _interval(c: Any) -> Transform:
    low, high = c.lower_bound, c.upper_bound
    unit = isinstance(low, int | float) and isinstance(high, int | float) and (low, high) == (0, 1)
    if unit:
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


def _above(c: Any) -> Transform:
    low = c.lower_bound
    if isinstance(low, int | float) and low == 0:
        return ExpTransform()
    return ComposeTransform([ExpTransform(), AffineTransform(low, 1)])


def _below(c: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(c.upper_bound, -1)])


def _both(kind: Any, factory: Factory) -> None:
    biject_to.register(kind, factory)
    transform_to.register(kind, factory)


_both(constraints.real, lambda c: identity_transform)
_both(constraints.positive, _above)
_both(constraints.nonnegative, _above)
_both(constraints.less_than, _below)
_both(constraints.interval, _interval)
_both(constraints.half_open_interval, _interval)
_both(constraints.lower_cholesky, lambda c: LowerCholeskyTransform())
_both(constraints.positive_definite, lambda c: PositiveDefiniteTransform())
_both(constraints.positive_semidefinite, lambda c: PositiveDefiniteTransform())
_both(constraints.corr_cholesky, lambda c: CorrCholeskyTransform())
biject_to.register(constraints.simplex, lambda c: StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: SoftmaxTransform())


def _side_by_side(to: ConstraintRegistry) -> None:
    """Register the constraints that are made of others."""
    to.register(
        constraints.independent,
        lambda c: IndependentTransform(to(c.base_constraint), c.reinterpreted_batch_ndims),
    )
    to.register(
        constraints.cat, lambda c: CatTransform([to(part) for part in c.cseq], c.dim, c.lengths)
    )
    to.register(constraints.stack, lambda c: StackTransform([to(part) for part in c.cseq], c.dim))


_side_by_side(biject_to)
_side_by_side(transform_to)
