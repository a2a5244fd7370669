"""lobpcg: ends of spectra beside whole ones, generalised, batched, sparse, degenerate; what trackers see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped


def drawn(m: int, *, definite: bool = False, lead: tuple[int, ...] = ()) -> Any:
    random = np.random.default_rng(m)
    x = random.normal(size=(*lead, m, m))
    if definite:
        return x @ np.swapaxes(x, -1, -2) + m * np.eye(m)
    return x + np.swapaxes(x, -1, -2)


CASES = [
    (m, k, largest, general)
    for m, k in ((12, 1), (30, 4))
    for largest in (True, False)
    for general in (False, True)
]


@grouped("m, k, largest, general", CASES)
def test_it_is_the_end_of_the_spectrum(m: int, k: int, largest: bool, general: bool) -> None:
    compare(m, k, largest, general, "cpu")


@pytest.mark.one_host("wgpu")
def test_it_is_on_the_gpu_too(device: str) -> None:
    compare(12, 2, True, True, device)


def compare(m: int, k: int, largest: bool, general: bool, device: str) -> None:
    tg.manual_seed(m)
    kind = tg.float64 if device == "cpu" else tg.float32
    near = 1e-9 if device == "cpu" else 3e-5
    a, b = drawn(m), drawn(m, definite=True) if general else np.eye(m)
    A, B = tg.tensor(a, dtype=kind), tg.tensor(b, dtype=kind)
    E, X = tg.lobpcg(A, k, B if general else None, largest=largest)
    spectrum = np.linalg.eigvals(np.linalg.solve(b, a)).real
    spectrum.sort()
    expected = spectrum[::-1][:k] if largest else spectrum[:k]
    np.testing.assert_allclose(E.numpy(), expected, rtol=near, atol=near)
    assert (A @ X - B @ X * E).norm().item() < 1e-3 * np.linalg.norm(a)
    np.testing.assert_allclose((X.mT @ B @ X).numpy(), np.eye(k), atol=10 * near)


def test_batches_preconditioners_sparse_and_equal_eigenvalues() -> None:
    d = tg.diag(tg.arange(1.0, 25, dtype=tg.float64))
    both = tg.stack([d, 2 * d])
    E, X = tg.lobpcg(both, 3, largest=False, iK=tg.linalg.inv(both))
    np.testing.assert_allclose(E.numpy(), [[1, 2, 3], [2, 4, 6]], rtol=1e-9)
    assert X.shape == (2, 24, 3)
    E, _ = tg.lobpcg(d.to_sparse(), 2, n=4)
    np.testing.assert_allclose(E.numpy(), [24, 23], rtol=1e-9)
    E, _ = tg.lobpcg(tg.eye(12, dtype=tg.float64), 3)
    np.testing.assert_allclose(E.numpy(), [1, 1, 1], rtol=1e-9)
    start = tg.eye(24, dtype=tg.float64)[:, -2:]
    seen: list[int] = []
    E, _ = tg.lobpcg(d, X=start, tracker=lambda state: seen.append(state.ivars["converged_count"]))
    assert (seen, E.tolist()) == ([2], [24, 23])


def test_a_tracker_may_end_it() -> None:
    steps: list[int] = []

    def tracker(state: Any) -> None:
        steps.append(state.ivars["istep"])
        state.bvars["force_stop"] = len(steps) == 3

    tg.lobpcg(tg.tensor(drawn(40)), 2, tracker=tracker)
    assert steps == [0, 1, 2]
    steps.clear()
    tg.lobpcg(tg.tensor(drawn(40)), 2, niter=1, tracker=tracker)
    assert steps == [0, 1]


def test_derivatives_are_those_of_the_whole_spectrum() -> None:
    a = tg.tensor(drawn(6), requires_grad=True)
    tg.autograd.gradcheck(lambda a: tg.lobpcg(a, 2)[0], (a,))
    tg.autograd.gradgradcheck(lambda a: tg.lobpcg(a, 2, largest=False)[0], (a,))
    with pytest.raises(tg.GradientError, match="without B"):
        tg.lobpcg(a, 2, B=tg.eye(6, dtype=tg.float64))


@grouped(
    "call, text",
    [
        (lambda x: tg.lobpcg(x, 5), "smaller than 3 x"),
        (lambda x: tg.lobpcg(x, 0), "not from 1"),
        (lambda x: tg.lobpcg(x, method="fast"), "must be one of"),
        (lambda x: tg.lobpcg(x[:3]), "square matrices"),
        (lambda x: tg.lobpcg(x, X=tg.ones(12, 2, dtype=x.dtype)), "linearly independent"),
    ],
    ids=lambda case: case[1],
)
def test_what_is_refused(call: Any, text: str) -> None:
    with pytest.raises(tg.TabgradError, match=text):
        call(tg.tensor(drawn(12)))
