"""Tests of many cases: all that fail are reported, `--case` chooses, and known failures must fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests import grouped, sampling
from tests.grouped import of_one_case


@grouped.grouped("n, name", [(1, "one"), (2, "two"), (3, "three")], ids=lambda case: case[1])
def sample(n: int, name: str, wrong: set[int]) -> None:
    """Fail for a wrong number."""
    assert n not in wrong, f"{name} is wrong"


def run(wrong: set[int], case: str | None = None, xfails: tuple[Any, ...] = ()) -> str:
    config = SimpleNamespace(getoption=lambda name: case, stash={grouped.KNOWN: xfails})
    request = SimpleNamespace(config=config, node=SimpleNamespace(nodeid="file.py::sample[0-one]"))
    (group,) = sample.pytestmark[0].args[1]  # type: ignore[attr-defined]
    try:
        sample(request=request, group=group, wrong=wrong)
    except (pytest.fail.Exception, pytest.skip.Exception) as error:
        return str(error)
    return ""


def test_all_that_fail_are_reported() -> None:
    assert run(set()) == ""
    text = run({1, 3})
    assert "2 of 3 cases fail" in text
    assert "one is wrong" in text
    assert "three is wrong" in text
    assert "two is wrong" not in text


def test_cases_are_chosen_by_their_ids() -> None:
    assert run({1}, case="t") == ""
    assert "1 of 2 cases fail" in run({3}, case="t")
    assert "no case here contains 'four'" in run({3}, case="four")


def test_a_known_failure_must_fail() -> None:
    xfails = (("file.py::sample[[]t*]", "not yet"),)
    assert run({2, 3}, xfails=xfails) == ""
    assert "passes, but xfails says: not yet" in run({2}, xfails=xfails)
    assert "one is wrong" in run({1, 2, 3}, xfails=xfails)


def test_one_case_runs_alone() -> None:
    of_one_case(sample)(n=1, name="one", wrong={2})
    with pytest.raises(AssertionError):
        of_one_case(sample)(n=2, name="two", wrong={2})


@pytest.mark.parametrize(
    ("device", "every", "case", "wanted"),
    [
        ("cpu", False, None, [0, 1, 2, 3, 4, 5, 6]),
        ("webgpu", False, None, [0, 3, 6]),
        ("webgpu", True, None, [0, 1, 2, 3, 4, 5, 6]),
        ("webgpu", False, "4", [4]),
    ],
)
def test_a_device_runs_a_sample_unless_all_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, device: str, every: bool, case: str | None, wanted: list[int]
) -> None:
    monkeypatch.setattr(sampling, "EVERY_CASE", every)
    ran: list[int] = []

    @grouped.grouped("n", range(7), sampled=3)
    def collect(n: int, device: str) -> None:
        ran.append(n)

    config = SimpleNamespace(getoption=lambda name: case, stash={grouped.KNOWN: ()})
    request = SimpleNamespace(config=config, node=SimpleNamespace(nodeid="file.py::collect[0-0]"))
    collect(request=request, group=list(range(7)), device=device)  # type: ignore[call-arg]
    assert ran == wanted
