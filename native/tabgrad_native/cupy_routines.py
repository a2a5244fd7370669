"""The routines of the CUDA host: library calls on numbered buffers.

Parameters are words. `dtype` is an index into DTYPES. Arrays are dense and row-major.

    matmul   buffers lhs, rhs, out; dtype, batch, m, n, k, flags, lhs_stride, rhs_stride
             out[b] = lhs[b] @ rhs[b]; flag 1: lhs[b] is stored (k, m), flag 2: rhs[b] is stored
             (n, k), flag 4: float32 may be rounded to tf32; strides are elements from one matrix to the
             next, 0 to use one for all
    argsort  buffers x, out; dtype, rows, n, descending, out_dtype
             stable, along the last axis of (rows, n); NaN counts as greater than all numbers
    cumsum   buffers x, out; dtype, outer, n, inner
             along the middle axis of (outer, n, inner)
    fft      buffers x, out; dtype, outer, n, inner, inverse, scale as the two words of a float64
             complex numbers along the middle axis of (outer, n, inner), as tabgrad's op `fft`
    rfft     buffers x, out; dtype of x, outer, n, inner, doubled, scale; out is (outer, n // 2 + 1, inner)
    irfft    buffers x, out; dtype of out, outer, n, inner, halved, scale; x is (outer, n // 2 + 1, inner)

`matmul_epilogue` is in `cublaslt.py`.

Decompositions of (batch, m, n) matrices, as tabgrad's ops of these names (`cupy_matrices.py`):

    cholesky          buffers a, l, info; dtype, batch, n, n
    triangular_solve  buffers a, b, x; dtype, batch, n, n, columns of b, upper, unit
    lu                buffers a, factors, pivots, info; dtype, batch, m, n
    geqrf             buffers a, reflections, tau; dtype, batch, m, n
    qr                buffers a, q, r; dtype, batch, m, n
    eigh              buffers a, values, vectors; dtype, batch, n, n
    svd               buffers a, u, s, vh; dtype, batch, m, n
"""

import importlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy

from tabgrad.core.errors import HostError
from tabgrad_native import cublaslt, cupy_matrices
from tabgrad_native.cupy_matrices import Matrices

DTYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)

NAMES = (
    "matmul", "argsort", "cumsum", "fft", "rfft", "irfft",
    "cholesky", "triangular_solve", "lu", "geqrf", "qr", "eigh", "svd",
)  # fmt: skip
DECOMPOSITIONS = NAMES[6:]
EPILOGUES = (*NAMES, cublaslt.NAME)
"""The routines where nvmath-python is installed."""

_PAIRED = {
    DTYPES.index("float32"): DTYPES.index("complex64"),
    DTYPES.index("float64"): DTYPES.index("complex128"),
}
"""The complex dtype of each real one."""
_REAL = {paired: real for real, paired in _PAIRED.items()}

# the cuBLAS type of the data, the type of the computation, and the dtype of alpha and beta
_GEMM = {
    "float16": ("CUDA_R_16F", "CUBLAS_COMPUTE_32F", "float32"),
    "bfloat16": ("CUDA_R_16BF", "CUBLAS_COMPUTE_32F", "float32"),
    "float32": ("CUDA_R_32F", "CUBLAS_COMPUTE_32F", "float32"),
    "float64": ("CUDA_R_64F", "CUBLAS_COMPUTE_64F", "float64"),
    "complex64": ("CUDA_C_32F", "CUBLAS_COMPUTE_32F", "complex64"),
    "complex128": ("CUDA_C_64F", "CUBLAS_COMPUTE_64F", "complex128"),
}
_SIZES = {"bfloat16": 2}


