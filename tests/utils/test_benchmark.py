"""Timing of statements."""

from __future__ import annotations

import tabgrad as tg


def test_a_timer_counts_its_runs() -> None:
    runs: list[int] = []
    names = {"f": lambda: runs.append(1)}
    timer = tg.utils.benchmark.Timer("f()", globals=names, label="appending", sub_label="list")
    found = timer.timeit(100)
    assert len(runs) == 100 + 2
    assert found.number_per_run == 100
    assert found.times == [found.raw_times[0] / 100]
    assert 0 < found.median == found.mean
    assert found.iqr == 0
    assert "appending: list" in repr(found)


def test_rounds_go_on_until_the_time_is_over() -> None:
    told: list[int] = []
    timer = tg.utils.benchmark.Timer("sum(x)", setup="x = range(10)")
    found = timer.blocked_autorange(callback=lambda n, taken: told.append(n), min_run_time=0.01)
    assert sum(found.raw_times) >= 0.01
    assert set(told) <= {found.number_per_run}
    assert len(found.times) == len(told) + 1
    assert found.iqr >= 0
