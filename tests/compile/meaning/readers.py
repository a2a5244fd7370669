"""Readers of Python state: a change of what one reads is seen by a compiled call, or its Python runs.

Each case makes a reader, a function that returns a number, and a change of what it reads. The reader is called
by a compiled function, or by an object that keeps it: three times, then changed and called, twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tabgrad as tg
from tests.compile.meaning.support import t

Case = tuple[Callable[[], float], Callable[[float], Any]]
Make = Callable[[], Case]


def collector(cases: dict[str, Make]) -> Callable[[Make], Make]:
    """Return a decorator that puts cases under their names."""

    def case(make: Make) -> Make:
        cases[make.__name__] = make
        return make

    return case


class Thing:
    shared = 1.0

    def __init__(self, k: float = 1.0) -> None:
        self.k = k
        self.items = {"k": k}

    def get(self) -> float:
        return self.k

    def __format__(self, spec: str) -> str:
        return str(self.k)

    def __repr__(self) -> str:
        return f"Thing({self.k})"

    def __lt__(self, other: Thing) -> bool:
        return self.k < other.k

    def __len__(self) -> int:
        return int(self.k)

    def __index__(self) -> int:
        return int(self.k)

    def __iter__(self) -> Iterator[float]:
        yield self.k

    def __hash__(self) -> int:
        return int(self.k)

    def __eq__(self, other: object) -> bool:
        return self.k == other


def with_k(x: Any) -> Any:
    x.k = 1.0
    return x


def seen_both_ways(make: Make, inside: bool) -> None:
    """Assert that a compiled function sees what the plain one sees, before and after changes."""
    seen = []
    for wrap in (lambda f: f, tg.compile):
        read, change = make()
        f = wrap(lambda x, read=read: x * read()) if inside else wrap(scaled(read))
        results = [f(t(1, 2)).tolist() for _ in range(3)]
        for k in (2.0, 3.0):
            change(k)
            results += [f(t(1, 2)).tolist() for _ in range(2)]
        seen.append(results)
    plain, fast = seen
    assert fast == [pytest.approx(row) for row in plain]


def scaled(read: Callable[[], float]) -> Callable[[Any], Any]:
    class Model:
        def __init__(self) -> None:
            self.read = read

        def __call__(self, x: Any) -> Any:
            return x * self.read()

    return Model()
