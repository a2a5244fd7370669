"""Functions of complex numbers: every derivative against differences on the CPU, and every device beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.transforms import backward
from tests.grouped import grouped

STEP = 1e-6


def numbers(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Any:
    """Complex numbers off the real axis, or real ones that are positive."""
    if kind == "real":
        return rng.uniform(0.3, 1.5, shape)
    angles = rng.uniform(0.3, 2.8, shape) * rng.choice([-1, 1], shape)
    return rng.uniform(0.3, 1.5, shape) * np.exp(1j * angles)


ONE, TWO, REAL, MIXED = ("complex",), ("complex", "complex"), ("real", "real"), ("real", "complex")
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    **{
        name: (getattr(tg, name), ONE)
        for name in (
            *(
                "neg",
                "square",
                "reciprocal",
                "sqrt",
                "rsqrt",
                "exp",
                "exp2",
                "expm1",
                "log",
                "log2",
                "log10",
            ),
            *(
                "log1p",
                "sin",
                "cos",
                "tan",
                "asin",
                "acos",
                "atan",
                "sinh",
                "cosh",
                "tanh",
                "asinh",
                "acosh",
            ),
            *("atanh", "abs", "sgn", "angle", "conj", "real", "imag", "view_as_real"),
        )
    },
    "pow": (tg.pow, TWO),
    "square by a power": (lambda z: z**2, ONE),
    "a real power": (lambda z: z**-1.5, ONE),
    "mul": (tg.mul, TWO),
    "div": (tg.div, TWO),
    "real by complex": (tg.mul, MIXED),
    "where": (lambda z, w: tg.where(z.real > w.real, z * w, w), TWO),
    "complex": (tg.complex, REAL),
    "polar": (tg.polar, REAL),
    "view_as_complex": (lambda x, y: tg.view_as_complex(tg.stack([x, y], -1)), REAL),
    "sum": (lambda z: (z * z).sum(0), ONE),
    "prod": (lambda z: z.prod(1), ONE),
    "mean": (lambda z: (z * z).mean(), ONE),
    "cumsum": (lambda z: (z * z).cumsum(1), ONE),
    "cumprod": (lambda z: z.cumprod(0), ONE),
    "norm": (lambda z: z.norm(dim=1), ONE),
    "norm of order 3": (lambda z: z.norm(3), ONE),
    "matmul": (lambda z, w: z @ w.mH, TWO),
    "vdot": (lambda z, w: tg.vdot(z.flatten(), w.flatten()), TWO),
    "einsum": (lambda z, w: tg.einsum("ij,kj->ki", z, w), TWO),
    "indexed": (lambda z: z[:, 1:].flip(0).T, ONE),
    "sigmoid": (tg.sigmoid, ONE),
    "sinc": (tg.sinc, ONE),
    "var": (lambda z: z.var(0), ONE),
    "std": (lambda z: z.std(), ONE),
    "cov": (tg.cov, ONE),
    "corrcoef": (tg.corrcoef, ONE),
    "lerp": (lambda z, w: tg.lerp(z, w, 0.3 + 0.2j), TWO),
    "lerp by a tensor": (lambda z, w: tg.lerp(z, w, z * w), TWO),
    "logaddexp": (tg.logaddexp, TWO),
    "logsumexp": (lambda z: z.logsumexp(1), ONE),
    "dist": (lambda z, w: tg.dist(z, w, 1), TWO),
    "silu": (tg.nn.functional.silu, ONE),
    "softsign": (tg.nn.functional.softsign, ONE),
    "normalize": (lambda z: tg.nn.functional.normalize(z), ONE),
    "l1_loss": (tg.nn.functional.l1_loss, TWO),
    "addcdiv": (lambda z, w: tg.addcdiv(z, w, z, value=2j), TWO),
    "a real loss": (lambda z: (z.conj() * z).real.sum(), ONE),
    "written to": (lambda z: _written(z), ONE),
}
LINEAR = "neg conj real imag view_as_real complex view_as_complex indexed lerp".split()


def _written(z: Any) -> Any:
    y = z * 1j
    y.real.mul_(z.imag)
    tg.view_as_real(y)[..., 1].add_(z.real)
    return y


def _inner(a: Any, b: Any) -> float:
    """The real inner product of arrays."""
    return float((np.conj(a) * b).sum().real)


def _like(rng: np.random.Generator, x: Any) -> Any:
    v = rng.normal(size=x.shape)
    return v + 1j * rng.normal(size=x.shape) if np.iscomplexobj(x) else v


def _value(f: Callable[..., Any], arrays: list[Any]) -> Any:
    return f(*[tg.tensor(a, device="cpu") for a in arrays]).numpy()


def _difference(f: Callable[[list[Any]], Any], arrays: list[Any], along: list[Any]) -> Any:
    ends = [
        f([a + sign * STEP * v for a, v in zip(arrays, along, strict=True)]) for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * STEP)


def _gradients(f: Callable[..., Any], arrays: list[Any], ct: Any, device: str = "cpu") -> list[Any]:
    leaves = [tg.tensor(a, device=device, requires_grad=True) for a in arrays]
    found = backward.grad(f(*leaves), leaves, tg.tensor(ct, device=device))
    return [g.cpu().numpy() for g in found]


@grouped("name", FUNCTIONS, size=24)
def test_derivatives_agree_with_differences(name: str) -> None:
    f, kinds = FUNCTIONS[name]
    rng = np.random.default_rng(len(name))
    xs = [numbers(rng, (3, 2), kind) for kind in kinds]
    vs, us = ([_like(rng, x) for x in xs] for _ in range(2))
    y = _value(f, xs)
    ct = _like(rng, y)
    slope = _difference(lambda at: _value(f, at), xs, vs)
    grads = _gradients(f, xs, ct)
    for x, g in zip(xs, grads, strict=True):
        assert (g.shape, g.dtype) == (x.shape, x.dtype)
    total = sum(_inner(g, v) for g, v in zip(grads, vs, strict=True))
    assert total == pytest.approx(_inner(ct, slope), rel=1e-6, abs=1e-6)

    given, along = (tuple(tg.tensor(a, device="cpu") for a in many) for many in (xs, vs))
    tangent = tg.func.jvp(f, given, along)[1]
    np.testing.assert_allclose(tangent.numpy(), slope, rtol=1e-6, atol=1e-6)

    leaves = [tg.tensor(x, device="cpu", requires_grad=True) for x in xs]
    first = backward.grad(
        f(*leaves), leaves, tg.tensor(ct, device="cpu"), create_graph=True, materialize_grads=True
    )
    if not any(g.requires_grad for g in first):
        assert name in LINEAR
        return
    weights = [tg.tensor(u, device="cpu") for u in us]
    second = backward.grad(first, leaves, weights, materialize_grads=True)
    curved = [_difference(lambda at, k=k: _gradients(f, at, ct)[k], xs, vs) for k in range(len(xs))]
    want = sum(_inner(u, c) for u, c in zip(us, curved, strict=True))
    got = sum(_inner(s.numpy(), v) for s, v in zip(second, vs, strict=True))
    assert got == pytest.approx(want, rel=1e-5, abs=1e-5)


@pytest.mark.every_host
def test_devices_and_batches_agree(device: str) -> None:
    """In complex64: the value, the gradients, and both for a batch."""
    for name, (f, kinds) in FUNCTIONS.items():
        rng = np.random.default_rng(len(name))
        xs = [numbers(rng, (2, 3, 2), kind) for kind in kinds]
        narrow = [x.astype(np.complex64 if np.iscomplexobj(x) else np.float32) for x in xs]
        y = np.stack([_value(f, [x[i] for x in xs]) for i in range(2)])
        got = tg.func.vmap(f)(*[tg.tensor(x, device=device) for x in narrow])
        np.testing.assert_allclose(got.cpu().numpy(), y, rtol=2e-4, atol=2e-4, err_msg=name)
        ct = _like(rng, y[0])
        at = [x[0] for x in narrow]
        ours = _gradients(f, at, ct.astype(got.cpu().numpy().dtype), device)
        for g, w in zip(ours, _gradients(f, [x[0] for x in xs], ct), strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-3, err_msg=name)
