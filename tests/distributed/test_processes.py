"""Collective calls, and what goes wrong between processes, in processes that `mpiexec` started."""

from __future__ import annotations

import re

import pytest

from tests.distributed import launching

DETAIL = {"TORCH_DISTRIBUTED_DEBUG": "DETAIL"}


@pytest.mark.every_host
def test_collective_calls(device: str) -> None:
    env = DETAIL if device == "cpu" else None
    count = 3 if device == "cpu" else 2
    done = launching.run(count, "collectives", device, env=env)
    assert done.count("is done") == count


def test_collective_calls_over_nccl() -> None:
    """It is a stand-in: what is called with what, not NCCL."""
    assert launching.run(2, "nccl").count("is done") == 2


def errors(kind: str, *options: str, env: dict[str, str] | None = None) -> dict[int, str]:
    """Run a program in which rank 1 goes wrong; return what each rank raised, and check when."""
    done = launching.start(3, "failures", kind, options=options, env=env)
    assert done.returncode != 0
    found = {}
    for rank, seconds, text in re.findall(r"rank (\d) got it after (\S+) s: (.*)", done.stdout):
        found[int(rank)] = text
        # a deadline is 2 s, and the late rank itself comes 1.5 s after it; cores that are busy take their time
        assert float(seconds) < 5.0, done.stdout
    assert found, done.stdout + done.stderr
    return found


def test_a_dead_rank_is_named() -> None:
    found = errors("killed", "--continuous")
    assert set(found) == {0, 2}
    assert all("rank 1 does not answer: it is dead" in text for text in found.values())


def test_a_late_rank_is_named_to_itself_too() -> None:
    found = errors("late")
    assert set(found) == {0, 1, 2}
    assert all("rank 1 is late: it has begun 1 of 2 calls" in text for text in found.values())


def test_a_rank_that_raises_ends_the_others_at_once() -> None:
    found = errors("raises")
    assert set(found) == {0, 2}
    assert all("rank 1 has ended with KeyError: 'a mistake" in t for t in found.values())


def test_a_rank_that_ends_early_is_named() -> None:
    found = errors("leaves")
    assert set(found) == {0, 2}
    assert all("rank 1 has ended its program" in text for text in found.values())


def test_a_rank_that_starts_late_is_an_error() -> None:
    found = errors("late start")
    assert {0, 2} <= set(found)
    assert all("not all processes have called it within 2 s" in found[rank] for rank in (0, 2))


def test_a_message_of_a_rank_that_has_ended_is_not_waited_for() -> None:
    found = errors("gone")
    assert {0, 2} == set(found)
    assert all("rank 1 has ended its program" in text for text in found.values())


def test_a_rank_may_work_longer_than_the_others() -> None:
    """What has ended waits past its deadline, while the other answers; processes that were forked are none."""
    done = launching.run(3, "failures", "outlives")
    assert [f"rank {rank} has worked" in done for rank in range(3)] == [True] * 3


def test_groups_that_differ_are_named() -> None:
    found = errors("groups")
    assert set(found) == {0, 1, 2}
    each = "rank 0 called new_group([0, 1], backend=None); rank 1 called new_group([0], backend=None); rank 2 "
    assert all(each in text for text in found.values())


def test_sizes_of_all_to_all_that_differ_are_named() -> None:
    found = errors("sizes", env=DETAIL)
    assert set(found) == {0, 1, 2}
    assert all(
        "rank 0 gives 2 values to rank 1, which expects 3" in text for text in found.values()
    )


def test_a_message_that_never_comes_has_a_deadline() -> None:
    found = errors("message")
    assert set(found) == {0, 1, 2}
    assert all("receive from rank 1" in text for text in found.values())


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("shape", "all_reduce #2(float32 (2, 3), op=SUM)"),
        ("dtype", "all_reduce #2(int32 (4,), op=SUM)"),
        ("order", "broadcast #2(float32 (4,), src=0)"),
    ],
)
def test_calls_that_differ_are_named(kind: str, theirs: str) -> None:
    found = errors(kind, env=DETAIL)
    assert set(found) == {0, 1, 2}
    wanted = f"rank 0 called all_reduce #2(float32 (4,), op=SUM); rank 1 called {theirs}; rank 2 "
    assert all(wanted in text for text in found.values())
