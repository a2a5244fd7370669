"""The part of `nvmath.bindings.cublasLt` that the CUDA host uses, over this process's memory.

Names, numbers and order of parameters are those of nvmath-python 1.0; matrices are stored column after column.
"""

from __future__ import annotations

import ctypes
import enum
import types
from collections.abc import Callable
from typing import Any

import numpy

from tests.hosts.cupy_double import Cupy, columns, load
from tests.hosts.ptx_arithmetic import converted

TYPES = {0: numpy.float32, 2: numpy.float16}
FLOAT32, TF32 = 68, 77
SIGNATURES = {
    "create": "",
    "get_version": "",
    "matmul_desc_create": "compute_type, scale_type",
    "matmul_desc_set_attribute": "matmul_desc, attr, buf, size_in_bytes",
    "matrix_layout_create": "type, rows, cols, ld",
    "matmul_preference_create": "",
    "matmul_preference_destroy": "pref",
    "matmul_preference_set_attribute": "pref, attr, buf, size_in_bytes",
    "matmul_algo_get_heuristic": (
        "light_handle, operation_desc, adesc, bdesc, cdesc, ddesc, preference, requested_algo_count, "
        "heuristic_results_array, return_algo_count"
    ),
    "matmul": (
        "light_handle, compute_desc, alpha, a, adesc, b, bdesc, beta, c, cdesc, d, ddesc, algo, workspace, "
        "workspace_size_in_bytes, stream"
    ),
}
"""The parameters of the functions, as the documentation strings of nvmath-python 1.0 give them."""


class Epilogue(enum.IntEnum):
    DEFAULT, BIAS, RELU_BIAS, GELU_BIAS, BGRADA = 1, 4, 6, 36, 256


class MatmulDescAttribute(enum.IntEnum):
    TRANSA, TRANSB, EPILOGUE, BIAS_POINTER = 3, 4, 7, 8


class MatmulPreferenceAttribute(enum.IntEnum):
    MAX_WORKSPACE_BYTES = 1


class cuBLASLtError(Exception):
    pass


class MatmulHeuristicResult:
    """Results of 96 bytes beside each other; the first 64 are the algorithm, here its number."""

    SIZE = 96

    def __init__(self, size: int = 1) -> None:
        self.memory = (ctypes.c_uint8 * (self.SIZE * size))()
        self.ptr = ctypes.addressof(self.memory)

    def __getitem__(self, i: int) -> Any:
        return types.SimpleNamespace(ptr=self.ptr + self.SIZE * i)


def gelu(x: numpy.ndarray) -> numpy.ndarray:
    return x * 0.5 * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[int, Callable[[Any], Any]] = {
    Epilogue.BIAS: lambda x: x,
    Epilogue.RELU_BIAS: lambda x: numpy.maximum(x, 0),
    Epilogue.GELU_BIAS: gelu,
}


