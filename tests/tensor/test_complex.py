"""Complex numbers, which only `cpu` has."""

from __future__ import annotations

import numpy as np
import pytest

import tabgrad as tg

Z = np.array([[1 + 2j, 3 - 1j], [0.5j, -2.0]])


def z(grad: bool = False) -> tg.Tensor:
    x = tg.tensor(Z, dtype=tg.complex128, device="cpu")
    return x.requires_grad_(grad)


@pytest.mark.every_host
@pytest.mark.parametrize("dtype", [tg.float32, tg.int32, tg.bool])
def test_real_tensors_are_their_conjugates(dtype: tg.DType, device: str) -> None:
    x = tg.ones(3, dtype=dtype, device=device)
    assert x.conj() is x
    assert tg.conj(x) is x


def test_conjugates() -> None:
    np.testing.assert_array_equal(z().conj().numpy(), Z.conj())
    np.testing.assert_array_equal(tg.conj(z()).numpy(), Z.conj())
    for conjugated in (z().H, z().mH, z().adjoint(), tg.adjoint(z())):
        np.testing.assert_array_equal(conjugated.numpy(), Z.conj().T)
    np.testing.assert_array_equal(z().mT.numpy(), Z.T)
    x = tg.ones(2, 3, device="cpu")
    assert x.H.shape == x.mH.shape == (3, 2)


def test_the_gradient_of_a_conjugate_is_conjugated() -> None:
    x = z(True)
    ct = tg.tensor(Z * (2 - 1j), dtype=tg.complex128, device="cpu")
    (g,) = tg.autograd.grad(x.conj(), x, ct)
    np.testing.assert_allclose(g.numpy(), (Z * (2 - 1j)).conj())
    _, t = tg.func.jvp(tg.conj, (z(),), (ct,))
    np.testing.assert_allclose(t.numpy(), (Z * (2 - 1j)).conj())
    np.testing.assert_array_equal(tg.func.vmap(tg.conj)(z()).numpy(), Z.conj())
