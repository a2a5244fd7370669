"""The `cpu` device: it runs every op at once with NumPy, and is the reference for the other devices."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec, spec as spec_of
from tabgrad.hosts.plan_explanation import ValueExplanation


def array_name(dtype: dt.DType) -> str:
    """Return the name of the NumPy dtype that stores elements: uint16 for bfloat16, which NumPy lacks."""
    return "uint16" if dtype is dt.bfloat16 else dtype.name


def widened(x: Any, dtype: dt.DType) -> Any:
    """Convert a stored half-precision array to float32; leave any other array unchanged."""
    if dtype is dt.bfloat16:
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float32) if dtype is dt.float16 else x


def rounded(x: Any, dtype: dt.DType) -> Any:
    """Convert an array to its stored form; bfloat16 is rounded to the nearest, a tie to the even one."""
    if dtype is not dt.bfloat16:
        return np.asarray(x, dtype=dtype.name)
    wide = np.asarray(x, dtype=np.float32)
    bits = wide.view(np.uint32)
    near = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    return np.where(np.isnan(wide), 0x7FC0, near).astype(np.uint16)


def _single(value: Any) -> Any:
    return dt.float32 if value in dt.HALVES else value


class NumPyBackend:
    """Runs ops on NumPy arrays, which are never changed after they are made.

    In half precision every op computes in float32 and rounds its result once, as PyTorch does: partial sums
    neither overflow nor lose small terms. bfloat16 is stored in arrays of uint16.
    """

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Run `op`; return the array and its spec."""
        spec = op.infer(specs, params)
        if not op.raw and (spec.dtype in dt.HALVES or any(s.dtype in dt.HALVES for s in specs)):
            return self._in_single(op, values, specs, params, spec), spec
        with np.errstate(all="ignore"):
            out = op.numpy(values, spec, params)
        want = array_name(spec.dtype)
        if type(out) is not np.ndarray or out.dtype.name != want:
            out = np.asarray(out, dtype=want)
        return out, spec

    def _in_single(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params, spec: Spec
    ) -> Any:
        """Run an op in float32, because it has half-precision arrays."""
        wide = [widened(v, s.dtype) for v, s in zip(values, specs, strict=True)]
        settings = Params({name: _single(value) for name, value in params.items()})
        with np.errstate(all="ignore"):
            out = op.numpy(wide, spec_of(spec.shape, _single(spec.dtype)), settings)
            return rounded(out, spec.dtype)

    def constant(self, value: complex, spec: Spec) -> Any:
        """Make an array filled with `value`; it takes the memory of one element."""
        with np.errstate(all="ignore"):
            one = rounded(np.array(value, dtype=_single(spec.dtype).name), spec.dtype)
        return np.broadcast_to(one, spec.shape)

    def filling(self, value: Any, spec: Spec) -> complex | None:
        """Return the number that fills a constant, or None for any other array."""
        if value.flags.writeable or any(value.strides):
            return None
        return widened(value.flat[:1], spec.dtype)[0].item() if value.size else 0

    def upload(self, data: Any, spec: Spec) -> Any:
        """Copy bytes, or an array, to a new array."""
        if isinstance(data, np.ndarray):
            return np.array(data, dtype=array_name(spec.dtype)).reshape(spec.shape)
        return np.frombuffer(bytearray(data), dtype=array_name(spec.dtype)).reshape(spec.shape)

    def adopt(self, data: memoryview, spec: Spec) -> Any:
        """Return an array of these bytes, uncopied: whoever has them must leave them as they are."""
        return np.frombuffer(data, dtype=array_name(spec.dtype)).reshape(spec.shape)

    def read(self, value: Any, spec: Spec) -> memoryview:
        """Return the bytes of the value in row-major order."""
        return memoryview(np.ascontiguousarray(value)).cast("B") if spec.size else memoryview(b"")

    async def read_async(self, value: Any, spec: Spec) -> memoryview:
        """Do what `read` does."""
        return self.read(value, spec)

    def planned(self, value: Any, spec: Spec) -> ValueExplanation:
        """Say that there is no plan."""
        return ValueExplanation(f"{spec} on cpu", reason="NumPy computes each op at once")

    lock: AbstractContextManager[object] = nullcontext()
    has_float16 = True
    recorder = None

    def flush_all(self) -> None:
        """Nothing is ever pending."""

    def advance(self) -> None:
        """Nothing is ever pending."""

    def roll_back(self) -> None:
        """Nothing is ever pending."""

    def remember(self, *step: Any) -> None:
        """Nothing to note: a step is done at once."""

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    async def synchronize_async(self) -> None:
        """Nothing is ever pending."""
