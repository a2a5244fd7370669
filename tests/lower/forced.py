"""A device that takes given variants of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import tabgrad as tg
from tabgrad.lower.variants import Choices

T = TypeVar("T")


class Forced(Choices):
    """Takes this variant wherever there is a choice."""

    def __init__(self, number: int = 0, tile: Any = None) -> None:
        super().__init__()
        self.number, self.tile, self.most = number, tile, 0

    def pick(
        self,
        question: str,
        origin: int,
        variants: Callable[[], Sequence[T]],
        fixed: Callable[[], T],
    ) -> T:
        known = variants()
        self.most = max(self.most, len(known))
        found = known[self.number % len(known)]
        super().pick(question, origin, variants, lambda: found)
        return self.tile if self.tile and question.startswith("product") else found


@contextmanager
def forced(device: Any, choices: Forced, software: bool = False) -> Iterator[Any]:
    """Let a device make these choices, as an adapter that is a GPU or plays one."""
    backend = tg.device(device).backend  # type: ignore[attr-defined]
    kept = backend.limits.software, backend.known
    backend.limits.software, backend.known = software, choices
    tg.backends.webgpu.benchmark = True
    backend.plans.clear()
    backend.sizes.known.clear()
    try:
        yield backend
        assert choices.most, "no choice was made"
    finally:
        backend.limits.software, backend.known = kept
        tg.backends.webgpu.benchmark = None
        backend.plans.clear()
        backend.sizes.known.clear()
