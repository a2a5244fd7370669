"""What a device must do for tensors: one interface for `cpu`, which computes at once, and those that record."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec
from tabgrad.hosts.plan_explanation import ValueExplanation

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


class Backend(Protocol):
    """Runs ops of one device. A value is what this backend calls one: an array, or a handle on a node."""

    lock: AbstractContextManager[Any]
    """Held by whoever does several things that belong together."""
    has_float16: bool
    """Whether tensors may be of dtype float16."""

    @property
    def recorder(self) -> DeviceBackend | None:
        """This backend, where it records ops and runs them later; None where it runs them at once."""

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Run or record `op`; return its value and spec."""

    def constant(self, value: Any, spec: Spec) -> Any:
        """Return a value whose elements are all the number `value`."""

    def filling(self, value: Any, spec: Spec) -> Any:
        """Return the number that a constant is filled with; None for any other value."""

    def upload(self, data: Any, spec: Spec) -> Any:
        """Return a value with these bytes, or the elements of this array."""

    def read(self, value: Any, spec: Spec) -> memoryview:
        """Return the bytes of a value in row-major order."""

    async def read_async(self, value: Any, spec: Spec) -> memoryview:
        """Return what `read` returns, where Python can't wait."""

    def planned(self, value: Any, spec: Spec) -> ValueExplanation:
        """Return how a value would be computed, in words."""

    def flush_all(self) -> None:
        """Compute and send what has been recorded."""

    def advance(self) -> None:
        """Compute what is wanted; sending may wait for a read."""

    def roll_back(self) -> None:
        """Give tensors that were written since `remember` what they had, if that never came to be."""

    def remember(self, *step: Any) -> None:
        """Note what a step writes, for `roll_back`."""

    def synchronize(self) -> None:
        """Wait until all that was sent has run."""

    async def synchronize_async(self) -> None:
        """Await what `synchronize` waits for."""
