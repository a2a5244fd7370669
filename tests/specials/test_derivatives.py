"""Derivatives of the special functions against differences, of both orders, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import tabgrad as tg

SMOOTH = (
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "erfcx", "modified_bessel_i0",
    "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1", "spherical_bessel_j0",
)  # fmt: skip
POSITIVE = ("bessel_y", "modified_bessel_k")
A = tg.tensor([1.5, 2.0, 0.5, 8.0], dtype=tg.float64, device="cpu")
X = tg.tensor([0.5, 1.5, 2.5, 9.0], dtype=tg.float64, device="cpu")


def check(f: Callable[[tg.Tensor], tg.Tensor], x: tg.Tensor) -> None:
    x = x.detach().clone().requires_grad_()
    assert tg.autograd.gradcheck(f, (x,), atol=1e-6)
    assert tg.autograd.gradgradcheck(f, (x,), atol=1e-5)
    slopes = tg.autograd.grad(f(x).sum(), x)[0]
    tg.testing.assert_close(tg.func.jvp(f, (x.detach(),), (tg.ones_like(x),))[1], slopes)
    tg.testing.assert_close(tg.vmap(f)(x), f(x))


@pytest.mark.one_host("reference")
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_agree_with_differences(name: str) -> None:
    f = getattr(tg.special, name)
    check(f, X)
    if not name.removeprefix("scaled_").startswith(POSITIVE):
        check(f, -X)
        check(f, X - X + tg.tensor([0.0, 0.01, -0.01, 0.0], dtype=tg.float64, device="cpu"))


@pytest.mark.one_host("reference")
def test_derivatives_of_quantiles_and_incomplete_gamma_functions() -> None:
    check(tg.special.ndtri, X / 10)
    for f in (tg.special.gammainc, tg.special.gammaincc):
        # every order with every argument, each with a slope of its own
        check(lambda x, f=f: (f(A.reshape(4, *(1,) * x.dim()), x) ** 2).sum(0), X)


@pytest.mark.every_host
@pytest.mark.parametrize("f", [tg.igamma, tg.igammac], ids=["igamma", "igammac"])
def test_a_derivative_by_the_order_is_refused(f: Callable[..., tg.Tensor], device: str) -> None:
    a = A.to(device).requires_grad_()
    x = X.to(device).requires_grad_()
    with pytest.raises(TypeError, match=f"{f.__name__}.*expected a tensor for other, got int"):
        f(a, 2)
    (slope,) = tg.autograd.grad(f(a, x).sum(), x)
    assert slope.isfinite().all()
    with pytest.raises(tg.GradientError, match="no derivative by their first argument"):
        f(a, x).sum().backward()
    with pytest.raises(tg.GradientError, match="no derivative by their first argument"):
        tg.func.jvp(lambda t: f(t, X.to(device)), (a.detach(),), (a.detach(),))


@pytest.mark.every_host
def test_polynomials_take_numbers_on_either_side_and_have_no_derivative(device: str) -> None:
    legendre = tg.special.legendre_polynomial_p
    degrees = tg.tensor([1, 2, 3], device=device)
    tg.testing.assert_close(
        legendre(0.5, degrees), tg.tensor([0.5, -0.125, -0.4375], device=device)
    )
    x = tg.tensor([0.5], device=device, requires_grad=True)
    assert not legendre(x, 3).requires_grad
    assert not tg.special.chebyshev_polynomial_u(x, 9).requires_grad
    assert legendre(x, float("nan")).isnan().all()
    assert legendre(x, 65536).isnan().all()
    assert legendre(x, -1).item() == 0
    with pytest.raises(TypeError, match="expected a tensor for x or n"):
        legendre(0.5, 2)


@pytest.mark.every_host
def test_methods_and_their_twins(device: str) -> None:
    x = tg.tensor([1.0, 2.0], device=device)
    for name, args in {
        "i0": (),
        "igamma": (x,),
        "igammac": (x,),
        "mvlgamma": (1,),
        "polygamma": (1,),
    }.items():
        wanted = getattr(x, name)(*args)
        y = x.clone()
        assert getattr(y, name + "_")(*args) is y
        tg.testing.assert_close(y, wanted)
    tg.testing.assert_close(tg.polygamma(1, x), x.polygamma(1))
    tg.testing.assert_close(tg.mvlgamma(x, 1), tg.lgamma(x), rtol=1e-5, atol=1e-6)
