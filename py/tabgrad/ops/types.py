"""Types that the declarations of ops name."""

from __future__ import annotations

from typing import Any, TypeAlias

Operand: TypeAlias = Any
"""A NumPy array in the body of an op; a Tensor, or a number beside one, where the op is called."""
Array: TypeAlias = Any
"""The result of an op: a NumPy array in its body, a Tensor where the op is called."""
Ints: TypeAlias = tuple[int, ...]
