"""The `meta` device: shapes and dtypes of tensors that have no values and take no memory."""

from __future__ import annotations

from typing import Any, NoReturn

from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec
from tabgrad.hosts.immediate import ImmediateBackend
from tabgrad.hosts.plan_explanation import ValueExplanation


class NoValue:
    """What tensors of the meta device have for a value. There is one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "..."


NOTHING = NoValue()


def no_data(what: str = "read") -> NoReturn:
    """Raise the error of whatever needs the values."""
    raise NotImplementedError(
        f"Cannot copy out of meta tensor; no data! ({what}: a tensor of the device meta has a shape and a "
        "dtype, but no values; give a module memory with to_empty(device=...))"
    )


class MetaBackend(ImmediateBackend):
    """Infers the spec of each op's result, and computes nothing."""

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Return no value, and the spec of the result."""
        return NOTHING, op.infer(specs, params)

    def constant(self, value: complex, spec: Spec) -> Any:
        """Make no value."""
        return NOTHING

    def filling(self, value: Any, spec: Spec) -> complex | None:
        """Return None: nothing is known of values."""
        return None

    def adopt(self, data: memoryview, spec: Spec) -> Any:
        """Make no value."""
        return NOTHING

    def upload(self, data: Any, spec: Spec) -> Any:
        """Make no value."""
        return NOTHING

    def read(self, value: Any, spec: Spec) -> memoryview:
        """Raise NotImplementedError."""
        no_data()

    async def read_async(self, value: Any, spec: Spec) -> memoryview:
        """Raise NotImplementedError."""
        no_data()

    def planned(self, value: Any, spec: Spec) -> ValueExplanation:
        """Say that there is no plan."""
        return ValueExplanation(f"{spec} on meta", reason="nothing is computed")