class Routines:
    """Calls library functions on the current stream; `run` takes pointers to CuPy's memory."""

    def __init__(self, cupy: Any, lt: Any = None) -> None:
        self._cupy = cupy
        self._lt = lt
        self._epilogues: cublaslt.Epilogues | None = None
        self._cublas: Any = None
        self._matrices: Matrices | None = None
        self._scalars = {dtype: numpy.array([1, 0], dtype) for _, _, dtype in _GEMM.values()}

    @staticmethod
    def capturable(routine: int) -> bool:
        """Whether a routine can be part of a CUDA graph, that is, does not allocate."""
        return EPILOGUES[routine] in ("matmul", cublaslt.NAME)

    def run(self, routine: int, pointers: Sequence[Any], words: Sequence[int]) -> None:
        """Call a routine."""
        name = EPILOGUES[routine]
        if name in DECOMPOSITIONS:
            self._decompose(name, pointers, words)
        else:
            getattr(self, "_" + name)(*pointers, *words)

    def _decompose(self, name: str, pointers: Sequence[Any], words: Sequence[int]) -> None:
        dtype, batch, m, n, *rest = words
        if not batch * m * n:
            return
        if self._matrices is None:
            self._matrices = Matrices(self._cupy)
        real, whole = _REAL.get(dtype, dtype), DTYPES.index("int32")
        small = min(m, n)
        shapes = {
            "cholesky": (((m, n), dtype), ((m, n), dtype), ((), whole)),
            "triangular_solve": (((m, n), dtype), *[((m, *rest[:1]), dtype)] * 2),
            "lu": (((m, n), dtype), ((m, n), dtype), ((small,), whole), ((), whole)),
            "geqrf": (((m, n), dtype), ((m, n), dtype), ((small,), dtype)),
            "qr": (((m, n), dtype), ((m, small), dtype), ((small, n), dtype)),
            "eigh": (((m, n), dtype), ((n,), real), ((m, n), dtype)),
            "svd": (((m, n), dtype), ((m, small), dtype), ((small,), real), ((small, n), dtype)),
        }[name]
        arrays = [
            self._array(pointer, (batch, *shape), kind)
            for pointer, (shape, kind) in zip(pointers, shapes, strict=True)
        ]
        cupy_matrices.run(self._matrices, name, arrays, rest)

    def _matmul(
        self,
        lhs: Any,
        rhs: Any,
        out: Any,
        dtype: int,
        batch: int,
        m: int,
        n: int,
        k: int,
        flags: int,
        lhs_stride: int,
        rhs_stride: int,
    ) -> None:
        if not batch * m * n:
            return
        name = DTYPES[dtype]
        if name not in _GEMM:
            raise HostError(f"matmul: cuBLAS has no product of {name}")
        if not k:
            size = _SIZES.get(name) or numpy.dtype(name).itemsize
            out.memset_async(0, batch * m * n * size)
            return
        cublas, kind, compute, scalars = self._gemm(name)
        if flags & 4 and name == "float32":
            compute = cublas.CUBLAS_COMPUTE_32F_FAST_TF32
        trans = (cublas.CUBLAS_OP_N, cublas.CUBLAS_OP_T)
        flip_lhs, flip_rhs = flags & 1, flags >> 1 & 1
        # cuBLAS counts columns first: it computes the transpose of out from the right
        # operand, then the left, each seen transposed.
        cublas.gemmStridedBatchedEx(
            self._cupy.cuda.device.get_cublas_handle(),
            trans[flip_rhs],
            trans[flip_lhs],
            *(n, m, k),
            scalars,
            *(rhs.ptr, kind, k if flip_rhs else n, rhs_stride),
            *(lhs.ptr, kind, m if flip_lhs else k, lhs_stride),
            scalars + self._scalars[_GEMM[name][2]].itemsize,
            *(out.ptr, kind, n, m * n),
            batch,
            compute,
            cublas.CUBLAS_GEMM_DEFAULT,
        )

    def _matmul_epilogue(
        self,
        lhs: Any,
        rhs: Any,
        bias: Any,
        out: Any,
        dtype: int,
        m: int,
        n: int,
        k: int,
        flags: int,
        epilogue: int,
    ) -> None:
        if not m * n:
            return
        if epilogue == cublaslt.SUMS:
            # here the vector is a result, and comes last
            bias, out = out, bias
        name = DTYPES[dtype]
        if name not in _GEMM or not k:
            raise HostError(f"{cublaslt.NAME}: no product of {k} steps of {name}")
        cublas, kind, compute, _ = self._gemm(name)
        if flags & 4 and name == "float32":
            compute = cublas.CUBLAS_COMPUTE_32F_FAST_TF32
        if self._epilogues is None:
            self._epilogues = cublaslt.Epilogues(self._cupy, self._lt)
        self._epilogues.run(
            (kind, compute), (name, m, n, k, flags, epilogue), (lhs, rhs, bias, out)
        )

    def _gemm(self, name: str) -> tuple[Any, int, int, int]:
        """Return cuBLAS, its codes for a dtype, and the address of alpha."""
        if self._cublas is None:
            self._cublas = importlib.import_module("cupy_backends.cuda.libs.cublas")
        kind, compute, scalar = _GEMM[name]
        kind_code: int = getattr(self._cupy.cuda.runtime, kind)
        compute_code: int = getattr(self._cublas, compute)
        return self._cublas, kind_code, compute_code, self._scalars[scalar].ctypes.data

    def _array(self, pointer: Any, shape: tuple[int, ...], dtype: int) -> Any:
        name = DTYPES[dtype]
        if name == "bfloat16":
            raise HostError("bfloat16 is offered for products alone; cast to float32")
        return self._cupy.ndarray(shape, dtype=name, memptr=pointer)

    def _argsort(
        self, x: Any, out: Any, dtype: int, rows: int, n: int, descending: int, out_dtype: int
    ) -> None:
        values = self._array(x, (rows, n), dtype)
        target = self._array(out, (rows, n), out_dtype)
        if not rows * n:
            return
        if descending:
            # sorting the reversed row ascending and reversing the result keeps equal elements in order
            order = self._cupy.argsort(values[:, ::-1], axis=-1, kind="stable")
            target[...] = n - 1 - order[:, ::-1]
        else:
            target[...] = self._cupy.argsort(values, axis=-1, kind="stable")

    def _cumsum(self, x: Any, out: Any, dtype: int, outer: int, n: int, inner: int) -> None:
        if not outer * n * inner:
            return
        values = self._array(x, (outer, n, inner), dtype)
        target = self._array(out, (outer, n, inner), dtype)
        target[...] = self._cupy.cumsum(values, axis=1, dtype=target.dtype)

    def _fft(
        self,
        x: Any,
        out: Any,
        dtype: int,
        outer: int,
        n: int,
        inner: int,
        inverse: int,
        *scale: int,
    ) -> None:
        values, target = (self._array(p, (outer, n, inner), dtype) for p in (x, out))
        fft = self._cupy.fft
        found = fft.ifft(values, axis=1, norm="forward") if inverse else fft.fft(values, axis=1)
        target[...] = found * _number(scale)

    def _rfft(
        self,
        x: Any,
        out: Any,
        dtype: int,
        outer: int,
        n: int,
        inner: int,
        doubled: int,
        *scale: int,
    ) -> None:
        target = self._array(out, (outer, n // 2 + 1, inner), _PAIRED[dtype])
        target[...] = self._cupy.fft.rfft(self._array(x, (outer, n, inner), dtype), axis=1)
        target *= _number(scale)
        if doubled:
            target[:, 1 : (n + 1) // 2] *= 2

    def _irfft(
        self, x: Any, out: Any, dtype: int, outer: int, n: int, inner: int, halved: int, *scale: int
    ) -> None:
        half = self._array(x, (outer, n // 2 + 1, inner), _PAIRED[dtype]).copy()
        # the ends are real, whatever is beside them
        half[:, 0].imag = 0
        if n % 2 == 0:
            half[:, n // 2].imag = 0
        if halved:
            half[:, 1 : (n + 1) // 2] *= 0.5
        found = self._cupy.fft.irfft(half, n, axis=1, norm="forward")
        self._array(out, (outer, n, inner), dtype)[...] = found * _number(scale)


def _number(words: Sequence[int]) -> float:
    """Return the float64 of two words."""
    found: float = struct.unpack("<d", struct.pack("<II", *words))[0]
    return found
