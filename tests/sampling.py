"""What a device proves in an ordinary run: each kernel; `cpu` proves each composition of them.

With TABGRAD_EVERY_CASE=1 devices run all that `cpu` runs.
"""

from __future__ import annotations

import os

EVERY_CASE = os.environ.get("TABGRAD_EVERY_CASE", "") not in ("", "0")


def takes_samples(device: str) -> bool:
    """Whether a test with many cases may run some of them on this device."""
    return device != "cpu" and not EVERY_CASE
