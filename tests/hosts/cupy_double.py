"""A CuPy whose device is this process's own memory, and which knows the kernels of bench.py.

Streams do their work at once; a graph is the list of calls that were made while it was captured.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import types
from copy import copy
from typing import ClassVar

import numpy

from tabgrad.ops import decompositions_numpy as numpy_
from tests.hosts.bench import KERNELS
from tests.hosts.ptx_arithmetic import converted


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"cudaError {status}")
        self.status = status


class CompileException(Exception):
    def get_message(self) -> str:
        return str(self.args[0])


class OutOfMemoryError(MemoryError):
    pass


class Pointer:
    """Device memory: `ptr` is a real address."""

    def __init__(self, nbytes: int) -> None:
        self.memory = (ctypes.c_uint8 * nbytes)()
        self.ptr = ctypes.addressof(self.memory)

    def __add__(self, offset: int) -> Pointer:
        other = copy(self)
        other.ptr += offset
        return other

    def memset_async(self, value: int, nbytes: int) -> None:
        ctypes.memset(self.ptr, value, nbytes)


class Pool:
    capacity = 1 << 30

    def malloc(self, nbytes: int) -> Pointer:
        if nbytes > self.capacity:
            raise OutOfMemoryError(f"out of memory allocating {nbytes} bytes")
        return Pointer(nbytes)

    def free_all_blocks(self) -> None:
        pass


class Pinned(bytearray):
    @property
    def ptr(self) -> int:
        return ctypes.addressof((ctypes.c_uint8 * len(self)).from_buffer(self))


class Graph:
    def __init__(self, calls: list) -> None:
        self.calls = calls
        self.launches = 0

    def launch(self, stream: object) -> None:
        self.launches += 1
        for call in self.calls:
            call()


class Stream:
    ptr = 77

    def __init__(self, cupy: Cupy) -> None:
        self.cupy = cupy

    def __enter__(self) -> None:
        self.cupy.inside += 1

    def __exit__(self, *_: object) -> None:
        self.cupy.inside -= 1

    def begin_capture(self) -> None:
        self.cupy.capturing = []

    def end_capture(self) -> Graph:
        graph, self.cupy.capturing = Graph(self.cupy.capturing), None
        self.cupy.graphs.append(graph)
        return graph

    def record(self) -> types.SimpleNamespace:
        return Event(self.cupy)

    def synchronize(self) -> None:
        pass


class Event:
    def __init__(self, cupy: Cupy) -> None:
        self.cupy = cupy
        self.at = cupy.clock = cupy.clock + 1

    @property
    def done(self) -> bool:
        if self.cupy.status:
            raise CUDARuntimeError(self.cupy.status)
        return not self.cupy.busy


class RawModule:
    def __init__(self, cupy: Cupy, code: str, options: tuple[str, ...]) -> None:
        self.cupy = cupy
        self.options = options
        self.name = next(name for name, texts in KERNELS.items() if texts[2] == code)

    def compile(self) -> None:
        self.cupy.compiled += 1
        if self.name == "broken":
            raise CompileException('kernel.cu(2): error: identifier "no_such_name" is undefined')

    def get_function(self, name: str) -> object:
        assert name == "main_kernel"
        kernel = globals()[f"run_{self.name}"]

        def function(grid: tuple, block: tuple, args: tuple) -> None:
            assert self.cupy.inside, "launched outside its stream"
            assert all(type(arg) is int for arg in args)
            # CuPy launches at least one block.
            at_least = tuple(max(1, size) for size in grid)
            self.cupy.do(lambda: kernel(self.options, at_least, block, *args))

        return function


def at(address: int, kind: type, n: int) -> ctypes.Array:
    return (kind * n).from_address(address)


def run_scale(options: tuple, grid: tuple, block: tuple, x: int, y: int, u: int) -> None:
    assert block == (64, 1, 1)
    n, bits = at(u, ctypes.c_uint32, 2)
    factor = struct.unpack("<f", struct.pack("<I", bits))[0]
    source, target = at(x, ctypes.c_float, n), at(y, ctypes.c_float, n)
    for i in range(min(n, grid[0] * block[0])):
        target[i] = source[i] * factor


def run_increment(options: tuple, grid: tuple, block: tuple, x: int) -> None:
    for i in range(grid[0] * grid[1] * grid[2]):
        at(x, ctypes.c_float, i + 1)[i] += 1


def run_fill(options: tuple, grid: tuple, block: tuple, x: int, u: int) -> None:
    ctypes.memmove(x, u, 4 * grid[0])


def run_override(options: tuple, grid: tuple, block: tuple, x: int) -> None:
    given = {"N": 1.0, "SHIFT": 0.5}
    for option in options:
        if option.startswith("-D"):
            name, _, value = option[2:].partition("=")
            given[name] = float(value.strip("()"))
    at(x, ctypes.c_float, 1)[0] = given["N"] + given["SHIFT"]


class Cublas(types.ModuleType):
    """One function of cuBLAS, which counts columns first."""

    CUBLAS_OP_N, CUBLAS_OP_T = 0, 1
    CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F, CUBLAS_GEMM_DEFAULT = 68, 70, -1
    CUBLAS_COMPUTE_32F_FAST_TF32 = 77
    CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER = 0, 1
    CUBLAS_SIDE_LEFT, CUBLAS_SIDE_RIGHT = 0, 1
    CUBLAS_DIAG_NON_UNIT, CUBLAS_DIAG_UNIT = 0, 1
    TYPES: ClassVar = {0: numpy.float32, 1: numpy.float64, 2: numpy.float16, 4: numpy.complex64}

    def __getattr__(self, name: str) -> object:
        if name[1:] != "trsm":
            raise AttributeError(name)
        return functools.partial(self._trsm, numpy.dtype(Cusolver.KINDS[name[0]]))

    def _trsm(self, kind, handle, side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb) -> None:
        assert (handle, side, trans) == ("handle", self.CUBLAS_SIDE_RIGHT, self.CUBLAS_OP_N)
        assert load(alpha, (1,), kind)[0] == 1
        x, triangle = columns(b, (m, n), ldb, kind), columns(a, (n, n), lda, kind)
        right = numpy.array(x.T)
        x[...] = numpy_.triangular_solve(numpy.array(triangle.T), right, not uplo, bool(diag)).T

    def gemmStridedBatchedEx(
        self, handle, transa, transb, m, n, k, alpha, a, a_type, lda, a_stride,
        b, b_type, ldb, b_stride, beta, c, c_type, ldc, c_stride, batch, compute, algo,
    ) -> None:  # fmt: skip
        kind = self.TYPES[a_type]
        scalar = numpy.float64 if compute == 70 else numpy.float32
        assert handle == "handle"
        assert [load(alpha, (1,), scalar)[0], load(beta, (1,), scalar)[0]] == [1, 0]
        assert lda >= max(1, k if transa else m)
        assert ldb >= max(1, n if transb else k)
        assert ldc >= max(1, m)
        size = numpy.dtype(kind).itemsize
        for i in range(batch):
            left = columns(a + i * a_stride * size, (k, m) if transa else (m, k), lda, kind)
            right = columns(b + i * b_stride * size, (n, k) if transb else (k, n), ldb, kind)
            out = columns(c + i * c_stride * size, (m, n), ldc, kind)
            left, right = (left.T if transa else left), (right.T if transb else right)
            if compute == self.CUBLAS_COMPUTE_32F_FAST_TF32:
                left, right = (
                    converted(("tf32", "f32"), numpy.array(x)).view("f4") for x in (left, right)
                )
            out[...] = left @ right


class Array(numpy.ndarray):
    """An array that tells its address as CuPy's do."""

    @property
    def data(self) -> object:
        return types.SimpleNamespace(ptr=self.ctypes.data)


