"""Products with bias and activation in one call: cuBLASLt through nvmath-python, where that is installed.

    matmul_epilogue  buffers lhs, rhs, bias, out; dtype, m, n, k, flags, epilogue
                     out = f(lhs @ rhs + bias), bias of n elements; flags as of `matmul`;
                     epilogue 0: f(x) = x, 1: relu, 2: gelu in its tanh form
                     epilogue 3 has buffers lhs, rhs, out, sums: the sum of each column of rhs besides; rhs is
                     stored (k, n)

What its activations make of NaN is not documented, so each algorithm is tried before it is used: with a bias of
NaN all results must be NaN. Where no algorithm of relu does that, the epilogue is the bias alone, and relu a
second kernel. Where none gives the sums of columns, they are a product with ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy

from tabgrad.core.errors import HostError, warn

NAME = "matmul_epilogue"
WORKSPACE = 32 << 20
"""Bytes that an algorithm may use on the device."""
ALGORITHMS = 8
"""How many algorithms are asked for, the best first."""
BIAS, RELU, GELU, SUMS, PLAIN = range(5)
_BITS = {
    "float16": ("16", 0x7FFF, 0x7C00),
    "bfloat16": ("16", 0x7FFF, 0x7F80),
    "float32": ("32", 0x7FFFFFFF, 0x7F800000),
}
"""Of a dtype: the bits of an element, those of its size, and infinity."""

Key = tuple[str, int, int, int, int, int]


def load(cupy: Any) -> Any:
    """Import the bindings of cuBLASLt; None where nvmath-python is not installed, or the device is too old."""
    runtime = cupy.cuda.runtime
    if runtime.getDeviceProperties(runtime.getDevice())["major"] < 8:
        return None
    try:
        lt = importlib.import_module("nvmath.bindings.cublasLt")
    except ImportError:
        return None
    try:
        lt.get_version()
    except Exception as error:
        warn(
            "nvmath-python is installed, but its cuBLASLt can't be used, so bias and activation of products "
            f"are separate kernels: {error}",
            RuntimeWarning,
        )
        return None
    return lt


@dataclass(frozen=True)
class Plan:
    """What a product of some sizes is called with. `after`: its epilogue is a step of its own."""

    desc: int
    lhs: int
    rhs: int
    out: int
    results: Any
    algorithm: int
    after: bool = False


class Epilogues:
    """Calls cuBLASLt on the current stream; `run` takes pointers to CuPy's memory."""

    def __init__(self, cupy: Any, lt: Any) -> None:
        self._cupy, self._lt = cupy, lt
        self._handle = lt.create()
        self._pool = cupy.cuda.MemoryPool()
        self._workspace = self._pool.malloc(WORKSPACE)
        self._scalars = numpy.array([1, 0], numpy.float32)
        self._plans: dict[Key, Plan] = {}
        self._ones: dict[tuple[str, int], Any] = {}

    def run(self, codes: tuple[int, int], key: Key, pointers: tuple[Any, Any, Any, Any]) -> None:
        """Compute a product of `key` (dtype, m, n, k, flags, epilogue); `codes` are the CUDA type of the data
        and the cuBLAS type of the computation."""
        name, m, n, k, flags, epilogue = key
        if name not in _BITS or epilogue > SUMS or (epilogue == SUMS and flags & 2):
            raise HostError(f"{NAME}: cuBLASLt has no epilogue {epilogue} of {name}")
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(codes, key, pointers)
        self._launch(plan, *pointers)
        if plan.after and epilogue == SUMS:
            _, rhs, sums, _ = pointers
            self._launch(self._plans[name, 1, n, k, 0, PLAIN], self._ones[name, k], rhs, sums, sums)
        elif plan.after:
            # as signed integers negative numbers are below zero, and NaN of the device is above it
            bits = self._cupy.ndarray((m * n,), dtype=f"int{_BITS[name][0]}", memptr=pointers[3])
            self._cupy.maximum(bits, 0, out=bits)

    # -- plans -------------------------------------------------------------------------------------

    def _plan(self, codes: tuple[int, int], key: Key, pointers: tuple[Any, ...]) -> Plan:
        name, m, n, k, flags, epilogue = key
        for plan in self._candidates(codes, key, pointers[2]):
            if self._works(plan, key, pointers):
                return plan
        if epilogue == SUMS:
            rhs, sums = pointers[1:3]
            ones = self._ones[name, k] = self._filled(name, k)
            self._plans[name, 1, n, k, 0, PLAIN] = self._plan(
                codes, (name, 1, n, k, 0, PLAIN), (ones, rhs, sums, sums)
            )
            return replace(self._plan(codes, (name, m, n, k, flags, PLAIN), pointers), after=True)
        if epilogue == RELU:
            return replace(self._plan(codes, (name, m, n, k, flags, BIAS), pointers), after=True)
        raise HostError(
            f"{NAME}: no algorithm of cuBLASLt computes epilogue {epilogue} of a product {m} x {n} x {k} of "
            f"{name} and keeps NaN; without nvmath-python the product and what follows it are separate kernels"
        )

    def _candidates(self, codes: tuple[int, int], key: Key, bias: Any) -> Iterator[Plan]:
        """Make a plan for each algorithm that cuBLASLt proposes."""
        lt, (kind, compute) = self._lt, codes
        _, m, n, k, flags, epilogue = key
        flip_lhs, flip_rhs = flags & 1, flags >> 1 & 1
        attribute = lt.MatmulDescAttribute
        desc = lt.matmul_desc_create(compute, self._cupy.cuda.runtime.CUDA_R_32F)
        # cuBLASLt counts columns first: it computes the transpose of out from the right operand,
        # then the left, so the bias runs along its rows
        self._set(desc, attribute.TRANSA, flip_rhs, numpy.int32)
        self._set(desc, attribute.TRANSB, flip_lhs, numpy.int32)
        named = ("BIAS", "RELU_BIAS", "GELU_BIAS", "BGRADA", "DEFAULT")[epilogue]
        self._set(desc, attribute.EPILOGUE, int(getattr(lt.Epilogue, named)), numpy.uint32)
        self._set(desc, attribute.BIAS_POINTER, bias.ptr, numpy.uint64)
        rhs = lt.matrix_layout_create(kind, *((k, n, k) if flip_rhs else (n, k, n)))
        lhs = lt.matrix_layout_create(kind, *((m, k, m) if flip_lhs else (k, m, k)))
        out = lt.matrix_layout_create(kind, n, m, n)
        preference = lt.matmul_preference_create()
        room = numpy.array([WORKSPACE], numpy.uint64)
        most = lt.MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES
        lt.matmul_preference_set_attribute(preference, int(most), room.ctypes.data, room.nbytes)
        results, count = lt.MatmulHeuristicResult(ALGORITHMS), numpy.zeros(1, numpy.int32)
        try:
            lt.matmul_algo_get_heuristic(
                self._handle, desc, rhs, lhs, out, out, preference, ALGORITHMS, results.ptr, count.ctypes.data
            )  # fmt: skip
        except lt.cuBLASLtError:
            # there is no algorithm for this
            count[0] = 0
        lt.matmul_preference_destroy(preference)
        for i in range(int(count[0])):
            # an algorithm is the first field of a result
            yield Plan(desc, lhs, rhs, out, results, results[i].ptr)

    def _set(self, desc: int, attribute: Any, value: int, kind: Any) -> None:
        held = numpy.array([value], kind)
        self._lt.matmul_desc_set_attribute(desc, int(attribute), held.ctypes.data, held.nbytes)

    def _works(self, plan: Plan, key: Key, pointers: tuple[Any, ...]) -> bool:
        """Run an algorithm once; with a bias of NaN its results must be NaN."""
        name, m, n = key[:3]
        if key[-1] in (SUMS, PLAIN):
            try:
                self._launch(plan, *pointers)
            except self._lt.cuBLASLtError:
                return False
            return True
        width, size, infinity = _BITS[name]
        nbytes = n * int(width) // 8
        bias = self._pool.malloc(nbytes)
        bias.memset_async(255, nbytes)
        lhs, rhs, _, out = pointers
        try:
            self._launch(plan, lhs, rhs, bias, out)
        except self._lt.cuBLASLtError:
            return False
        bits = self._cupy.ndarray((m * n,), dtype=f"uint{width}", memptr=out)
        return bool(((bits & size) > infinity).all())

    def _filled(self, name: str, count: int) -> Any:
        """Make a vector of ones."""
        kind = {"float16": "f2", "bfloat16": "u2", "float32": "f4"}[name]
        ones = numpy.full(count, 0x3F80 if name == "bfloat16" else 1, kind)
        made, runtime = self._pool.malloc(ones.nbytes), self._cupy.cuda.runtime
        stream = self._cupy.cuda.get_current_stream().ptr
        # from memory that is not pinned, this returns when the bytes have been read
        runtime.memcpyAsync(
            made.ptr, ones.ctypes.data, ones.nbytes, runtime.memcpyHostToDevice, stream
        )
        return made

    def _launch(self, plan: Plan, lhs: Any, rhs: Any, bias: Any, out: Any) -> None:
        one = self._scalars.ctypes.data
        self._set(plan.desc, self._lt.MatmulDescAttribute.BIAS_POINTER, bias.ptr, numpy.uint64)
        self._lt.matmul(
            self._handle,
            plan.desc,
            *(one, rhs.ptr, plan.rhs, lhs.ptr, plan.lhs),
            *(one + self._scalars.itemsize, out.ptr, plan.out, out.ptr, plan.out),
            *(plan.algorithm, self._workspace.ptr, WORKSPACE),
            self._cupy.cuda.get_current_stream().ptr,
        )
