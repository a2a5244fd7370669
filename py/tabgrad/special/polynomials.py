"""Orthogonal polynomials, of a degree for each element.

The degree `n` is cut to an integer. Below 0 the polynomial is 0; where `n` is nan, or above 65,535, it is nan.
As in PyTorch the results have no derivative. Chebyshev's are trigonometric functions of n acos(x) from degree 7
on within (-1, 1). All others go by their recurrence, and are as precise as that: to n units of rounding of the
largest term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import get_default_dtype
from tabgrad.core.errors import DTypeError
from tabgrad.core.promotion import cast, result_dtype, widened
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant
from tabgrad.ops import special
from tabgrad.ops.elementwise import abs_, add, div, mul, stop_gradient, sub, where
from tabgrad.ops.rounding import ge, lt, trunc
from tabgrad.ops.trigonometry import acos, cos, sin
from tabgrad.tensor.public import takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Number


def _operands(name: str, x: Any, n: Any) -> tuple[Any, Any]:
    """Return both as tensors of one floating dtype, without derivatives."""
    given = [a for a in (x, n) if isinstance(a, Box)]
    if not given:
        raise TypeError(
            f"{name}: expected a tensor for x or n, got {type(x).__name__} and {type(n).__name__}; "
            "make one of them a tensor"
        )
    dtype = result_dtype(x, n)
    if dtype.is_complex:
        raise DTypeError(f"{name}: not defined for {dtype!r}; take the real part")
    if not dtype.is_floating_point:
        dtype = get_default_dtype()
    like = spec(given[0].spec.shape, dtype)
    x, n = (
        stop_gradient(cast(a, dtype))
        if isinstance(a, Box)
        else constant(float(a), like, given[0].device)
        for a in (x, n)
    )
    return x, n


@takes_out
@widened
def hermite_polynomial_h(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Hermite polynomial of physicists of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.hermite_polynomial_h(tg.tensor([0.0, 1.0, 2.0]), 3)
    tensor([-0., -4., 40.])
    """
    return special.hermite_h(*_operands("hermite_polynomial_h", x, n))


