"""Decompositions of the CUDA host: cuSOLVER, and cuBLAS for triangles, one matrix of a batch after the other.

Both count columns first, so that each sees the transpose of what lies in memory. Nothing here waits for the
device: a matrix that can't be factored is told by `info`, or its results are nan.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy

from tabgrad.core.errors import HostError

LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
NEARLY = 0.98
"""Of components this near to the largest, the first one says which sign a vector has."""


class Matrices:
    """Calls cuSOLVER on the current stream; each method takes the operands' arrays, then the results'."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._cusolver = importlib.import_module("cupy_backends.cuda.libs.cusolver")
        self._cublas = importlib.import_module("cupy_backends.cuda.libs.cublas")
        self._ones = {name: numpy.ones(1, name) for name in LETTERS}

    def _call(self, name: str, dtype: Any, *args: Any) -> Any:
        """Call a function of cuSOLVER by its name without the letter of the dtype."""
        function = getattr(self._cusolver, LETTERS[str(dtype)] + name)
        return function(self._cupy.cuda.device.get_cusolver_handle(), *args)

    def _room(self, name: str, dtype: Any, *args: Any) -> Any:
        """Make the room that a function asks for."""
        return self._cupy.empty(self._call(name + "_bufferSize", dtype, *args), dtype=dtype)

    def _info(self) -> Any:
        return self._cupy.zeros(1, dtype="int32")

    def cholesky(self, a: Any, low: Any, info: Any) -> None:
        """Factor what the lower triangle says; info is the first minor that is not positive definite."""
        cupy, n = self._cupy, a.shape[-1]
        upper = self._cublas.CUBLAS_FILL_MODE_UPPER
        for k in range(len(a)):
            x, failed = cupy.array(a[k]), self._info()
            work = self._room("potrf", a.dtype, upper, n, x.data.ptr, n)
            args = (upper, n, x.data.ptr, n, work.data.ptr, work.size, failed.data.ptr)
            self._call("potrf", a.dtype, *args)
            # a nan or an infinity may pass as positive
            strange = ~cupy.isfinite(cupy.diagonal(x))
            first = cupy.where(strange.any(), cupy.argmax(strange) + 1, 0)
            found = cupy.where(failed[0] == 0, first, failed[0])
            info[k] = found
            low[k] = cupy.where(found == 0, cupy.tril(x), cupy.nan)

    def triangular_solve(self, a: Any, b: Any, x: Any, columns: int, upper: int, unit: int) -> None:
        """Solve a x = b. Seen transposed it is xᵀ aᵀ = bᵀ, with the triangle on the other side."""
        cublas, n = self._cublas, a.shape[-1]
        x[...] = b
        solve = getattr(cublas, LETTERS[str(a.dtype)] + "trsm")
        for k in range(len(a)):
            solve(
                self._cupy.cuda.device.get_cublas_handle(),
                cublas.CUBLAS_SIDE_RIGHT,
                cublas.CUBLAS_FILL_MODE_LOWER if upper else cublas.CUBLAS_FILL_MODE_UPPER,
                cublas.CUBLAS_OP_N,
                cublas.CUBLAS_DIAG_UNIT if unit else cublas.CUBLAS_DIAG_NON_UNIT,
                *(columns, n, self._ones[str(a.dtype)].ctypes.data),
                *(a[k].data.ptr, n, x[k].data.ptr, columns),
            )

    def lu(self, a: Any, factors: Any, pivots: Any, info: Any) -> None:
        """Factor with the largest pivot of each column; info is the first pivot that is 0."""
        m, n = a.shape[-2:]
        for k in range(len(a)):
            x, failed = self._columns(a[k]), self._info()
            row = self._cupy.empty(min(m, n), dtype="int32")
            work = self._room("getrf", a.dtype, m, n, x.data.ptr, m)
            args = (m, n, x.data.ptr, m, work.data.ptr, row.data.ptr, failed.data.ptr)
            self._call("getrf", a.dtype, *args)
            factors[k], pivots[k], info[k] = x.T, row, failed[0]

    def geqrf(self, a: Any, reflections: Any, tau: Any) -> None:
        """Factor by reflections."""
        for k in range(len(a)):
            x, tau[k] = self._reflected(a[k])
            reflections[k] = x.T

    def qr(self, a: Any, q: Any, r: Any) -> None:
        """Factor by reflections, and multiply these."""
        m, n = a.shape[-2:]
        small = min(m, n)
        for k in range(len(a)):
            x, tau = self._reflected(a[k])
            r[k] = self._cupy.triu(x.T[:small])
            base = self._cupy.array(x[:small])
            name = "ungqr" if a.dtype.kind == "c" else "orgqr"
            shape = (m, small, small, base.data.ptr, m, tau.data.ptr)
            work = self._room(name, a.dtype, *shape)
            self._call(name, a.dtype, *shape, work.data.ptr, work.size, self._info().data.ptr)
            q[k] = base.T

    def _columns(self, a: Any) -> Any:
        """Return a copy that cuSOLVER sees as the matrix itself."""
        return self._cupy.array(a.T, order="C")

    def _reflected(self, a: Any) -> tuple[Any, Any]:
        m, n = a.shape
        x, tau = self._columns(a), self._cupy.empty(min(m, n), dtype=a.dtype)
        work = self._room("geqrf", a.dtype, m, n, x.data.ptr, m)
        failed = self._info()
        args = (tau.data.ptr, work.data.ptr, work.size, failed.data.ptr)
        self._call("geqrf", a.dtype, m, n, x.data.ptr, m, *args)
        return x, tau

    def eigh(self, a: Any, values: Any, vectors: Any) -> None:
        """Find eigenvalues and vectors from the lower triangle."""
        cupy, n = self._cupy, a.shape[-1]
        mode = self._cusolver.CUSOLVER_EIG_MODE_VECTOR
        upper = self._cublas.CUBLAS_FILL_MODE_UPPER
        name = "heevd" if a.dtype.kind == "c" else "syevd"
        for k in range(len(a)):
            x, finite = self._finite(cupy.tril(a[k]))
            w, failed = cupy.empty(n, dtype=values.dtype), self._info()
            shape = (mode, upper, n, x.data.ptr, n, w.data.ptr)
            work = self._room(name, a.dtype, *shape)
            self._call(name, a.dtype, *shape, work.data.ptr, work.size, failed.data.ptr)
            good = finite & (failed[0] == 0)
            # of the conjugate matrix, which cuSOLVER sees, the vectors are conjugate
            found = cupy.conj(x.T)
            values[k] = cupy.where(good, w, cupy.nan)
            vectors[k] = cupy.where(good, found * self._turn(found), cupy.nan)

    def svd(self, a: Any, u: Any, s: Any, vh: Any) -> None:
        """Factor each matrix, or its transpose where that is the tall one."""
        cupy = self._cupy
        tall = a.shape[-2] >= a.shape[-1]
        m, n = sorted(a.shape[-2:], reverse=True)
        job = ord("S")
        for k in range(len(a)):
            x, finite = self._finite(self._columns(a[k]) if tall else cupy.array(a[k]))
            left, right = (cupy.empty(size, dtype=a.dtype) for size in ((n, m), (n, n)))
            found, failed = cupy.empty(n, dtype=s.dtype), self._info()
            work = self._room("gesvd", a.dtype, m, n)
            self._call(
                "gesvd", a.dtype, *(job, job, m, n, x.data.ptr, m, found.data.ptr),
                *(left.data.ptr, m, right.data.ptr, n),
                *(work.data.ptr, work.size, 0, failed.data.ptr),
            )  # fmt: skip
            good = finite & (failed[0] == 0)
            one, two = (left.T, right.T) if tall else (right, left)
            turn = self._turn(one)
            u[k] = cupy.where(good, one * turn, cupy.nan)
            s[k] = cupy.where(good, found, cupy.nan)
            vh[k] = cupy.where(good, two * cupy.conj(turn)[:, None], cupy.nan)

    def _finite(self, x: Any) -> tuple[Any, Any]:
        """Return `x`, or zeros if something in it is not finite, so that iterations end; and whether all is."""
        cupy = self._cupy
        finite = cupy.isfinite(x).all()
        return cupy.array(cupy.where(finite, x, 0).astype(x.dtype), order="C"), finite

    def _turn(self, v: Any) -> Any:
        """Return the factor of each column that makes the first of its largest components positive."""
        cupy = self._cupy
        size = cupy.abs(v)
        first = cupy.argmax(size >= NEARLY * size.max(0), 0)
        found = v[first, cupy.arange(v.shape[1])]
        length = cupy.abs(found)
        whole = cupy.where(length > 0, length, 1)
        return cupy.where(length > 0, cupy.conj(found) / whole, 1).astype(v.dtype)


def run(matrices: Matrices, name: str, arrays: Sequence[Any], words: Sequence[int]) -> None:
    """Call the method of a routine; a dtype that cuSOLVER lacks is an error."""
    if str(arrays[0].dtype) not in LETTERS:
        raise HostError(f"{name}: cuSOLVER has no matrices of {arrays[0].dtype}")
    getattr(matrices, name)(*arrays, *words)
