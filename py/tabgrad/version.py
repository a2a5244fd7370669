"""Which PyTorch the names are of: `torch.version` and `torch.torch_version` under the alias."""

from __future__ import annotations

import re
from typing import Any


class TorchVersion(str):
    """A version that compares by its numbers: with other texts, and with tuples of numbers.

    >>> TorchVersion("2.13.0") >= "2.6", TorchVersion("2.13.0") < (2, 14)
    (True, True)
    """

    __slots__ = ()

    def _numbers(self, other: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        found = []
        for version in (str(self), other):
            if isinstance(version, str):
                start = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
                if start is None:
                    return None
                version = tuple(int(n) for n in start[1].split("."))
            elif not isinstance(version, tuple):
                return None
            found.append(tuple(int(n) for n in version))
        longest = max(map(len, found))
        mine, theirs = (n + (0,) * (longest - len(n)) for n in found)
        return mine, theirs

    def __eq__(self, other: object) -> bool:
        pair = self._numbers(other)
        return str.__eq__(self, other) is True if pair is None else pair[0] == pair[1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        pair = self._numbers(other)
        return NotImplemented if pair is None else pair[0] < pair[1]

    def __le__(self, other: Any) -> bool:
        pair = self._numbers(other)
        return NotImplemented if pair is None else pair[0] <= pair[1]

    def __gt__(self, other: Any) -> bool:
        pair = self._numbers(other)
        return NotImplemented if pair is None else pair[0] > pair[1]

    def __ge__(self, other: Any) -> bool:
        pair = self._numbers(other)
        return NotImplemented if pair is None else pair[0] >= pair[1]

    __hash__ = str.__hash__


__version__ = TorchVersion("2.13.0+tabgrad")
"""The release of PyTorch whose names, arguments and answers tabgrad follows."""
debug = False
cuda: str | None = None
"""The CUDA that PyTorch was built with: none, since accelerators are found when they are asked for."""
hip: str | None = None
xpu: str | None = None
git_version = "tabgrad"
