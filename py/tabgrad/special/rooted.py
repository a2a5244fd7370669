"""The special functions that PyTorch has at its root and as methods, by the names they have there."""

from __future__ import annotations

from tabgrad.special import functions, gamma
from tabgrad.tensor import Tensor
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import publish, takes_out


@takes_out
def i0(input: Tensor) -> Tensor:
    """Return the modified Bessel function of the first kind of order 0, as `special.i0` does."""
    return functions.i0(input)


i0_ = in_place(i0)


@takes_out
def igamma(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized lower incomplete gamma function, as `special.gammainc` does."""
    return gamma.lower("igamma", input, other)


@takes_out
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """Return the regularized upper incomplete gamma function, as `special.gammaincc` does."""
    return gamma.upper("igammac", input, other)


@takes_out
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """Return the logarithm of the multivariate gamma function, as `special.multigammaln` does."""
    return functions.multigammaln(input, p)


@takes_out
def polygamma(n: int, input: Tensor) -> Tensor:
    """Return the `n`-th derivative of digamma, as `special.polygamma` does."""
    return functions.polygamma(n, input)


def polygamma_method(input: Tensor, n: int) -> Tensor:
    """Return the `n`-th derivative of digamma."""
    return functions.polygamma(n, input)


class SpecialMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    i0, i0_ = i0, i0_
    igamma, igamma_ = igamma, in_place(igamma)
    igammac, igammac_ = igammac, in_place(igammac)
    mvlgamma, mvlgamma_ = mvlgamma, in_place(mvlgamma)
    polygamma, polygamma_ = polygamma_method, in_place(polygamma_method)


__all__ = ["i0", "i0_", "igamma", "igammac", "mvlgamma", "polygamma"]

publish(globals())
