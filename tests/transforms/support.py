"""What the tests of derivatives share: tensors of float64, programs to differentiate, differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tabgrad as tg
from tabgrad.ops.elementwise import exp
from tabgrad.ops.linalg import matmul
from tabgrad.ops.trigonometry import sin, tanh
from tabgrad.ops.view import reshape


def f64(values: Any, grad: bool = False) -> tg.Tensor:
    """A float64 tensor on the CPU."""
    x = tg.tensor(values, dtype=tg.float64, device="cpu")
    x.requires_grad = grad
    return x


def array(x: Any) -> np.ndarray:
    """The values of a tensor."""
    return np.array(x.tolist())


def close(x: Any, y: Any, tolerance: float = 1e-9) -> None:
    """Assert that two tensors or arrays agree."""
    a = array(x) if isinstance(x, tg.Tensor) else np.asarray(x)
    b = array(y) if isinstance(y, tg.Tensor) else np.asarray(y)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def random(*shape: int, seed: int = 0) -> tg.Tensor:
    """Values between 0.3 and 1.7."""
    return f64(np.random.default_rng(seed).uniform(0.3, 1.7, shape).tolist())


def differences(fn: Callable[[Any], Any], x: Any, dx: Any, step: float = 1e-6) -> np.ndarray:
    """The derivative of `fn` at `x` along `dx` by central differences."""
    high = array(fn(f64((array(x) + step * array(dx)).tolist())))
    low = array(fn(f64((array(x) - step * array(dx)).tolist())))
    return (high - low) / (2 * step)


def smooth(x: Any) -> Any:
    """(3,) -> (3,): a map with a full Jacobian and second derivatives everywhere."""
    w = f64([[0.3, -0.5, 0.2], [0.7, 0.1, -0.4], [-0.2, 0.6, 0.5]])
    row = reshape.bind(x, shape=(1, 3))
    return tanh(matmul.bind(row, w)).sum(0) * exp(x * 0.5) + sin(x * x.sum())


def energy(x: Any) -> Any:
    """(3,) -> scalar, of `smooth`."""
    return (smooth(x) * smooth(x)).sum()
