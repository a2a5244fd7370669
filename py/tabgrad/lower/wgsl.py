"""Printing kernels as WGSL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from tabgrad.core import dtype as dt
from tabgrad.lower import library
from tabgrad.lower.dialect import BOOL, C64, F32, FLAGS, FOURS, I32, U32, Binding, Dialect, Windowed
from tabgrad.lower.tokens import UNIFORMS

STORED = {dt.bool_: "u32", dt.uint8: "u32", dt.uint16: "u32", dt.int8: "i32", dt.int16: "i32",
          dt.uint32: "u32", dt.int32: "i32", dt.float16: "f16", dt.bfloat16: "f32",
          dt.float32: "f32", dt.complex64: "vec2<f32>", FLAGS: "atomic<u32>",
          FOURS[dt.float32]: "vec4<f32>", FOURS[dt.float16]: "vec4<f16>"}  # fmt: skip


class WGSL(Dialect):
    """The WebGPU shading language. Bools, narrow integers and bfloat16 lie in a 32-bit word each."""

    name = "wgsl"
    robust = True
    simplifies = True
    types: ClassVar[dict[str, str]] = {
        F32: "f32", I32: "i32", U32: "u32", BOOL: "bool", C64: "vec2<f32>",
    }  # fmt: skip

    def let(self, name: str, kind: str, value: str) -> str:
        """Declare a constant."""
        return f"let {name}: {self.types[kind]} = {value};"

    def var(self, name: str, kind: str, value: str) -> str:
        """Declare a variable."""
        return f"var {name}: {self.types[kind]} = {value};"

    def loop(self, name: str, start: str, stop: str, step: str) -> str:
        """Open a counting loop."""
        return f"for (var {name}: u32 = {start}; {name} < {stop}; {name} += {step}) {{"

    def convert(self, value: str, source: str, target: str) -> str:
        """Convert between compute types."""
        if source == target:
            return value
        if target == C64:
            return f"vec2<f32>({self.convert(value, source, F32)}, 0.0)"
        if source == C64:
            if target == BOOL:
                return f"any((bitcast<vec2<u32>>({value}) & vec2<u32>(0x7fffffffu)) != vec2<u32>())"
            return self.convert(f"{value}.x", F32, target)
        if target == BOOL:
            if source == F32:
                # on the bits: a nan is true, but an adapter may find it neither greater, less nor unequal
                return f"((bitcast<u32>({value}) & 0x7fffffffu) != 0u)"
            return f"({value} != {'0i' if source == I32 else '0u'})"
        return f"{target}_from_f32({value})" if source == F32 else f"{target}({value})"

    def bits(self, value: str, source: str, target: str) -> str:
        """Read the bits of a compute type as another's."""
        return value if source == target else f"bitcast<{self.types[target]}>({value})"

    def load(self, buffer: str, index: str, dtype: dt.DType) -> str:
        """Read an element of a buffer as its compute type."""
        text = f"{buffer}_at({index})" if isinstance(buffer, Windowed) else f"{buffer}[{index}]"
        if dtype is dt.bool_:
            return f"({text} != 0u)"
        return f"f32({text})" if dtype is dt.float16 else text

    def store(self, buffer: str, index: str, value: str, dtype: dt.DType) -> str:
        """Write an element of a buffer."""
        if dtype is dt.bool_:
            value = f"select(0u, 1u, {value})"
        elif dtype is dt.float16:
            value = f"f16({value})"
        elif dtype is dt.bfloat16:
            value = self.narrow(value, dtype)
        if isinstance(buffer, Windowed):
            return f"{buffer}_put({index}, {value});"
        return f"{buffer}[{index}] = {value};"

    def uniform(self, word: int, kind: str) -> str:
        """Read a constant from the uniform words."""
        text = f"u[{word // 4}].{'xyzw'[word % 4]}"
        if kind == C64:
            return f"vec2<f32>({self.uniform(word, F32)}, {self.uniform(word + 1, F32)})"
        return {
            U32: text,
            BOOL: f"({text} != 0u)",
            I32: f"bitcast<i32>({text})",
            F32: f"bitcast<f32>({text})",
        }[kind]

    def literal(self, value: Any, kind: str) -> str:
        """Write a number."""
        if kind == BOOL:
            return "true" if value else "false"
        if kind == C64:
            parts = complex(value)
            return f"vec2<f32>({self.literal(parts.real, F32)}, {self.literal(parts.imag, F32)})"
        if kind == F32:
            if math.isinf(value):
                return "inf()" if value > 0 else "(-inf())"
            return "nan()" if math.isnan(value) else repr(float(value)) + "f"
        if kind == I32:
            return "(-2147483647i - 1i)" if value == -(2**31) else f"{int(value)}i"
        return f"{int(value)}u"

    def pair(self, x: str, y: str) -> str:
        """Write the complex number of two parts."""
        return f"vec2<f32>({x}, {y})"

    def narrow(self, value: str, dtype: dt.DType) -> str:
        """Wrap a computed value to its dtype."""
        if dtype is dt.bfloat16:
            return f"f32_from_bf16_bits(bf16_bits_from_f32({value}))"
        return f"f32(f16({value}))" if dtype is dt.float16 else super().narrow(value, dtype)

    def choose(self, test: str, yes: str, no: str) -> str:
        """Write a choice between two values."""
        return f"select({no}, {yes}, {test})"

    def flag(self, buffer: str, at: int, value: str, kind: str, site: str) -> list[str]:
        """Write a value and the site in front of it, unless there is one."""
        return [
            f"if (atomicLoad(&{buffer}[0]) == 0u) {{",
            f"  atomicStore(&{buffer}[{at}], {value});",
            f"  atomicStore(&{buffer}[0], {site});",
            "}",
        ]

    def module(
        self, bindings: list[Binding], shared: Sequence[str], size: int, body: list[str]
    ) -> str:
        """Write a whole module; `body` holds the lines of main."""
        text = self.bindings(bindings) + "".join(shared)
        text += (
            f"@compute @workgroup_size({size})\n"
            "fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {\n"
        )
        text += "".join(f"  {line}\n" for line in body) + "}\n"
        return library.with_library(text)

    def bindings(self, bindings: list[Binding]) -> str:
        """Declare the buffers and the functions that access windows; then UNIFORMS."""
        text, i = "", 0
        for b in bindings:
            mode = "read" if b.access == "r" else "read_write"
            for name in [f"{b.name}{k}" for k in range(b.windows)] or [b.name]:
                text += (
                    f"@group(0) @binding({i}) var<storage, {mode}> {name}: "
                    f"array<{STORED[b.dtype]}>;\n"
                )
                i += 1
            if b.windows:
                text += reaching(b)
        return text[:-1] + UNIFORMS + "\n"

    def uniforms(self, buffers: int, words: int) -> str:
        """Declare the uniform words, behind `buffers` buffers."""
        return (
            f"\n@group(0) @binding({buffers}) var<uniform> u: array<vec4<u32>, {(words + 3) // 4}>;"
        )

    def shared(self, name: str, kind: str, size: int) -> str:
        """Declare workgroup memory."""
        stored = "u32" if kind == BOOL else self.types[kind]
        return f"var<workgroup> {name}: array<{stored}, {size}>;\n"

    def stored_bytes(self, dtype: dt.DType) -> int:
        """Count the bytes of an element: a word at least, but two bytes for float16."""
        return 2 if dtype is dt.float16 else max(dtype.itemsize, 4)

    def into_shared(self, value: str, kind: str) -> str:
        """Convert a bool to or from the word that holds it in shared memory."""
        return f"select(0u, 1u, {value})" if kind == BOOL else value

    def from_shared(self, value: str, kind: str) -> str:
        """Convert a bool to or from the word that holds it in shared memory."""
        return f"({value} != 0u)" if kind == BOOL else value

    widens = True
    windows = True
    float16 = "shader-f16"
    templates = True
    storage_barrier = "storageBarrier();"
    barrier = "workgroupBarrier();"
    group_x, group_y, lane = "wg.x", "wg.y", "lid.x"


def reaching(b: Binding) -> str:
    """Write the functions that read, and that write, one element of a buffer that is bound as windows."""
    stored = STORED[b.dtype]
    place = f"  let j = i - {b.base};\n" if b.base else "  let j = i;\n"

    def each(line: str) -> str:
        tests = [f"if (j < {(k + 1) * b.each}u) " for k in range(b.windows - 1)] + [""]
        turns = [
            f"{test}{{ {line.format(f'{b.name}{k}[j - {k * b.each}u]')} }}"
            for k, test in enumerate(tests)
        ]
        return place + "  " + " else ".join(turns) + "\n"

    text = f"fn {b.name}_at(i: u32) -> {stored} {{\n  var found: {stored};\n"
    text += f"{each('found = {};')}  return found;\n}}\n"
    if b.access == "w":
        text += f"fn {b.name}_put(i: u32, value: {stored}) {{\n{each('{} = value;')}}}\n"
    return text
