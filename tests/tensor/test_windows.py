"""Windows beside their formulas in Python's float64; where PyTorch's answer is nan, or its tensor no leaf."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg

windows = tg.signal.windows


def bessel(x: float) -> float:
    """Return I₀(x) exp(-x) by its integral: the mean of exp(x (cos t - 1)) over a half circle."""
    n = 4000
    return sum(math.exp(x * (math.cos(math.pi * (i + 0.5) / n) - 1)) for i in range(n)) / n


@pytest.mark.every_host
@pytest.mark.parametrize("beta", [0.5, 12.0, 80.0, 800.0])
def test_kaiser_does_not_overflow(beta: float, device: str) -> None:
    found = windows.kaiser(9, beta=beta, device=device).tolist()
    for i, y in enumerate(found):
        t = i / 4 - 1
        root = math.sqrt(1 - t * t)
        wanted = math.exp(beta * (root - 1)) * bessel(beta * root) / bessel(beta)
        assert y == pytest.approx(wanted, rel=1e-4 if beta > 100 else 1e-5, abs=1e-37)


@pytest.mark.every_host
def test_a_long_window_is_as_exact_as_a_short_one(device: str) -> None:
    n = 100_000
    found = windows.hann(n, device=device)
    for i in (0, 1, 777, n // 2, n - 1):
        wanted = 0.5 - 0.5 * math.cos(2 * math.pi * i / (n - 1))
        assert found[i].item() == pytest.approx(wanted, abs=5e-7)


@pytest.mark.every_host
def test_one_that_wants_gradients_is_a_leaf(device: str) -> None:
    for make in (windows.nuttall, windows.exponential, tg.blackman_window):
        for n in (1, 4):
            w = make(n, device=device, requires_grad=True)
            (w * w).sum().backward()
            assert w.grad is not None
            assert w.grad.tolist() == pytest.approx([2 * y for y in w.tolist()])


def test_they_are_imported_when_first_used() -> None:
    import subprocess
    import sys

    script = "import sys, tabgrad as tg; print('tabgrad.signal' in sys.modules); tg.hann_window"
    script += "; print('tabgrad.signal.windows' in sys.modules, 'hann_window' in dir(tg))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "True"], done.stderr


@pytest.mark.parametrize("layout", ["sparse_coo", None])
def test_other_layouts_are_refused(layout: object) -> None:
    with pytest.raises(ValueError, match="strided"):
        windows.hann(4, layout=layout, device="cpu")  # type: ignore[arg-type]


@pytest.mark.every_host
def test_half_precision_is_rounded_once(device: str) -> None:
    for make in (tg.hann_window, tg.kaiser_window, tg.bartlett_window):
        found = make(9, dtype=tg.bfloat16, device=device)
        assert found.tolist() == make(9, device=device).bfloat16().tolist()
