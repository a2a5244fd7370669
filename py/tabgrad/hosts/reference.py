"""The `cpu` device: every op runs at once with NumPy, and is the oracle of the other devices."""

from __future__ import annotations

from typing import Any

from tabgrad.core.numpy import np
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec


class NumPyBackend:
    """Runs ops on NumPy arrays. Arrays are never written to after they are made."""

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Return the result of `op` as an array, and its spec."""
        spec = op.infer(specs, params)
        with np.errstate(all="ignore"):
            out = op.numpy(values, spec, params)
        want = spec.dtype.name
        if type(out) is not np.ndarray or out.dtype.name != want:
            out = np.asarray(out, dtype=want)
        return out, spec

    def constant(self, value: Any, spec: Spec) -> Any:
        """Return an array filled with `value`; it takes the memory of one element."""
        return np.broadcast_to(np.array(value, dtype=spec.dtype.name), spec.shape)

    def filling(self, value: Any) -> Any:
        """Return the number that a constant is filled with; None for any other array."""
        if value.flags.writeable or any(value.strides):
            return None
        return value.flat[0].item() if value.size else 0

    def upload(self, data: Any, spec: Spec) -> Any:
        """Return an array of the bytes (or array) `data`, copied."""
        if isinstance(data, np.ndarray):
            return np.array(data, dtype=spec.dtype.name).reshape(spec.shape)
        return np.frombuffer(bytearray(data), dtype=spec.dtype.name).reshape(spec.shape)

    def read(self, value: Any, spec: Spec) -> memoryview:
        """Return the bytes of the value in row-major order."""
        return memoryview(np.ascontiguousarray(value)).cast("B") if spec.size else memoryview(b"")

    async def read_async(self, value: Any, spec: Spec) -> memoryview:
        """Return what `read` returns."""
        return self.read(value, spec)

    def flush(self) -> None:
        """Nothing is ever pending."""

    def advance(self) -> None:
        """Nothing is ever pending."""

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    async def synchronize_async(self) -> None:
        """Nothing is ever pending."""

    def narrows(self, name: str) -> bool:
        """Whether a dtype must become its 32-bit sibling: never here."""
        return False
