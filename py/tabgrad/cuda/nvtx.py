"""Marks for NVIDIA's profiler, by PyTorch's names; they raise, as PyTorch's do without CUDA's tools."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn


def _absent(name: str) -> NoReturn:
    raise RuntimeError(
        f"{name}: NVTX functions not installed; profiler.record_function marks parts of a program"
    )


def range_push(msg: str) -> int:
    """Raise RuntimeError."""
    _absent("range_push")


def range_pop() -> NoReturn:
    """Raise RuntimeError."""
    _absent("range_pop")


def range_start(msg: str) -> NoReturn:
    """Raise RuntimeError."""
    _absent("range_start")


def range_end(range_id: int) -> NoReturn:
    """Raise RuntimeError."""
    _absent("range_end")


def mark(msg: str) -> NoReturn:
    """Raise RuntimeError."""
    _absent("mark")


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """Raise RuntimeError when it is entered."""
    range_push(msg.format(*args, **kwargs))
    yield


__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]
