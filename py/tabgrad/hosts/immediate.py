"""What backends that run each op at once have in common: nothing is ever pending."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class ImmediateBackend:
    """The part of a `Backend` that has nothing to record, send or wait for."""

    lock: AbstractContextManager[object] = nullcontext()
    has_float16 = True
    recorder = None

    def read(self, value: Any, spec: Any) -> memoryview:
        """Return the bytes of a value."""
        raise NotImplementedError

    def begin_read(self, value: Any, spec: Any) -> Callable[[], bytearray | memoryview]:
        """Copy the bytes of a value; the result returns the copy."""
        data = bytearray(self.read(value, spec))
        return lambda: data

    def flush_all(self) -> None:
        """Nothing is ever pending."""

    def advance(self) -> None:
        """Nothing is ever pending."""

    def roll_back(self) -> None:
        """Nothing is ever pending."""

    def remember(self, *step: Any) -> None:
        """Nothing to note: a step is done at once."""

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    async def synchronize_async(self) -> None:
        """Nothing is ever pending."""
