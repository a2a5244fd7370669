"""The device that computes with NumPy: what it does about floating-point errors, and the words it draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.hosts import reference
from tabgrad.ops import random


@pytest.mark.parametrize("older", [False, True])
def test_floating_point_errors_are_ignored_and_the_setting_of_the_program_stays(
    older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = tg.tensor([1e3, -1.0], device="cpu") * 1
    assert reference.errors is not None
    if older:
        # NumPy before 2.0 has no context variable for it
        monkeypatch.setattr(reference, "errors", reference._GlobalErrors())
    with np.errstate(all="raise"):
        before = np.geterr()
        assert (x.exp() * 0).isnan().tolist() == [True, False]
        assert tg.softmax(x / 0, 0).isnan().all()
        assert tg.tensor(1e300, dtype=tg.float32, device="cpu").item() == np.inf
        assert (x + 1e300).tolist() == [np.inf, np.inf]
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.exp(np.float64(1e3))


def test_words_are_the_same_however_they_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (0, 7, 2**32 - 1):
        word = np.array(key, np.uint32)
        many = random.random_bits.fn(word, word, shape=(3 * random.BLOCK + 5,))
        for count in (0, 1, 2, random.PACKED, random.PACKED + 1):
            few = random.random_bits.fn(word, word, shape=(count,))
            assert few.dtype == many.dtype == np.uint32
            assert (few == many[:count]).all()
        monkeypatch.setattr(random, "BLOCK", 17)
        assert (random.random_bits.fn(word, word, shape=many.shape) == many).all()
        monkeypatch.undo()


def test_words_are_the_same_whatever_was_drawn_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "_AHEAD", {})
    last = 2**32 - 1

    def alone(key: int, call: int, count: int) -> Any:
        random._AHEAD.clear()
        return random.words(key, call, (count,)).tolist()

    # in a row, of two sizes in turn, to the last draw, back, with another key
    calls = [*range(40), *range(last - 90, last + 1), 3, 50, 51, 52, 51, 0]
    draws = [(7 + (call > last - 30), call, count) for call in calls for count in (1, 6, 191)]
    found = [random.words(key, call, (1, count))[0] for key, call, count in draws]
    for words, draw in zip(found, draws, strict=True):
        assert words.dtype == np.uint32
        assert words.tolist() == alone(*draw)
        words[:] = 0  # nobody else has them
    random._AHEAD.clear()
    several = [random.words(9, call, (6,)) for call in range(60)]
    assert len(random._AHEAD[6][3]) > 20, "no draw was computed ahead"
    assert all(w.base is None for w in several)
