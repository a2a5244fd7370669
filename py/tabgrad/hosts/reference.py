"""The `cpu` device: it runs every op at once with NumPy, and is the reference for the other devices."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec, spec as spec_of
from tabgrad.hosts.immediate import ImmediateBackend
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


class _GlobalErrors:
    """What NumPy does about floating-point errors, where that isn't in a context variable: before 2.0."""

    def set(self, value: object) -> Any:
        """Ignore all of them; return what `reset` takes."""
        return np.seterr(all="ignore")

    def reset(self, before: Any) -> None:
        """Do again what was done before."""
        np.seterr(**before)


array: Any = None
"""The type of NumPy's arrays, once it is imported."""
errors: Any = None
"""NumPy's context variable that says what to do about floating-point errors."""
quiet: Any = None
"""The value of that variable for which all errors are ignored."""


def import_numpy() -> None:
    """Find out how errors are ignored: `np.errstate` takes as long as a small op."""
    global array, errors, quiet
    if array is None:
        before = copy_context()
        with np.errstate(all="ignore"):
            within = copy_context()
        changed = [v for v in within if v not in before or within[v] is not before[v]]
        errors = changed[0] if len(changed) == 1 else _GlobalErrors()
        quiet = within[errors] if len(changed) == 1 else None
        array = np.ndarray


class NumPyBackend(ImmediateBackend):
    """Runs ops on NumPy arrays, which are never changed after they are made.

    In half precision every op computes in float32 and rounds its result once, as PyTorch does: partial sums
    neither overflow nor lose small terms. bfloat16 is stored in arrays of uint16.
    """

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Run `op`; return the array and its spec."""
        found = op.runs.get((specs, params))
        if found is None:
            found = self._prepare(op, specs, params)
        spec, want, body = found
        if want is None:
            return self._in_single(op, values, specs, params, spec), spec
        before = errors.set(quiet)
        try:
            out = body(*values, **params) if body else op.numpy(values, spec, params)
        finally:
            errors.reset(before)
        if type(out) is not array or out.dtype is not want:
            out = np.asarray(out, dtype=want)
        return out, spec

    def _prepare(self, op: Op, specs: tuple[Spec, ...], params: Params) -> tuple[Any, ...]:
        """Return, and note for the next time, what `run` needs to know about these operands.

        That is the spec of the result, the dtype of its array, and the function that computes it. The dtype is
        None if the op runs in float32 because of a half precision.
        """
        import_numpy()
        spec = op.infer(specs, params)
        halves = not op.raw and any(s.dtype in dt.HALVES for s in (spec, *specs))
        want = None if halves else np.dtype(array_name(spec.dtype))
        found = op.runs[specs, params] = spec, want, op.body(spec)
        return found

    def _in_single(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params, spec: Spec
    ) -> Any:
        """Run an op in float32, because it has half-precision arrays."""
        wide = [widened(v, s.dtype) for v, s in zip(values, specs, strict=True)]
        settings = Params({name: _single(value) for name, value in params.items()})
        before = errors.set(quiet)
        try:
            out = op.numpy(wide, spec_of(spec.shape, _single(spec.dtype)), settings)
            return rounded(out, spec.dtype)
        finally:
            errors.reset(before)

    def constant(self, value: complex, spec: Spec) -> Any:
        """Make an array filled with `value`; it takes the memory of one element."""
        if array is None:
            import_numpy()
        before = errors.set(quiet)
        try:
            if spec.dtype in dt.HALVES:
                one = rounded(np.array(value, dtype="float32"), spec.dtype)
            else:
                one = np.array(value, dtype=spec.dtype.name)
        finally:
            errors.reset(before)
        if spec.shape:
            return np.broadcast_to(one, spec.shape)
        one.setflags(write=False)
        return one

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

    def places(self, mask: Any) -> Any:
        """Return the places of the true elements of a 1-d mask, in order."""
        return mask.nonzero()[0]

    def read(self, value: Any, spec: Spec) -> memoryview:
        """Return the bytes of the value in row-major order."""
        return memoryview(np.ascontiguousarray(value)).cast("B") if spec.size else memoryview(b"")

    async def read_async(self, value: Any, spec: Spec) -> memoryview:
        """Do what `read` does."""
        return self.read(value, spec)

    def planned(self, value: Any, spec: Spec) -> ValueExplanation:
        """Say that there is no plan."""
        return ValueExplanation(f"{spec} on cpu", reason="NumPy computes each op at once")