class Cusolver(types.ModuleType):
    """Functions of cuSOLVER, which counts columns first, by their names without the letter of the dtype."""

    CUSOLVER_EIG_MODE_VECTOR = 1
    KINDS: ClassVar = {"s": "f4", "d": "f8", "c": "c8", "z": "c16"}
    ROOM = 7

    def __getattr__(self, name: str) -> object:
        if name[:2] == "__" or name[0] not in self.KINDS:
            raise AttributeError(name)
        function = getattr(type(self), f"_{name[1:]}", None)
        if function is None and name.endswith("_bufferSize"):
            return lambda handle, *args: self.ROOM
        assert function is not None, name
        kind = numpy.dtype(self.KINDS[name[0]])

        def call(handle: str, *args: int) -> None:
            assert handle == "solver"
            function(self, kind, *args)

        return call

    def _potrf(self, kind, uplo, n, a, lda, work, room, info) -> None:
        assert (uplo, room) == (Cublas.CUBLAS_FILL_MODE_UPPER, self.ROOM)
        x = columns(a, (n, n), lda, kind)
        low, failed = numpy_.cholesky(numpy.array(numpy.triu(x).conj().T))
        upper = numpy.triu_indices(n)
        if not failed:
            x[upper] = low.conj().T[upper]
        load(info, (1,), "i4")[0] = failed

    def _getrf(self, kind, m, n, a, lda, work, pivots, info) -> None:
        x = columns(a, (m, n), lda, kind)
        found = numpy_.lu(numpy.array(x))
        x[...], load(pivots, (min(m, n),), "i4")[...] = found[:2]
        load(info, (1,), "i4")[0] = found[2]

    def _geqrf(self, kind, m, n, a, lda, tau, work, room, info) -> None:
        assert room == self.ROOM
        x = columns(a, (m, n), lda, kind)
        h, factors = numpy.linalg.qr(numpy.array(x), "raw")
        x[...], load(tau, (min(m, n),), kind)[...] = h.T, factors
        load(info, (1,), "i4")[0] = 0

    def _orgqr(self, kind, m, n, k, a, lda, tau, work, room, info) -> None:
        assert kind.kind == "f"
        self._product(kind, m, n, k, a, lda, tau)

    def _ungqr(self, kind, m, n, k, a, lda, tau, work, room, info) -> None:
        assert kind.kind == "c"
        self._product(kind, m, n, k, a, lda, tau)

    def _product(self, kind, m, n, k, a, lda, tau) -> None:
        x, factors = columns(a, (m, n), lda, kind), load(tau, (k,), kind)
        q = numpy.eye(m, dtype=kind)
        for i in range(k):
            v = numpy.concatenate([numpy.zeros(i), [1], x[i + 1 :, i]])
            q = q - factors[i] * (q @ v)[:, None] * v.conj()
        x[...] = q[:, :n]

    def _syevd(self, kind, mode, uplo, n, a, lda, w, work, room, info) -> None:
        assert (mode, uplo, room) == (1, Cublas.CUBLAS_FILL_MODE_UPPER, self.ROOM)
        x = columns(a, (n, n), lda, kind)
        assert numpy.isfinite(x).all()
        load(w, (n,), kind.char.lower())[...], x[...] = numpy.linalg.eigh(numpy.array(x), "U")
        load(info, (1,), "i4")[0] = 0

    _heevd = _syevd

    def _gesvd(
        self, kind, job_u, job_vt, m, n, a, lda, s, u, ldu, vt, ldvt, work, room, rwork, info
    ) -> None:
        assert (job_u, job_vt, room) == (ord("S"), ord("S"), self.ROOM)
        assert m >= n, "cuSOLVER has no SVD of wide matrices"
        found = numpy.linalg.svd(numpy.array(columns(a, (m, n), lda, kind)), full_matrices=False)
        columns(u, (m, n), ldu, kind)[...] = found[0]
        load(s, (n,), kind.char.lower())[...] = found[1]
        columns(vt, (n, n), ldvt, kind)[...] = found[2]
        load(info, (1,), "i4")[0] = 0


