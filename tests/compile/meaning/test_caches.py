"""A call that uses functions which keep their results, methods of classes, and counts of writes."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


def test_a_cache_that_is_cleared_runs_its_code_again(device: str) -> None:
    factor = [1.0]

    @functools.lru_cache(None)
    def cached() -> float:
        return factor[0]

    call = tg.compile(lambda x: x * cached())
    x = tg.ones(1, device=device)
    seen = [call(x).item(), call(x).item()]
    factor[0] = 5.0
    seen.append(call(x).item())
    cached.cache_clear()
    seen.append(call(x).item())
    assert seen == [1, 1, 1, 5]


def test_capturing_a_constant_is_no_write_to_it(device: str) -> None:
    count = tg.compile(lambda x: x._version)
    x = tg.zeros(2, device=device)
    assert count(x) == 0
    x.add_(1)
    assert count(x) == 1


def test_writes_are_counted_by_whatever_name(device: str) -> None:
    for count in (
        lambda x: x.add_(1) + x._version,
        lambda x: x.add_(1) + getattr(x, "_version"),  # noqa: B009
        lambda x: x.add_(1) + getattr(x, "_version"),  # noqa: B009
        lambda x: x.add_(1) + int("{0._version}".format(x)),  # noqa: UP030, UP032
    ):
        x = tg.zeros(1, device=device)
        call = tg.compile(count)
        assert [call(x).item() for _ in range(4)] == [2, 4, 6, 8]
        assert x._version == 4


def test_what_compiles_no_method_says_where_to_write_it() -> None:
    given: Any
    for given in (classmethod(lambda cls: 1), property(lambda self: 1)):
        with pytest.raises(TypeError, match=r"got (.*); write @\1 above it"):
            tg.compile(given)


def test_a_compiled_class_method(device: str) -> None:
    class Scale:
        by = 2.0

        @classmethod
        @tg.compile
        def call(cls, x: Any) -> Any:
            return x * cls.by

    x = tg.ones(1, device=device)
    assert [Scale.call(x).item(), Scale.call(x).item()] == [2, 2]
    Scale.by = 3.0
    assert Scale.call(x).item() == 3


@pytest.mark.parametrize(("given", "used"), [([-4], [1]), ([7], [1]), ([3], [-4]), ([3], [7])])
def test_lengths_of_ctc_are_checked(device: str, given: list[int], used: list[int]) -> None:
    probabilities = tg.arange(1.0, 10.0, device=device).reshape(3, 1, 3).log_softmax(-1)
    targets = tg.tensor([[1, 1, 1]], device=device)
    with pytest.raises(RuntimeError, match=r"out of bounds.*ctc_loss"):
        tg.nn.functional.ctc_loss(
            probabilities, targets, tg.tensor(given, device=device), tg.tensor(used, device=device)
        ).item()


def test_a_partial_that_is_given_other_arguments(device: str) -> None:
    p = functools.partial(lambda x, k: x * k, k=1.0)
    x = tg.ones(1, device=device)
    for call in (tg.compile(lambda x: p(x)), tg.compile(p)):
        seen = []
        for k in (1.0, 1.0, 3.0, 3.0, 9.0):
            p.keywords["k"] = k
            seen.append(call(x).item())
        p.__setstate__((p.func, (), {"k": 5.0}, None))
        assert [*seen, call(x).item()] == [1, 1, 3, 3, 9, 5]
