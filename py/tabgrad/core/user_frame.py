"""Where in the user's program the library is."""

from __future__ import annotations

import sys
from types import FrameType


def user_frame(above: int) -> FrameType | None:
    """Return the innermost frame outside tabgrad, the `above`th caller or one further out."""
    frame: FrameType | None = sys._getframe(above)
    while frame is not None and (frame.f_globals.get("__name__") or "").startswith("tabgrad."):
        frame = frame.f_back
    return frame
