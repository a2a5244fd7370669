"""The first program: its data, what it reaches, and the same curve on every device."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import tabgrad as tg
from tabgrad.examples import digits, load_digits
from tabgrad.utils import progress
from tests.examples.record import CURVE
from tests.sampling import takes_samples

# A first digit as UCI's file has it: a 0.
FIRST = """
 0  0  5 13  9  1  0  0
 0  0 13 15 10 15  5  0
 0  3 15  2  0 11  8  0
 0  4 12  0  0  8  8  0
 0  5  8  0  0  9  8  0
 0  4 11  0  1 12  7  0
 0  2 14  5 10 12  0  0
 0  0  6 13 10  0  0  0
"""


@pytest.mark.every_host
def test_the_data_are_ucis() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == tg.float32
    assert [round(16 * x) for x in images[0].flatten().tolist()] == [int(x) for x in FIRST.split()]
    counts = [int((labels == digit).sum().item()) for digit in range(10)]
    assert counts == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (images.sum() * 16).item() == 561_718


@pytest.mark.every_host
def test_it_learns_and_the_curve_is_the_same_on_every_device(device: str) -> None:
    epochs = 6 if takes_samples(device) else 20
    trained = digits.train(epochs)
    expected = json.loads(CURVE.read_text())
    losses = expected["losses"][: len(expected["losses"]) * epochs // 20]
    assert len(trained.accuracies) == epochs
    assert trained.accuracies[-1] >= 0.96
    assert trained.losses == pytest.approx(losses, rel=0, abs=1e-3)
    assert trained.accuracies == pytest.approx(expected["accuracies"][:epochs], rel=0, abs=1e-6)


@pytest.mark.every_host
def test_another_seed_gives_another_curve() -> None:
    first, second = digits.train(1, seed=1).losses, digits.train(1, seed=2).losses
    assert first == digits.train(1, seed=1).losses
    assert first != pytest.approx(second, abs=1e-2)


@pytest.mark.every_host
def test_no_digit_is_both_learnt_and_held_out() -> None:
    # A network that has seen all of the rest still errs on some of the held-out fifth.
    trained = digits.train(2)
    assert max(trained.accuracies) < 0.96


def test_the_program_runs_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tabgrad.examples.digits", "--device", "cpu", "--epochs", "1"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "of the held-out digits are read correctly" in done.stdout
    assert "44/44" in done.stderr


def test_predictions_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[progress.Event] = []
    monkeypatch.setattr("sys.argv", ["digits.py", "--epochs", "2"])
    progress.set_sink(events.append)
    try:
        digits.main()
    finally:
        progress.set_sink(None)
    predict = events[-1]["functions"]["predict"]
    shares = predict([int(x) / 16 for x in FIRST.split()])
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert shares.index(max(shares)) == 0
