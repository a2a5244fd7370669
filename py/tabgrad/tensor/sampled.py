"""Integrals and derivatives of functions that are known at points: the trapezoidal rule, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.scalars import is_number
from tabgrad.core.shape import axis_of
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, indexing as i, scan, view as v
from tabgrad.tensor import reductions
from tabgrad.tensor.arguments import as_dtype, floating
from tabgrad.tensor.public import publish

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Number


def _steps(name: str, y: Tensor, x: Tensor | None, dx: Number, at: int) -> Any:
    """Return the distances between the points, which broadcast with `y` without its last one along `at`."""
    if y.spec.dtype is dt.bool_ or (x is not None and x.spec.dtype is dt.bool_):
        raise DTypeError(f"{name}: received a bool input for `x` or `y`, but bool is not supported")
    if x is None:
        if not is_number(dx):
            raise TypeError(f"{name}(): argument 'dx' must be Number, not {type(dx).__name__}")
        return dx
    shape, n = y.spec.shape, y.spec.shape[at]
    own = x.spec.shape
    if len(own) == 1:
        if own[0] != n:
            raise ShapeError(
                f"{name}: There must be one `x` value for each sample point: got {own[0]} for {n} points"
            )
        own = tuple([n if k == at else 1 for k in range(len(shape))])
    elif len(own) < len(shape):
        own = (*(1,) * (len(shape) - len(own)), *own)
    if own[at] != n and x.spec.size:
        raise ShapeError(
            f"{name}: There must be one `x` value for each sample point: got {x.spec.shape} for `y` {shape} "
            f"along dim {at}"
        )
    points = v.reshape.bind(x, shape=own)
    return e.sub(v.part(points, at, 1, n), v.part(points, at, 0, n - 1))


def _areas(name: str, y: Tensor, x: Tensor | None, dx: Number, dim: int) -> tuple[Any, int]:
    """Return twice the area of each trapezium along the axis that `dim` names."""
    at = axis_of(name, dim, y.spec.shape)
    steps = _steps(name, y, x, dx, at)
    n = max(y.spec.shape[at], 1)
    if y.spec.dtype.category < dt.FLOAT:
        # sums of narrow integers must not wrap round
        y = as_dtype(y, dt.int64)
    sides = e.add(v.part(y, at, 1, n), v.part(y, at, 0, n - 1))
    return floating(name, e.mul(sides, steps)), at


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Number = 1, dim: int = -1) -> Tensor:
    """Return the integral along `dim` by the trapezoidal rule, of values `y` at points `x`, or `dx` apart.

    `x` is a vector with a point for each value along `dim`, or has a shape that broadcasts with `y`.

    >>> import tabgrad as tg
    >>> tg.trapezoid(tg.tensor([1.0, 5.0, 10.0], device="cpu"))
    tensor(10.5000)
    """
    areas, at = _areas("trapezoid", y, x, dx, dim)
    return e.mul(reductions.sum(areas, at), 0.5)


def trapz(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """Return the integral along `dim` by the trapezoidal rule, as `trapezoid` does."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Number = 1, dim: int = -1
) -> Tensor:
    """Return the integrals along `dim` from the first point to each other one, by the trapezoidal rule.

    >>> import tabgrad as tg
    >>> tg.cumulative_trapezoid(tg.tensor([1.0, 5.0, 10.0], device="cpu"))
    tensor([ 3.0000, 10.5000])
    """
    areas, at = _areas("cumulative_trapezoid", y, x, dx, dim)
    return e.mul(scan.cumsum.bind(areas, axis=at, reverse=False), 0.5)


