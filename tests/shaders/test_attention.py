"""The kernels of attention as they stand in their files, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tabgrad.core.op import REGISTRY
from tabgrad.lower import library
from tests.shaders import gpu


@pytest.mark.one_host("wgpu")
def test_attention() -> None:
    rng = np.random.default_rng(0)
    shapes = {"q": (3, 19, 6), "k": (3, 21, 6), "v": (3, 21, 5)}
    given = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    program = gpu.Program({**given, "y": np.zeros((3, 19, 5), np.float32)})
    source = library.kernel("attention").with_blocks({})
    program.dispatch(source, (6, 1, 1), list(given), ["y"])
    want = REGISTRY["attention"].fn(*given.values(), causal=True, scale=0.5)
    np.testing.assert_allclose(program.read("y"), want, rtol=1e-5, atol=1e-6)


@pytest.mark.one_host("wgpu")
def test_gradients() -> None:
    rng = np.random.default_rng(1)
    shapes = {"q": (3, 19, 6), "k": (3, 21, 6), "v": (3, 21, 5), "ct": (3, 19, 5)}
    given = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    made = {"dq": (3, 19, 6), "facts": (3, 19, 3), "dk": (3, 21, 6), "dv": (3, 21, 5)}
    program = gpu.Program({**given, **{n: np.zeros(s, np.float32) for n, s in made.items()}})
    rows, columns = (
        library.kernel(f"attention_{name}").with_blocks({}) for name in ("rows", "columns")
    )
    program.dispatch(rows, (6, 1, 1), list(given), ["dq", "facts"])
    program.dispatch(columns, (6, 1, 1), [*given, "facts"], ["dk", "dv"])
    operands = (given[name] for name in ("ct", "q", "k", "v"))
    want = REGISTRY["attention_gradient"].fn(*operands, causal=True, scale=0.5)
    for name, one in zip(("dq", "dk", "dv"), want, strict=True):
        np.testing.assert_allclose(program.read(name), one, rtol=1e-5, atol=1e-5)
