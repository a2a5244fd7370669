"""Types that many signatures name; which only `typing.get_type_hints` reads at run time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from tabgrad.hosts.devices import Device

Number: TypeAlias = float | complex
"""A Python number; `float` stands for bools and ints too."""
Dims: TypeAlias = int | Sequence[int]
"""A dim or several, or a size: `sum(dim=1)`, `sum(dim=(0, 1))`."""
Ints: TypeAlias = tuple[int, ...]
DeviceLike: TypeAlias = Device | str
