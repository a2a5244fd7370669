"""What a test that runs inside Pyodide may ask for.

Without a mark it runs once: on `webgpu`, without NumPy, in a worker, for at most a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])


def numpy(test: Test) -> Test:
    """Run the test a second time with NumPy loaded, on `cpu`."""
    test.runs = ("webgpu", "cpu")  # type: ignore[attr-defined]
    return test


def numpy_only(test: Test) -> Test:
    """Run the test with NumPy loaded, on `cpu`, and not without."""
    test.runs = ("cpu",)  # type: ignore[attr-defined]
    return test


def main_thread(test: Test) -> Test:
    """Run the test on the page's main thread too, on `webgpu`."""
    test.main_thread = True  # type: ignore[attr-defined]
    return test


def alone(test: Test) -> Test:
    """Give the test an interpreter of its own, which nothing else uses before or after."""
    test.alone = True  # type: ignore[attr-defined]
    return test


def deadline(seconds: float) -> Callable[[Test], Test]:
    """Give the test this long, instead of a minute."""

    def mark(test: Test) -> Test:
        test.deadline = seconds  # type: ignore[attr-defined]
        return test

    return mark


def each(cases: Callable[[str], list[str]]) -> Callable[[Test], Test]:
    """Run the test once for each name in `cases(device)`; it gets the device and the name.

    `cases` is called natively when tests are collected, so it may import only what is pure Python.
    """

    def mark(test: Test) -> Test:
        test.cases = cases  # type: ignore[attr-defined]
        return test

    return mark


def in_parts(test: Test) -> Test:
    """Let engines beside Chromium run their parts of the cases (`collect.py`); TABGRAD_EVERY_CASE=1 lets them
    run all."""
    test.in_parts = True  # type: ignore[attr-defined]
    return test
