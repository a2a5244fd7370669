"""The device that computes with NumPy: what it does about floating-point errors, and the words it draws."""

from __future__ import annotations

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
