"""Run one compute shader over NumPy arrays through wgpu-py, with nothing of tabgrad in between."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import wgpu


@functools.cache
def device() -> wgpu.GPUDevice:
    adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    wanted = ("max-storage-buffers-per-shader-stage", "max-compute-workgroup-storage-size")
    return adapter.request_device_sync(
        required_features=[name for name in ("subgroup",) if name in adapter.features],
        required_limits={name: adapter.limits[name] for name in wanted},
    )


@functools.lru_cache(maxsize=256)
def pipeline(
    source: str, overrides: tuple[tuple[str, float], ...], bindings: str
) -> wgpu.GPUComputePipeline:
    kinds = {"r": "read-only-storage", "w": "storage", "u": "uniform"}
    entries = [
        {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": kinds[letter]}}
        for i, letter in enumerate(bindings)
    ]
    layout = device().create_pipeline_layout(
        bind_group_layouts=[device().create_bind_group_layout(entries=entries)]
    )
    # wgpu's compiler knows the functions of subgroups, but not yet the directive WGSL wants.
    module = device().create_shader_module(code=source.replace("enable subgroups;\n", ""))
    compute = {"module": module, "entry_point": "main", "constants": dict(overrides)}
    return device().create_compute_pipeline(layout=layout, compute=compute)


def buffer(data: np.ndarray, uniform: bool = False) -> wgpu.GPUBuffer:
    raw = np.ascontiguousarray(data).tobytes()
    usage = wgpu.BufferUsage.UNIFORM if uniform else wgpu.BufferUsage.STORAGE
    usage |= wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
    return device().create_buffer_with_data(data=raw + bytes(-len(raw) % 16), usage=usage)


class Program:
    """A sequence of dispatches over named arrays."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)
        self.buffers = {name: buffer(data) for name, data in arrays.items()}

    def dispatch(
        self,
        source: str,
        groups: Sequence[int],
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        uniform: Sequence[int] = (),
        overrides: Mapping[str, float] | None = None,
    ) -> None:
        letters = "r" * len(reads) + "w" * len(writes) + "u" * bool(uniform)
        program = pipeline(source, tuple((overrides or {}).items()), letters)
        bound = [self.buffers[name] for name in (*reads, *writes)]
        if uniform:
            bound.append(buffer(np.array(uniform, np.uint32), uniform=True))
        entries = [
            {"binding": i, "resource": {"buffer": b, "offset": 0, "size": b.size}}
            for i, b in enumerate(bound)
        ]
        group = device().create_bind_group(layout=program.get_bind_group_layout(0), entries=entries)
        encoder = device().create_command_encoder()
        one_pass = encoder.begin_compute_pass()
        one_pass.set_pipeline(program)
        one_pass.set_bind_group(0, group)
        one_pass.dispatch_workgroups(*groups)
        one_pass.end()
        device().queue.submit([encoder.finish()])

    def read(self, name: str) -> np.ndarray:
        like = self.arrays[name]
        raw = device().queue.read_buffer(self.buffers[name])
        return np.frombuffer(raw, like.dtype, count=like.size).reshape(like.shape)


SCALARS = {
    "f32": np.float32,
    "i32": np.int32,
    "u32": np.uint32,
    "bool": np.uint32,
    "vec2f": np.complex64,
}


def mapping(
    prelude: str, name: str, inputs: Sequence[np.ndarray], result: str
) -> tuple[str, list[np.ndarray], int]:
    """Return a module that applies the scalar function `name`, arrays padded for it, and their size."""
    letters = {np.dtype(t): letter for letter, t in SCALARS.items() if letter != "bool"}
    types = [letters[array.dtype] for array in inputs]
    stored = "u32" if result == "bool" else result
    declared = "".join(
        f"@group(0) @binding({i}) var<storage, read> in{i}: array<{t}>;\n"
        for i, t in enumerate(types)
    )
    arguments = ", ".join(f"in{i}[i]" for i in range(len(types)))
    source = f"""{prelude}{declared}
@group(0) @binding({len(types)}) var<storage, read_write> out: array<{stored}>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {{
  let i = gid.x;
  if (i < arrayLength(&out)) {{ out[i] = {stored}({name}({arguments})); }}
}}
"""
    size = inputs[0].size
    return source, [np.concatenate([a, np.repeat(a[:1], -size % 64)]) for a in inputs], size


def map_function(prelude: str, name: str, inputs: Sequence[np.ndarray], result: str) -> np.ndarray:
    """Apply the WGSL scalar function `name` to arrays of equal length."""
    source, padded, size = mapping(prelude, name, inputs, result)
    arrays = {f"in{i}": array for i, array in enumerate(padded)}
    program = Program({**arrays, "out": np.zeros(padded[0].size, SCALARS[result])})
    program.dispatch(source, (padded[0].size // 64, 1, 1), list(arrays), ["out"])
    return program.read("out")[:size]
