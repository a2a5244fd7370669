"""PyTorch's older place of the profiler; `tabgrad.profiler` has the present one."""

from __future__ import annotations

from typing import Any

from tabgrad.profiler.averages import Averages as EventList
from tabgrad.profiler.events import Event as FunctionEvent
from tabgrad.profiler.recording import profile as _profile, record_function as record_function


class profile(_profile):
    """Measure a block of code; `enabled=False` measures nothing.

    All devices are measured, whatever `use_device` is.

    >>> import tabgrad as tg
    >>> with tg.autograd.profiler.profile() as prof:
    ...     with tg.autograd.profiler.record_function("add"):
    ...         y = tg.ones(2, device="cpu") + 1
    >>> [(row.key, row.count) for row in prof.key_averages()]
    [('add', 2)]
    """

    def __init__(
        self, enabled: bool = True, *, use_cuda: bool = True, use_device: str | None = None,
        record_shapes: bool = False, with_flops: bool = False, profile_memory: bool = False,
        with_stack: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            record_shapes=record_shapes, with_flops=with_flops, profile_memory=profile_memory,
            with_stack=with_stack,
        )  # fmt: skip
        self.enabled = enabled

    def start(self) -> None:
        """Begin, as entering the context does."""
        if self.enabled:
            super().start()

    def stop(self) -> None:
        """End, as leaving the context does."""
        if self.enabled:
            super().stop()

    @property
    def self_cpu_time_total(self) -> float:
        """The microseconds of the host, all events together."""
        return self.key_averages().total_average().self_cpu_time_total

    def total_average(self) -> Any:
        """Return all events as one."""
        return self.key_averages().total_average()

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


class emit_itt(emit_nvtx):
    """Do nothing in a block of code: there is no such tool of Intel's here."""


__all__ = ["EventList", "FunctionEvent", "emit_itt", "emit_nvtx", "profile", "record_function"]