def load(address: int, shape: tuple[int, ...], kind: type) -> numpy.ndarray:
    """An array over memory at an address."""
    nbytes = int(numpy.prod(shape)) * numpy.dtype(kind).itemsize
    return numpy.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), kind).reshape(shape)


def columns(address: int, shape: tuple[int, int], ld: int, kind: type) -> numpy.ndarray:
    """A matrix stored column after column, `ld` elements from one to the next."""
    return load(address, (shape[1], ld), kind)[:, : shape[0]].T


class Cupy(types.SimpleNamespace):
    """What the CUDA host uses of CuPy."""

    def __init__(self) -> None:
        self.inside = self.compiled = self.status = 0
        self.busy, self.clock = False, 0
        self.capturing: list | None = None
        self.graphs: list[Graph] = []
        self.argsort, self.cumsum, self.fft = numpy.argsort, numpy.cumsum, numpy.fft
        runtime = types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            memcpyHostToDevice=1,
            memcpyDeviceToHost=2,
            memcpyDeviceToDevice=3,
            memcpyAsync=self.memcpy,
            getDevice=lambda: 0,
            getDeviceProperties=lambda _: {
                "name": b"Double",
                "major": 9,
                "minor": 0,
                "maxThreadsDim": (1024, 1024, 64),
                "maxThreadsPerBlock": 1024,
                "sharedMemPerBlock": 49152,
                "totalGlobalMem": 1 << 31,
            },
            CUDA_R_32F=0,
            CUDA_R_64F=1,
            CUDA_R_16F=2,
            CUDA_R_16BF=14,
            CUDA_C_32F=4,
            CUDA_C_64F=5,
        )
        self.cuda = types.SimpleNamespace(
            runtime=runtime,
            Stream=lambda non_blocking: Stream(self),
            get_current_stream=lambda: Stream(self),
            MemoryPool=Pool,
            alloc_pinned_memory=Pinned,
            get_elapsed_time=lambda a, b: float(b.at - a.at),
            compiler=types.SimpleNamespace(CompileException=CompileException),
            memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            device=types.SimpleNamespace(
                get_cublas_handle=lambda: "handle", get_cusolver_handle=lambda: "solver"
            ),
        )

    def RawModule(self, code: str, options: tuple[str, ...]) -> RawModule:
        return RawModule(self, code, options)

    def ndarray(self, shape: tuple[int, ...], dtype: str, memptr: Pointer) -> numpy.ndarray:
        return load(memptr.ptr, shape, dtype).view(Array)

    def __getattr__(self, name: str) -> object:
        """Return NumPy's function, whose arrays tell their addresses."""
        found = getattr(numpy, name)
        if not callable(found):
            return found

        def call(*args: object, **named: object) -> object:
            made = found(*args, **named)
            return made.view(Array) if isinstance(made, numpy.ndarray) else made

        return call

    def memcpy(self, target: int, source: int, nbytes: int, kind: int, stream: int) -> None:
        assert stream == Stream.ptr
        if kind == 3:
            assert target + nbytes <= source or source + nbytes <= target, "the ranges overlap"
        self.do(lambda: ctypes.memmove(target, source, nbytes))

    def do(self, call: object) -> None:
        """Do a stream's work, or record it."""
        if self.status:
            raise CUDARuntimeError(self.status)
        if self.capturing is not None:
            self.capturing.append(call)
        else:
            call()