class CublasLt(types.ModuleType):
    """The module. Algorithm i of `drops` makes zeros of NaN, one of `refuses` is not supported; there is none
    for the epilogues that it `lacks`."""

    Epilogue, MatmulDescAttribute = Epilogue, MatmulDescAttribute
    MatmulPreferenceAttribute, MatmulHeuristicResult = (
        MatmulPreferenceAttribute,
        MatmulHeuristicResult,
    )
    cuBLASLtError = cuBLASLtError

    def __init__(self, cupy: Cupy, found: int = 3) -> None:
        super().__init__("nvmath.bindings.cublasLt")
        self.cupy, self.found = cupy, found
        self.drops: set[int] = set()
        self.refuses: set[int] = set()
        self.lacks: set[int] = set()
        self.made: list[Any] = []
        self.calls: list[tuple[Epilogue, int]] = []
        self.preferences = 0

    def get_version(self) -> int:
        return 130000

    def create(self) -> int:
        return 4711

    def add(self, thing: Any) -> int:
        self.made.append(thing)
        return len(self.made) - 1

    def matmul_desc_create(self, compute_type: int, scale_type: int) -> int:
        assert compute_type in (FLOAT32, TF32)
        assert scale_type == 0
        return self.add({"compute": compute_type})

    def matmul_desc_set_attribute(
        self, matmul_desc: int, attr: int, buf: int, size_in_bytes: int
    ) -> None:
        assert size_in_bytes == (8 if attr == MatmulDescAttribute.BIAS_POINTER else 4)
        self.made[matmul_desc][attr] = int.from_bytes(
            ctypes.string_at(buf, size_in_bytes), "little"
        )

    def matrix_layout_create(self, type: int, rows: int, cols: int, ld: int) -> int:
        assert ld >= rows > 0
        return self.add((TYPES[type], rows, cols, ld))

    def matmul_preference_create(self) -> int:
        self.preferences += 1
        return self.add({})

    def matmul_preference_destroy(self, pref: int) -> None:
        self.preferences -= 1

    def matmul_preference_set_attribute(
        self, pref: int, attr: int, buf: int, size_in_bytes: int
    ) -> None:
        assert (attr, size_in_bytes) == (1, 8)
        self.made[pref]["room"] = int.from_bytes(ctypes.string_at(buf, 8), "little")

    def matmul_algo_get_heuristic(
        self, light_handle, operation_desc, adesc, bdesc, cdesc, ddesc, preference, requested_algo_count,
        heuristic_results_array, return_algo_count,
    ) -> None:  # fmt: skip
        assert light_handle == 4711
        assert self.made[preference]["room"] > 0
        if not self.found or self.made[operation_desc][MatmulDescAttribute.EPILOGUE] in self.lacks:
            raise cuBLASLtError("CUBLAS_STATUS_NOT_SUPPORTED")
        count = min(self.found, requested_algo_count)
        for i in range(count):
            place = heuristic_results_array + i * MatmulHeuristicResult.SIZE
            ctypes.c_uint64.from_address(place).value = 100 + i
        ctypes.c_int32.from_address(return_algo_count).value = count

    def matmul(
        self, light_handle, compute_desc, alpha, a, adesc, b, bdesc, beta, c, cdesc, d, ddesc, algo, workspace,
        workspace_size_in_bytes, stream,
    ) -> None:  # fmt: skip
        assert self.cupy.inside, "launched outside its stream"
        assert (light_handle, stream) == (4711, 77)
        assert workspace
        assert workspace_size_in_bytes > 0
        assert [load(p, (1,), "f4")[0] for p in (alpha, beta)] == [1, 0]
        assert (c, cdesc) == (d, ddesc)
        number = ctypes.c_uint64.from_address(algo).value - 100
        if number in self.refuses:
            raise cuBLASLtError("CUBLAS_STATUS_NOT_SUPPORTED")
        desc = dict(self.made[compute_desc])
        self.calls.append((Epilogue(desc[MatmulDescAttribute.EPILOGUE]), number))
        self.cupy.do(lambda: self.compute(desc, a, adesc, b, bdesc, d, ddesc, number))

    def compute(
        self, desc: Any, a: int, adesc: int, b: int, bdesc: int, d: int, ddesc: int, number: int
    ) -> None:
        kind, rows, cols, ld = self.made[ddesc]
        left, right = (
            matrix(pointer, self.made[layout], desc[attr])
            for pointer, layout, attr in (
                (a, adesc, MatmulDescAttribute.TRANSA),
                (b, bdesc, MatmulDescAttribute.TRANSB),
            )
        )
        if desc["compute"] == TF32:
            left, right = (
                converted(("tf32", "f32"), numpy.array(x, "f4")).view("f4") for x in (left, right)
            )
        epilogue = desc[MatmulDescAttribute.EPILOGUE]
        found = left.astype("f4") @ right.astype("f4")
        if epilogue == Epilogue.BGRADA:
            assert not desc[MatmulDescAttribute.TRANSA]
            load(desc[MatmulDescAttribute.BIAS_POINTER], (rows,), kind)[...] = left.astype(
                "f4"
            ).sum(1)
        elif epilogue != Epilogue.DEFAULT:
            bias = load(desc[MatmulDescAttribute.BIAS_POINTER], (rows,), kind)
            found = ACTIVATIONS[epilogue](found + bias[:, None].astype("f4"))
            if number in self.drops and epilogue != Epilogue.BIAS:
                found = numpy.nan_to_num(found)
        columns(d, (rows, cols), ld, kind)[...] = found


def matrix(pointer: int, layout: Any, turned: int) -> numpy.ndarray:
    kind, rows, cols, ld = layout
    found = columns(pointer, (rows, cols), ld, kind)
    return found.T if turned else found
