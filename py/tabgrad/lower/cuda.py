"""Printing kernels as CUDA C."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from tabgrad.core import dtype as dt
from tabgrad.lower import library
from tabgrad.lower.dialect import (
    BOOL,
    C64,
    C128,
    F32,
    F64,
    FLAGS,
    I32,
    I64,
    PARTS,
    U32,
    U64,
    Binding,
    Dialect,
)  # fmt: skip
from tabgrad.lower.tokens import UNIFORMS

STORED = {
    dt.bool_: "unsigned char", dt.uint8: "unsigned char", dt.int8: "signed char", dt.uint16: "unsigned short",
    dt.int16: "short", dt.uint32: "unsigned int", dt.int32: "int", dt.uint64: "unsigned long long",
    dt.int64: "long long", dt.float16: "unsigned short", dt.bfloat16: "unsigned short", dt.float32: "float",
    dt.float64: "double", dt.complex64: "c64", dt.complex128: "c128", FLAGS: "unsigned int",
}  # fmt: skip


class CUDA(Dialect):
    """CUDA C for NVRTC. Buffers hold NumPy's element sizes."""

    name = "cuda"
    types: ClassVar[dict[str, str]] = {
        F32: "float", I32: "int", U32: "unsigned int", BOOL: "bool", F64: "double", I64: "long long",
        U64: "unsigned long long", C64: "c64", C128: "c128",
    }  # fmt: skip

    def let(self, name: str, kind: str, value: str) -> str:
        """Declare a constant."""
        return f"const {self.types[kind]} {name} = {value};"

    def var(self, name: str, kind: str, value: str) -> str:
        """Declare a variable."""
        return f"{self.types[kind]} {name} = {value};"

    def loop(self, name: str, start: str, stop: str, step: str) -> str:
        """Open a counting loop."""
        return f"for (unsigned int {name} = {start}; {name} < {stop}; {name} += {step}) {{"

    def convert(self, value: str, source: str, target: str) -> str:
        """Convert between compute types."""
        if source == target:
            return value
        if target in PARTS:
            if source in PARTS:
                return f"{target}_from_{source}({value})"
            return f"{target}_of({self.convert(value, source, PARTS[target])})"
        if source in PARTS:
            if target == BOOL:
                return f"({value} != {source}_of(0))"
            return self.convert(f"{value}.x", PARTS[source], target)
        if target == BOOL:
            return f"({value} != 0)"
        if source in (F32, F64) and target not in (F32, F64):
            return f"{target}_from_{source}({value})"
        return f"(({self.types[target]})({value}))"

    def bits(self, value: str, source: str, target: str) -> str:
        """Read the bits of a compute type as another's."""
        if source == target:
            return value
        if F32 not in (source, target):
            return self.convert(value, source, target)
        names = {F32: "float", I32: "int", U32: "uint"}
        return f"__{names[source]}_as_{names[target]}({value})"

    def load(self, buffer: str, index: str, dtype: dt.DType) -> str:
        """Read an element of a buffer as its compute type."""
        text = f"{buffer}[{index}]"
        if dtype is dt.bool_:
            return f"({text} != 0)"
        if dtype is dt.float16:
            return f"f32_from_f16_bits({text})"
        return f"f32_from_bf16_bits({text})" if dtype is dt.bfloat16 else text

    def store(self, buffer: str, index: str, value: str, dtype: dt.DType) -> str:
        """Write an element of a buffer."""
        if dtype is dt.float16:
            value = f"f16_bits_from_f32({value})"
        elif dtype is dt.bfloat16:
            value = f"bf16_bits_from_f32({value})"
        return f"{buffer}[{index}] = {value};"

    def uniform(self, word: int, kind: str) -> str:
        """Read a constant from the uniform words."""
        if kind in PARTS:
            parts = (self.uniform(word + k * self.words(PARTS[kind]), PARTS[kind]) for k in (0, 1))
            return f"{kind}_of({', '.join(parts)})"
        pair = f"((unsigned long long)u[{word}] | ((unsigned long long)u[{word + 1}] << 32))"
        return {
            U32: f"u[{word}]", BOOL: f"(u[{word}] != 0u)", I32: f"((int)u[{word}])",
            F32: f"__uint_as_float(u[{word}])",
            F64: f"__longlong_as_double((long long){pair})", I64: f"((long long){pair})", U64: pair,
        }[kind]  # fmt: skip

    def literal(self, value: Any, kind: str) -> str:
        """Write a number."""
        if kind == BOOL:
            return "true" if value else "false"
        if kind in PARTS:
            parts = (complex(value).real, complex(value).imag)
            return f"{kind}_of({', '.join(self.literal(part, PARTS[kind]) for part in parts)})"
        if kind in (F32, F64):
            tail = "f" if kind == F32 else ""
            wide = "" if kind == F32 else "_f64"
            if math.isinf(value):
                return f"{'-' if value < 0 else ''}inf{wide}()"
            return f"nan{wide}()" if math.isnan(value) else repr(float(value)) + tail
        if kind == I32:
            return "(-2147483647 - 1)" if value == -(2**31) else str(int(value))
        if kind == I64:
            return "(-9223372036854775807LL - 1)" if value == -(2**63) else f"{int(value)}LL"
        return f"{int(value)}{'u' if kind == U32 else 'ULL'}"

    def pair(self, x: str, y: str) -> str:
        """Write the complex number of two parts."""
        return f"paired({x}, {y})"

    def narrow(self, value: str, dtype: dt.DType) -> str:
        """Wrap a computed value to its dtype."""
        if dtype is dt.float16:
            return f"f32_from_f16_bits(f16_bits_from_f32({value}))"
        if dtype is dt.bfloat16:
            return f"f32_from_bf16_bits(bf16_bits_from_f32({value}))"
        return super().narrow(value, dtype)

    def choose(self, test: str, yes: str, no: str) -> str:
        """Write a choice between two values."""
        return f"({test} ? {yes} : {no})"

    def flag(self, buffer: str, at: int, value: str, kind: str, site: str) -> list[str]:
        """Write a value and the site in front of it, unless there is one."""
        high = f"(unsigned int)({value} >> 32)" if kind == U64 else "0u"
        return [
            f"if ({buffer}[0] == 0u) {{",
            f"  {buffer}[{at}] = (unsigned int){value};",
            f"  {buffer}[{at + 1}] = {high};",
            f"  {buffer}[0] = {site};",
            "}",
        ]

    def uniforms(self, buffers: int, words: int) -> str:
        """Declare the parameter of the uniform words, behind those of the buffers."""
        return ", const unsigned int* __restrict__ u"

    def module(
        self, bindings: list[Binding], shared: Sequence[str], size: int, body: list[str]
    ) -> str:
        """Write a whole translation unit."""
        parameters = [
            f"{'const ' if b.access == 'r' else ''}{STORED[b.dtype]}* __restrict__ {b.name}"
            for b in bindings
        ]
        text = f"main_kernel({', '.join(parameters)}{UNIFORMS}) {{\n"
        text += "".join(f"  {line}\n" for line in [*(s.strip() for s in shared), *body]) + "}\n"
        before = library.prelude("cuda", complex_too="c64" in text or "c128" in text)
        tensor = "tensor_product<" in text
        before += library.tensor_cores() if tensor else ""
        # registers for the threads that there are, not for the most there may be
        return f'{before}extern "C" __global__ void {"__launch_bounds__(WX) " * tensor}{text}'

    def shared(self, name: str, kind: str, size: int) -> str:
        """Declare shared memory."""
        return f"__shared__ {self.types[kind]} {name}[{size}];\n"

    def overrides(self, threads: int) -> tuple[tuple[str, float], ...]:
        """Name the number of threads in a block."""
        return (("WX", float(threads)),)

    barrier = "__syncthreads();"
    group_x, group_y, lane = "blockIdx.x", "blockIdx.y", "threadIdx.x"