@takes_out
@widened
def hermite_polynomial_he(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Hermite polynomial of probabilists of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.hermite_polynomial_he(tg.tensor([0.0, 1.0, 2.0]), 3)
    tensor([-0., -2.,  2.])
    """
    return special.hermite_he(*_operands("hermite_polynomial_he", x, n))


@takes_out
@widened
def laguerre_polynomial_l(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return Laguerre's polynomial of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.laguerre_polynomial_l(tg.tensor([0.0, 1.0, 2.0]), 2)
    tensor([ 1.0000, -0.5000, -1.0000])
    """
    return special.laguerre(*_operands("laguerre_polynomial_l", x, n))


@takes_out
@widened
def legendre_polynomial_p(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return Legendre's polynomial of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.legendre_polynomial_p(tg.tensor([0.0, 0.5, 1.0]), 2)
    tensor([-0.5000, -0.1250,  1.0000])
    """
    return special.legendre(*_operands("legendre_polynomial_p", x, n))


def _chebyshev(
    name: str, x: Any, n: Any, first: tuple[float, float], waves: Any, shifted: bool = False
) -> Any:
    """Return the polynomial that begins with 1 and first[0] x + first[1]; `waves(angle, n)` within (-1, 1)."""
    x, n = _operands(name, x, n)
    if shifted:
        x = sub(mul(x, 2), 1)
    by_waves = where(lt(abs_(x), 1), ge(n, 7), False)
    y = waves(acos(where(by_waves, x, 0)), trunc(where(by_waves, n, 7)))
    first_one = mul(x, first[0])
    if first[1]:  # adding 0 would lose the sign of -0
        first_one = add(first_one, first[1])
    return where(by_waves, y, special.chebyshev(x, first_one, where(by_waves, 1, n)))


def _waves_t(angle: Any, n: Any) -> Any:
    return cos(mul(angle, n))


def _waves_u(angle: Any, n: Any) -> Any:
    return div(sin(mul(angle, add(n, 1))), sin(angle))


def _waves_v(angle: Any, n: Any) -> Any:
    return div(cos(mul(angle, add(n, 0.5))), cos(mul(angle, 0.5)))


def _waves_w(angle: Any, n: Any) -> Any:
    return div(sin(mul(angle, add(n, 0.5))), sin(mul(angle, 0.5)))


@takes_out
@widened
def chebyshev_polynomial_t(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the first kind of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.chebyshev_polynomial_t(tg.tensor([-1.0, 0.5, 2.0]), 3)
    tensor([-1., -1., 26.])
    """
    return _chebyshev("chebyshev_polynomial_t", x, n, (1, 0), _waves_t)


@takes_out
@widened
def chebyshev_polynomial_u(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the second kind of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.chebyshev_polynomial_u(tg.tensor([-1.0, 0.5, 2.0]), 3)
    tensor([-4., -1., 56.])
    """
    return _chebyshev("chebyshev_polynomial_u", x, n, (2, 0), _waves_u)


@takes_out
@widened
def chebyshev_polynomial_v(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the third kind of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.chebyshev_polynomial_v(tg.tensor([-1.0, 0.5, 2.0]), 3)
    tensor([-7., -1., 41.])
    """
    return _chebyshev("chebyshev_polynomial_v", x, n, (2, -1), _waves_v)


@takes_out
@widened
def chebyshev_polynomial_w(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the fourth kind of degree `n`.

    >>> import tabgrad as tg
    >>> tg.special.chebyshev_polynomial_w(tg.tensor([-1.0, 0.5, 2.0]), 3)
    tensor([-1., -1., 71.])
    """
    return _chebyshev("chebyshev_polynomial_w", x, n, (2, 1), _waves_w)


@takes_out
@widened
def shifted_chebyshev_polynomial_t(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the first kind of degree `n`, at 2 x - 1.

    >>> import tabgrad as tg
    >>> tg.special.shifted_chebyshev_polynomial_t(tg.tensor([0.0, 0.5, 1.0]), 3)
    tensor([-1., -0.,  1.])
    """
    return _chebyshev("shifted_chebyshev_polynomial_t", x, n, (1, 0), _waves_t, shifted=True)


@takes_out
@widened
def shifted_chebyshev_polynomial_u(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the second kind of degree `n`, at 2 x - 1.

    >>> import tabgrad as tg
    >>> tg.special.shifted_chebyshev_polynomial_u(tg.tensor([0.0, 0.5, 1.0]), 3)
    tensor([-4., -0.,  4.])
    """
    return _chebyshev("shifted_chebyshev_polynomial_u", x, n, (2, 0), _waves_u, shifted=True)


@takes_out
@widened
def shifted_chebyshev_polynomial_v(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the third kind of degree `n`, at 2 x - 1.

    >>> import tabgrad as tg
    >>> tg.special.shifted_chebyshev_polynomial_v(tg.tensor([0.0, 0.5, 1.0]), 3)
    tensor([-7.,  1.,  1.])
    """
    return _chebyshev("shifted_chebyshev_polynomial_v", x, n, (2, -1), _waves_v, shifted=True)


@takes_out
@widened
def shifted_chebyshev_polynomial_w(x: Tensor | Number, n: Tensor | Number) -> Tensor:
    """Return the Chebyshev polynomial of the fourth kind of degree `n`, at 2 x - 1.

    >>> import tabgrad as tg
    >>> tg.special.shifted_chebyshev_polynomial_w(tg.tensor([0.0, 0.5, 1.0]), 3)
    tensor([-1., -1.,  7.])
    """
    return _chebyshev("shifted_chebyshev_polynomial_w", x, n, (2, 1), _waves_w, shifted=True)


__all__ = [
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
]