def gradient(
    input: Tensor, *, spacing: Number | Sequence[Any] | None = None, dim: Dims | None = None,
    edge_order: int = 1,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return the derivatives of a function along each dim, or those in `dim`, from its values at grid points.

    `spacing` is the distance of the points: a number for all dims, one for each of them, or a vector of
    coordinates for each. Inside the result is exact to second order; at both ends to `edge_order`, 1 or 2.

    >>> import tabgrad as tg
    >>> tg.gradient(tg.tensor([1.0, 4.0, 9.0, 16.0], device="cpu"))
    (tensor([3., 4., 6., 7.]),)
    """
    rank = len(input.spec.shape)
    given: Any = range(rank) if dim is None else (dim,) if hasattr(dim, "__index__") else dim
    dims = [axis_of("torch.gradient", d, input.spec.shape) for d in given]
    for d in dims:
        if dims.count(d) > 1:
            raise ShapeError(f"gradient: dim {d} appears multiple times in the list of dims")
    if edge_order not in (1, 2):
        raise ShapeError(f"gradient only supports edge_order=1 and edge_order=2, got {edge_order}")
    for d in dims:
        if input.spec.shape[d] <= edge_order:
            raise ShapeError(
                f"gradient expected each dimension size to be at least edge_order+1, got {input.spec.shape} "
                f"and edge_order={edge_order}"
            )
    apart = _spacings(spacing, dims, dim is None, input)
    x = floating("gradient", input)
    return tuple([_slope(x, d, h, edge_order) for d, h in zip(dims, apart, strict=True)])


def _spacings(spacing: Any, dims: list[int], all_dims: bool, x: Tensor) -> list[Any]:
    """Return the spacing along each dim: a number or a tensor of coordinates."""
    if spacing is None:
        return [1] * len(dims)
    if is_number(spacing):
        return [spacing] * len(dims)
    if isinstance(spacing, Box) or not isinstance(spacing, Sequence):
        raise TypeError(
            "gradient(): argument 'spacing' must be a number or a sequence of numbers or tensors, not "
            f"{type(spacing).__name__}"
        )
    if len(spacing) != len(dims):
        raise ShapeError(
            "gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
            f"'self.dim() = {len(dims)}', since dim argument was not given, but got a list of length "
            f"{len(spacing)}"
            if all_dims
            else "gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to "
            f"have the same length, but got a spacing argument of length {len(spacing)} and a dim argument "
            f"of length {len(dims)}."
        )
    for h, d in zip(spacing, dims, strict=True):
        if isinstance(h, Box) and h.spec.shape != (x.spec.shape[d],):
            raise ShapeError(
                "gradient expected each element of spacing to have one dimension, with a coordinate for each "
                f"of the {x.spec.shape[d]} points along dim {d}, but got shape {h.spec.shape}"
            )
    return list(spacing)


def _slope(f: Tensor, at: int, spacing: Any, edge_order: int) -> Tensor:
    """Return the derivative along an axis: differences over two steps, but for both ends."""
    n = f.spec.shape[at]
    if isinstance(spacing, Box):
        line = v.reshape.bind(
            spacing, shape=tuple([n if k == at else 1 for k in range(len(f.spec.shape))])
        )
        h = e.sub(v.part(line, at, 1, n), v.part(line, at, 0, n - 1))
    else:
        h = None

    def step(start: int, stop: int) -> Any:
        return spacing if h is None else v.part(h, at, start, stop)

    def difference(start: int, stop: int) -> Any:
        """Return the slopes of the intervals from `start` to `stop`."""
        rise = e.sub(v.part(f, at, start + 1, stop + 1), v.part(f, at, start, stop))
        return e.div(rise, step(start, stop))

    first, last = difference(0, 1), difference(n - 2, n - 1)
    if n == 2:
        return i.cat.bind(first, last, axis=at)
    if h is None:
        middle = e.div(e.sub(v.part(f, at, 2, n), v.part(f, at, 0, n - 2)), 2 * spacing)
    else:
        # the mean of the slopes on both sides, the nearer one counting more
        left, right = difference(0, n - 2), difference(1, n - 1)
        before, after = step(0, n - 2), step(1, n - 1)
        both = e.add(e.mul(left, after), e.mul(right, before))
        middle = e.div(both, e.add(before, after))
    if edge_order == 2:
        # a line through the slopes of the two intervals at the end
        first = _extended(first, difference(1, 2), step(0, 1), step(1, 2))
        last = _extended(last, difference(n - 3, n - 2), step(n - 2, n - 1), step(n - 3, n - 2))
    return i.cat.bind(first, middle, last, axis=at)


def _extended(end: Any, inner: Any, step: Any, next_step: Any) -> Any:
    """Return the slope at an end from those of the two intervals beside it, and their lengths."""
    whole = e.add(step, next_step) if isinstance(step, Box) else step + next_step
    share = e.div(step, whole) if isinstance(step, Box) else step / whole
    return e.add(end, e.mul(e.sub(end, inner), share))


__all__ = ["cumulative_trapezoid", "gradient", "trapezoid", "trapz"]

publish(globals())
