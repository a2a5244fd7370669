"""Gradients of complex tensors: the conjugates that transposes of products take, as PyTorch defines them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.ops.conv import conv
from tabgrad.ops.elementwise import conj, div, exp, mul
from tabgrad.ops.linalg import matmul
from tabgrad.ops.scan import linear_scan
from tabgrad.transforms import backward

PLAIN = {
    "strides": (1,),
    "padding": ((1, 0),),
    "dilations": (1,),
    "lhs_dilations": (1,),
    "groups": 1,
}
PROGRAMS = {
    "mul": (lambda x, y: mul(x, y), ((3, 2), (3, 2))),
    "div": (lambda x, y: div(x, y), ((3, 2), (3, 2))),
    "exp of conj": (lambda x, y: mul(exp(conj(x)), y), ((3,), (3,))),
    "matmul": (lambda x, y: matmul.bind(x, y), ((3, 2), (2, 4))),
    "conv": (lambda x, y: conv.bind(x, y, **PLAIN), ((2, 3, 5), (4, 3, 2))),
    "linear_scan": (lambda x, y: linear_scan.bind(x, y, axis=1, reverse=False), ((2, 4), (2, 4))),
}


def complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_are_those_of_the_real_part(name: str) -> None:
    """The gradient g of L = Re<ct, f(z)> has dL = Re<g, dz>."""
    f, shapes = PROGRAMS[name]
    rng = np.random.default_rng(0)
    zs = [complex_normal(rng, s) for s in shapes]
    leaves = [tg.tensor(z, device="cpu", requires_grad=True) for z in zs]
    y = f(*leaves)
    ct = complex_normal(rng, y.shape)
    grads = backward.grad(y, leaves, tg.tensor(ct, device="cpu"))
    step = 1e-6
    for k, (z, g) in enumerate(zip(zs, grads, strict=True)):
        dz = complex_normal(rng, z.shape)
        ends = []
        for sign in (1, -1):
            moved = [
                tg.tensor(w + sign * step * dz if i == k else w, device="cpu")
                for i, w in enumerate(zs)
            ]
            ends.append(float((np.conj(ct) * f(*moved).value).sum().real))
        want = (ends[0] - ends[1]) / (2 * step)
        assert float((np.conj(g.value) * dz).sum().real) == pytest.approx(want, rel=1e-6, abs=1e-6)
