"""Timing of statements, with the device waited for; PyTorch's `utils.benchmark`."""

from __future__ import annotations

import statistics
import time
import timeit
from typing import Any

from tabgrad import accelerator


class Measurement:
    """What a Timer has measured: the seconds of one run of the statement, from several rounds of runs."""

    def __init__(self, times: list[float], number_per_run: int, title: str) -> None:
        self.times = times
        self.raw_times = [t * number_per_run for t in times]
        self.number_per_run = number_per_run
        self.title = title

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.times)

    @property
    def mean(self) -> float:
        """The mean of the rounds."""
        return statistics.fmean(self.times)

    @property
    def iqr(self) -> float:
        """The range of the middle half of the rounds."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return high - low

    def __repr__(self) -> str:
        return (
            f"<tabgrad.utils.benchmark.Measurement>\n{self.title}\n  {1e6 * self.median:.2f} us\n"
            f"  {len(self.times)} measurement, {self.number_per_run} runs"
        )


class Timer:
    """Times a statement, given as text as to Python's `timeit`; each round ends when the device is done.

    >>> import tabgrad as tg
    >>> timer = tg.utils.benchmark.Timer("x + 1", globals={"x": tg.ones(2, device="cpu")})
    >>> timer.timeit(10).median > 0
    True
    """

    def __init__(
        self, stmt: str = "pass", setup: str = "pass", global_setup: str = "", timer: Any = None,
        globals: dict[str, Any] | None = None, label: str | None = None,
        sub_label: str | None = None, description: str | None = None, env: str | None = None,
        num_threads: int = 1,
    ) -> None:  # fmt: skip
        self._timer = timeit.Timer(stmt, setup, timer or time.perf_counter, globals)
        self._title = label or stmt
        if sub_label or description:
            self._title += ": " + ", ".join(filter(None, (sub_label, description)))

    def _seconds(self, number: int) -> float:
        accelerator.synchronize()
        taken = self._timer.timeit(number)
        start = time.perf_counter()
        accelerator.synchronize()
        return taken + time.perf_counter() - start

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """Run the statement `number` times, in one round."""
        self._seconds(max(number // 100, 2))
        return Measurement([self._seconds(number) / number], number, self._title)

    def blocked_autorange(self, callback: Any = None, min_run_time: float = 0.2) -> Measurement:
        """Run rounds of enough runs each until `min_run_time` seconds have passed."""
        number = 1
        while (taken := self._seconds(number)) < min_run_time / 1000 and number < 1 << 30:
            number *= 10
        rounds, total = [taken / number], taken
        while total < min_run_time:
            taken = self._seconds(number)
            total += taken
            rounds.append(taken / number)
            if callback is not None:
                callback(number, taken)
        return Measurement(rounds, number, self._title)
