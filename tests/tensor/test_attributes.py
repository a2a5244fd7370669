"""A tensor takes attributes of users, keeps them in copies as PyTorch does, and hands them to no result."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


def made(device: str) -> Any:
    w: Any = tg.tensor([1.0, 2.0], device=device)
    w.k, w.items = 2.0, [1]
    return w


def test_attributes_are_set_read_and_deleted(device: str) -> None:
    w = made(device)
    assert (w.k, w.items) == (2.0, [1])
    assert vars(w) == {"k": 2.0, "items": [1]}
    del w.k
    with pytest.raises(AttributeError):
        w.k  # noqa: B018
    assert vars(tg.ones(2, device=device)) == {}


def test_copies_have_them(device: str) -> None:
    w = made(device)
    deep, shallow, pickled = copy.deepcopy(w), copy.copy(w), pickle.loads(pickle.dumps(w))
    for x in (deep, shallow, pickled):
        assert vars(x) == vars(w)
        assert x.tolist() == w.tolist()
    assert shallow.items is w.items
    assert deep.items is not w.items
    p: Any = tg.nn.Parameter(tg.ones(2, device=device))
    p.k = 3
    assert vars(pickle.loads(pickle.dumps(p))) == {"k": 3}
    assert vars(copy.deepcopy(p)) == {}


def test_results_and_views_have_none(device: str) -> None:
    w = made(device)
    for x in (w + 1, w.view(2), w.detach(), w.clone(), w[0]):
        assert vars(x) == {}


def test_what_is_no_attribute_stays_so(device: str) -> None:
    w = made(device)
    for name in ("shape", "dtype", "is_leaf", "T", "ndim"):
        before = getattr(w, name)
        with pytest.raises(AttributeError):
            setattr(w, name, 3)
        assert name not in vars(w)
        assert repr(getattr(w, name)) == repr(before)
