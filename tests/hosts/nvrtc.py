"""Compiling CUDA C with NVRTC, which needs no GPU."""

from __future__ import annotations

import ctypes
import importlib.metadata
import pathlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any


@cache
def _library() -> ctypes.CDLL:
    files = importlib.metadata.files("nvidia-cuda-nvrtc") or []
    paths = [
        pathlib.Path(str(file.locate())) for file in files if file.name.startswith("libnvrtc.so")
    ]
    assert paths, "the package nvidia-cuda-nvrtc must be installed: it is a development dependency"
    return ctypes.CDLL(str(paths[0]))


def compile_cuda(
    source: str,
    defines: Mapping[str, float] | Sequence[tuple[str, float]] | None = None,
    architecture: str = "compute_90",
) -> bytes:
    """Compile as the CUDA host does and return the PTX; raise AssertionError with the log."""
    return _compiled(source, defines, architecture, "PTX")


def machine_code(
    source: str, defines: Mapping[str, float] | Sequence[tuple[str, float]], architecture: str
) -> bytes:
    """Compile to the machine code of an architecture, such as sm_80."""
    return _compiled(source, defines, architecture, "CUBIN")


def _compiled(source: str, defines: Any, architecture: str, what: str) -> bytes:
    library, program = _library(), ctypes.c_void_p()
    options = [f"--gpu-architecture={architecture}", "--std=c++17"]
    for name, value in dict(defines or {}).items():
        text = str(int(value)) if value == int(value) else repr(value)
        options.append(f"-D{name}=({text})")
    encoded = [option.encode() for option in options]
    status = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None
    )
    assert status == 0, f"nvrtcCreateProgram: status {status}"
    try:
        status = library.nvrtcCompileProgram(
            program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded)
        )
        log = _text(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program)
        assert status == 0, f"NVRTC status {status}:\n{log.decode()}"
        size, get = getattr(library, f"nvrtcGet{what}Size"), getattr(library, f"nvrtcGet{what}")
        found = _text(size, get, program)
        return found.rstrip(b"\0") if what == "PTX" else found
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _text(size_of: object, get: object, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    assert size_of(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert get(program, text) == 0
    return text.raw
