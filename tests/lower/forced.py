"""A device that takes given variants of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import tabgrad as tg
from tabgrad.lower.variants import Choices

T = TypeVar("T")


class Forced(Choices):
    """Takes this variant wherever there is a choice, and `tile` where a question is `of_tiles`."""

    of_tiles = "product"

    def __init__(self, number: int = 0, tile: Any = None) -> None:
        super().__init__()
        self.number, self.tile, self.most = number, tile, 0

    def chosen(self, question: str, known: Sequence[T]) -> T:
        """Choose one of the variants."""
        return known[self.number % len(known)]

    def pick(
        self,
        question: str,
        origin: int,
        variants: Callable[[], Sequence[T]],
        fixed: Callable[[], T],
        named: Callable[[], Sequence[T]] = tuple,
    ) -> T:
        known = variants()
        self.most = max(self.most, len(known))
        found = self.chosen(question, known)
        super().pick(question, origin, variants, lambda: found)
        return self.tile if self.tile and question.startswith(self.of_tiles) else found


FORMS = ("columns", "rows", "taps first", "images", "sums", "lines")
QUESTION = "form of a convolution"


class Formed(Forced):
    """Takes a form of convolutions where it is one of theirs, and a number of the variants of all else."""

    of_tiles = "convolution"

    def __init__(self, form: str, number: int = 0, tile: Any = None) -> None:
        super().__init__(number, tile)
        self.form = form
        self.taken: set[str] = set()

    def chosen(self, question: str, known: Sequence[T]) -> T:
        if question.startswith(QUESTION):
            return next((v for v in known if str(v) == self.form), known[0])
        return super().chosen(question, known)

    def pick(self, *given: Any) -> Any:
        found = super().pick(*given)
        self.taken.add(str(found))
        return found


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
