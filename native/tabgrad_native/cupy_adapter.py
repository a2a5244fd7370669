"""Describes a CUDA device, through CuPy."""

from typing import Any

from tabgrad.hosts.commands import LIMITS, TIMERS, VERSION, Adapter, Hello
from tabgrad_native.cupy_lists import ALIGN_WORDS
from tabgrad_native.cupy_routines import EPILOGUES, NAMES


def hello_of(cupy: Any, lt: Any = None) -> Hello:
    """Describe the current device; `lt` are the bindings of cuBLASLt, None where there are none."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    sizes = properties["maxThreadsDim"]
    # a size in a packet is one word
    largest = min(int(properties["totalGlobalMem"]), 2**32 - 4) & -4
    limits = {
        **LIMITS,
        "max_buffer_size": largest,
        "max_storage_buffer_binding_size": largest,
        # a kernel takes 4 KiB of arguments
        "max_storage_buffers_per_shader_stage": 128,
        "max_uniform_buffer_binding_size": 1 << 24,
        "max_compute_workgroup_size_x": int(sizes[0]),
        "max_compute_workgroup_size_y": int(sizes[1]),
        "max_compute_workgroup_size_z": int(sizes[2]),
        "max_compute_invocations_per_workgroup": int(properties["maxThreadsPerBlock"]),
        "max_compute_workgroup_storage_size": int(properties["sharedMemPerBlock"]),
        "min_uniform_buffer_offset_alignment": 4 * ALIGN_WORDS,
    }
    adapter = Adapter(
        name=properties["name"].decode(),
        vendor="nvidia",
        architecture=f"sm_{properties['major']}{properties['minor']}",
        backend="cuda",
    )
    features = {"shader-f16", "shader-f64", "subgroups", TIMERS}
    if properties["major"] >= 8:
        # what `shaders/lib/tensor.cu` needs: bfloat16, tf32, and copies to shared memory in the background
        features.add("tensor-cores")
    return Hello(VERSION, "cuda", limits, frozenset(features), EPILOGUES if lt else NAMES, adapter)
