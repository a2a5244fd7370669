"""Convolutions of large arrays: their ways to the result, at small sizes, beside the plain one."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from tabgrad.core.errors import ShapeError
from tabgrad.ops import conv_numpy
from tabgrad.ops.conv import FEW, _conv_shape as shape_of, conv
from tests.grouped import grouped


def cases():
    """Return settings of convolutions with one to three axes, of every kind."""
    rng = random.Random(7)
    found: list[Any] = []
    while len(found) < 160:
        n = rng.choice((1, 2, 2, 3))
        draw = lambda *choice, n=n: tuple(rng.choice(choice) for _ in range(n))  # noqa: E731
        groups = rng.choice((1, 1, 2, 3))
        each, outs = rng.choice((1, 2, 3)), rng.choice((1, 2, 5))
        x = (rng.choice((1, 2, 5)), groups * each, *draw(1, 2, 3, 5, 8))
        w = (groups * outs, each, *draw(1, 2, 3, 5))
        spread = rng.random() < 0.4
        options = {
            "strides": (1,) * n if spread else draw(1, 1, 2, 3),
            "padding": tuple(zip(draw(-1, 0, 0, 1, 2, 4), draw(-1, 0, 0, 1, 2, 3), strict=True)),
            "dilations": draw(1, 1, 2, 3, 4),
            "lhs_dilations": draw(1, 2, 3, 4) if spread else (1,) * n,
            "groups": groups,
        }
        try:
            y = shape_of(x, w, **options)
        except ShapeError:
            continue
        if not 0 < y[0] * np.prod(y[2:]) * np.prod(w[1:]) * groups < FEW:
            continue
        found.append((x, w, options))
    return found


def ways(x, w, y, options):
    """Yield the name of each way that can take this convolution, with what it gives."""
    strides, padding, dilations, spread, groups = options.values()
    if any(e > 1 for e in spread):
        yield "spread", conv_numpy.spread_out(x, w, y, padding, dilations, spread, groups)
        return
    yield "chosen", conv_numpy.convolve(x, w, y, strides, padding, dilations, groups)
    yield "taps", conv_numpy._by_taps(x, w, y, strides, padding, dilations, groups)
    yield "positions", conv_numpy._by_positions(x, w, y, strides, padding, dilations, groups)


@grouped("case", cases(), lambda case: f"{case[0]} {case[1]} {case[2]}", size=200)
def test_each_way_agrees_with_the_plain_one(case):
    shape, kernel, options = case
    rng = np.random.default_rng(3)
    x, w = (rng.integers(-4, 5, s).astype(np.float32) for s in (shape, kernel))
    y = shape_of(shape, kernel, **options)
    want = conv.fn(x, w, **options)
    for kind in (x.dtype, np.dtype(np.int32), np.dtype(np.complex64)):
        for name, found in ways(x.astype(kind), w.astype(kind), y, options):
            assert (found.dtype, found.shape) == (kind, y), name
            np.testing.assert_array_equal(found, want.astype(kind), name)


def test_an_infinity_reaches_only_the_windows_with_it():
    x = np.ones((1, 2, 40), np.float32)
    x[0, 0, 0] = np.inf
    w = np.ones((3, 2, 38), np.float32)
    options = ((1,), ((0, 0),), (1,), 1)
    y = conv_numpy.convolve(x, w, (1, 3, 3), *options)
    assert np.isinf(y[..., 0]).all()
    assert (y[..., 1:] == 76).all()
