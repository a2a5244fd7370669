"""Answers that come with the package, for adapters on which they were measured.

`python -m tabgrad kernels --measure 60` measures, and prints the row of an adapter.
"""

from __future__ import annotations

KNOWN: dict[str, dict[str, str]] = {}
"""By a part of an adapter's name in lower case: which variant answers each question."""
