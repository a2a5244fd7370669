"""Matrices for the tests of decompositions on webgpu, and how far results are off."""

from __future__ import annotations

import numpy as np

import tabgrad as tg
from tabgrad.core.op import REGISTRY

MANY = 70000
"""More matrices than a grid has workgroups in one dimension."""


def op(name, *args, **params):
    return REGISTRY[name].bind(*args, **params)


def sent(x):
    return tg.tensor(np.ascontiguousarray(x, "float32"), device="webgpu")


def reference(x):
    return tg.tensor(x, device="cpu")


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def definite(*lead, n, condition=10.0):
    """Draw symmetric matrices with eigenvalues from 1 down to 1 / condition."""
    q = np.linalg.qr(drawn(*lead, n, n).astype("float64"))[0]
    values = np.geomspace(1, 1 / condition, n) if n > 1 else np.ones(1)
    return (q * values @ q.swapaxes(-1, -2)).astype("float32")


def deficient():
    """Make batches of matrices of exactly deficient rank, and of some with almost no digits left, by name."""
    up = np.arange(1.0, 21)
    made = {
        "of one number": np.full((10, 10), 0.1),
        "square, of ones": np.ones((20, 20)),
        "wide, of ones": np.ones((20, 30)),
        "tall, of ones": np.ones((30, 20)),
        "large, of ones": np.ones((100, 100)),
        "outer product": np.outer(up, up),
        "equal rows": np.ones((20, 1)) * drawn(1, 20),
        "two blocks": np.kron(np.eye(2), np.ones((10, 10))),
        "padded with zeros": np.pad(np.ones((10, 10)), (0, 10)),
        "checkerboard": np.indices((20, 20)).sum(0) % 2,
        "subnormal": 1e-43 * drawn(9, 9),
        "zero": np.zeros((40, 35)),
    }
    batches: dict[tuple[int, ...], list[str]] = {}
    for name, a in made.items():
        batches.setdefault(a.shape, []).append(name)
    return {
        ", ".join(names): np.stack(
            [sign * made[name] for name in names for sign in (1, -2)]
        ).astype("float32")
        for names in batches.values()
    }


def off(found, wanted):
    """Compute the largest relative distance between matrices, in the Frobenius norm."""
    found, wanted = np.asarray(found, "float64"), np.asarray(wanted, "float64")
    return float(
        np.max(
            np.linalg.norm(found - wanted, axis=(-2, -1)) / np.linalg.norm(wanted, axis=(-2, -1))
        )
    )


def exactly(x):
    return x.numpy().astype("float64")


def orthonormal(q):
    """Compute the largest entry of qᴴq - 1."""
    return float(np.abs(q.swapaxes(-1, -2).conj() @ q - np.eye(q.shape[-1])).max())
