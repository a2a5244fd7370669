"""PyTorch's older place of the profiler; `tabgrad.profiler` has the present one."""

from __future__ import annotations

from typing import Any

from tabgrad.profiler.recording import (
    Averages as EventList,
    Block as FunctionEvent,
    profile as _profile,
    record_function as record_function,
)  # fmt: skip


class profile(_profile):
    """Time the blocks of `record_function` in a block of code; `enabled=False` times nothing.

    >>> import tabgrad as tg
    >>> with tg.autograd.profiler.profile() as prof:
    ...     with tg.autograd.profiler.record_function("add"):
    ...         y = tg.ones(2, device="cpu") + 1
    >>> prof.key_averages()[0].count
    1
    """

    def __init__(self, enabled: bool = True, **kwargs: Any) -> None:
        super().__init__()
        self.enabled = enabled

    def start(self) -> None:
        """Begin, as entering the context does."""
        if self.enabled:
            super().start()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """Return the blocks as lines of text."""
        return self.key_averages().table(*args, **kwargs)


class emit_nvtx:
    """Do nothing in a block of code: there is no such tool of NVIDIA's here."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled = enabled

    def __enter__(self) -> emit_nvtx:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


__all__ = ["EventList", "FunctionEvent", "emit_nvtx", "profile", "record_function"]
