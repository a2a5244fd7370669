"""The interface of a device to tensors, for `cpu`, which computes at once, and for devices that record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.plan_explanation import ValueExplanation


class Backend(Protocol):
    """Runs the ops of one device. Its values are NumPy arrays, or handles on graph nodes."""

    lock: AbstractContextManager[object]
    """Held during several steps that must not be interleaved with another thread's."""
    has_float16: bool
    """Whether the device supports float16."""

    @property
    def recorder(self) -> DeviceBackend | None:
        """This backend if it records ops and runs them later; None if it runs them at once."""

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Run or record `op`; return its value and spec."""

    def constant(self, value: complex, spec: Spec) -> Any:
        """Make a value whose elements all are the number `value`."""

    def filling(self, value: Any, spec: Spec) -> complex | None:
        """Return the number that fills a constant, or None for any other value."""

    def adopt(self, data: memoryview, spec: Spec) -> Any:
        """Make a value of bytes that nobody will change, uncopied where it can be."""

    def upload(self, data: Any, spec: Spec) -> Any:
        """Make a value of these bytes, or of the elements of this array."""

    def read(self, value: Any, spec: Spec) -> memoryview:
        """Return the bytes of a value in row-major order."""

    def begin_read(self, value: Any, spec: Spec) -> Callable[[], bytearray | memoryview]:
        """Ask for the bytes of a value as it is now, and submit what it needs; the result waits for them."""

    async def read_async(self, value: Any, spec: Spec) -> memoryview:
        """Do what `read` does, without blocking."""

    def planned(self, value: Any, spec: Spec) -> ValueExplanation:
        """Describe how a value would be computed."""

    def flush_all(self) -> None:
        """Compute and send what has been recorded."""

    def advance(self) -> None:
        """Compute the wanted nodes. Submission may be delayed, so that the next read can share the packet."""

    def roll_back(self) -> None:
        """Restore the tensors noted by `remember` whose new values could not be computed."""

    def remember(self, *step: Any) -> None:
        """Note what a step will write, for `roll_back`."""

    def synchronize(self) -> None:
        """Wait until everything that was sent has run."""

    async def synchronize_async(self) -> None:
        """Do what `synchronize` does, without blocking."""
