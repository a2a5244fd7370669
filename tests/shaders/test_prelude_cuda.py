"""The CUDA prelude compiles, and has the public functions of the library, same signatures."""

from __future__ import annotations

import ctypes
import importlib.metadata
import pathlib

import pytest

from tabgrad.lower import library
from tests.shaders.test_lib import FUNCTIONS, parameters

CUDA_TYPES = {
    "f32": "float",
    "i32": "int",
    "u32": "unsigned",
    "bool": "bool",
    "vec2u": "uint2",
    "vec2f": "c64",
}
PRELUDE = library.prelude("cuda", complex_too=True)
PUBLIC = sorted(name for name, f in FUNCTIONS.items() if "internal" not in f.front_matter.tags)


def nvrtc() -> ctypes.CDLL:
    files = importlib.metadata.files("nvidia-cuda-nvrtc") or []
    paths = [pathlib.Path(str(f.locate())) for f in files if f.name.startswith("libnvrtc.so")]
    assert paths, "the package nvidia-cuda-nvrtc must be installed: it is a development dependency"
    return ctypes.CDLL(str(paths[0]))


def compile_cuda(source: str) -> bytes:
    """Compile to machine code; raise AssertionError with the log if that fails."""
    compiler, program = nvrtc(), ctypes.c_void_p()
    assert (
        compiler.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), b"prelude.cu", 0, None, None
        )
        == 0
    )
    options = [b"--gpu-architecture=sm_80", b"--std=c++17"]
    status = compiler.nvrtcCompileProgram(
        program, len(options), (ctypes.c_char_p * len(options))(*options)
    )
    size = ctypes.c_size_t()
    compiler.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    compiler.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    compiler.nvrtcGetCUBINSize(program, ctypes.byref(size))
    binary = ctypes.create_string_buffer(size.value)
    compiler.nvrtcGetCUBIN(program, binary)
    compiler.nvrtcDestroyProgram(ctypes.byref(program))
    return binary.raw


def caller(name: str, wide: bool = False) -> str:
    """A kernel that calls `name`, or its f64 twin, and compiles only if it has the right type."""
    kinds, result = parameters(name)
    doubled = {**CUDA_TYPES, "f32": "double", "u32": "unsigned long long", "vec2f": "c128"}
    types = doubled if wide else CUDA_TYPES
    name = name.replace("_f32", "_f64").replace("_c64", "_c128") if wide else name
    declared = "".join(f"const {types[kind]}* a{i}, " for i, (_, kind) in enumerate(kinds))
    call = f"{name}({', '.join(f'a{i}[0]' for i in range(len(kinds)))})"
    return f"""extern "C" __global__ void call_{name}({declared}{types[result]}* out) {{
  static_assert(same<decltype({call}), {types[result]}>::value, "{name}");
  out[0] = {call};
}}
"""


SAME = """template <typename A, typename B> struct same { static const bool value = false; };
template <typename A> struct same<A, A> { static const bool value = true; };
"""


@pytest.mark.nvrtc
def test_every_public_function_exists_in_cuda_with_the_same_signature() -> None:
    source = PRELUDE + SAME + "".join(caller(name) for name in PUBLIC)
    binary = compile_cuda(source)
    assert all(f"call_{name}".encode() in binary for name in PUBLIC)


@pytest.mark.nvrtc
def test_functions_of_f32_have_f64_twins_in_cuda() -> None:
    kinds = ("_f32", "_c64")
    names = [name for name in PUBLIC if name.endswith(kinds) and "_from_" not in name]
    source = PRELUDE + SAME + "".join(caller(name, wide=True) for name in names)
    binary = compile_cuda(source)
    for name in names:
        twin = name.replace("_f32", "_f64").replace("_c64", "_c128")
        assert f"call_{twin}".encode() in binary
