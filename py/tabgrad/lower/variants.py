"""Which of several kernels for the same work is taken: by a fixed rule, or as measured on the adapter.

A question names a class of work, with sizes rounded up to powers of two; the answer is the name of a variant.
All variants compute the same values, but for the order of sums. `hosts/probing.py` finds answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A question that a plan asked: the recorded node it came up for, its variants, and the one `taken`."""

    origin: int
    variants: Callable[[], Sequence[Any]]
    taken: str

    def names(self) -> list[str]:
        """List the names of the variants."""
        return list(dict.fromkeys(str(v) for v in self.variants()))


class Choices:
    """The known `answers`, the questions that are `skipped`, and those `asked` by the plan that is lowered."""

    def __init__(self, answers: Mapping[str, str] | None = None) -> None:
        self.answers = dict(answers or {})
        self.skipped: set[str] = set()
        self.asked: dict[str, Asked] = {}

    def begin(self) -> None:
        """Start to lower a plan."""
        self.asked = {}

    def pick(
        self,
        question: str,
        origin: int,
        variants: Callable[[], Sequence[T]],
        fixed: Callable[[], T],
        named: Callable[[], Sequence[T]] = tuple,
    ) -> T:
        """Return the variant that is the answer, or the fixed one where there is none.

        An answer may name one of `variants`, or one that suited another size of its class (`named`); any other
        is of another version, and no answer.
        """
        answer = self.answers.get(question)
        found = None
        if answer:
            found = next((v for v in (*variants(), *named()) if str(v) == answer), None)
        if found is None:
            found = fixed()
        self.asked[question] = Asked(origin, variants, str(found))
        return found


def size_class(size: int, most: int = 4096) -> int:
    """Round a size up to a power of two, at most `most`.

    >>> size_class(100), size_class(9000)
    (128, 4096)
    """
    return int(min(most, 1 << max(size - 1, 0).bit_length()))


def steps_of(row: int, fixed: int) -> list[int]:
    """List in how many parts a long row may be reduced in a first step: 1 is in one step.

    >>> steps_of(6000, 60)
    [60, 1, 16, 30]
    """
    most = (16, 32, 64, 128, 256, 512)
    found = (next((d for d in range(n, n // 2, -1) if row % d == 0), 1) for n in most)
    return list(dict.fromkeys((fixed, 1, *(d for d in found if row // d >= 64))))


__all__ = ["Asked", "Choices", "size_class", "steps_of"]
