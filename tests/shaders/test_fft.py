"""The kernel of Fourier transforms against NumPy: as it stands, and with stages of every radix."""

from __future__ import annotations

import numpy as np
import pytest

from tabgrad.lower import library
from tabgrad.lower.kernels.fourier import stages
from tests.shaders import gpu

pytestmark = pytest.mark.one_host("wgpu")


def spectra(source: str, x: np.ndarray, lines: int) -> np.ndarray:
    groups = -(-len(x) // lines)
    program = gpu.Program({"x": x.view(np.float32), "out": np.zeros_like(x).view(np.float32)})
    program.dispatch(source, (-(-groups // 2), 2, 1), ["x"], ["out"])
    return program.read("out").view(np.complex64).reshape(x.shape)


def drawn(rows: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return (rng.normal(size=(rows, n)) + 1j * rng.normal(size=(rows, n))).astype(np.complex64)


def off(got: np.ndarray, x: np.ndarray) -> float:
    want = np.fft.fft(x.astype(np.complex128))
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def test_the_file_as_it_stands() -> None:
    x = drawn(5, 6)
    assert off(spectra(library.kernel("fft").source, x, 2), x) < 2e-7


@pytest.mark.parametrize(
    "n", [1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 22, 26, 35, 60, 63, 77, 121, 169, 343, 512, 1001, 2048]
)
def test_stages_of_every_radix(n: int) -> None:
    x, lines, radices = drawn(5, n), max(1, min(4, 2048 // n)), stages.factors(n)
    assert radices is not None
    blocks = {
        "dims": f"fn lines() -> u32 {{ return 5u; }}\nconst LINES = {lines}u;\nconst LENGTH = {n}u;\n"
        f"const RESULTS = {n}u;\nconst THREADS = 64u;\nconst ACROSS = {str(n % 2 == 0).lower()};\n"
        "const BESIDE = false;\n",
        "place": f"fn place(r: u32) -> u32 {{ {stages.places(radices)} }}\n",
        "stages": "fn wanted(at: u32, r: u32) -> vec2f { return values[at + r]; }\n"
        + stages.transform(radices, lines, whole=n % 3 == 0),
    }
    assert off(spectra(library.kernel("fft").with_blocks(blocks), x, lines), x) < 2.5e-7
