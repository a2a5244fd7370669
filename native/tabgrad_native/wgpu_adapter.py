"""Finds a WebGPU adapter and device with wgpu-py, and describes them."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

import wgpu

from tabgrad.core.errors import DeviceError
from tabgrad.hosts.commands import LIMITS, VERSION, Adapter, Hello

# wgpu-native's names of features, with WebGPU's names
_FEATURES = {
    "shader-f16": "shader-f16",
    "subgroup": "subgroups",
    "subgroups": "subgroups",
    "timestamp-query": "timestamp-query",
}


def request_adapter() -> wgpu.GPUAdapter:
    """Return the fastest adapter."""
    try:
        with _without_complaints():
            return wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    except RuntimeError as error:
        why = " ".join(str(error).split()).rstrip(" .")
        raise DeviceError(
            f"WebGPU found no adapter: {why}. Install a Vulkan driver (on Linux without a "
            "GPU: mesa-vulkan-drivers), or use device 'cpu'"
        ) from None


@contextlib.contextmanager
def _without_complaints() -> Iterator[None]:
    """Name a folder of the session, if there is none, while drivers look for a screen that is not needed.

    Without it they print `XDG_RUNTIME_DIR is invalid or not set`.
    """
    name = "XDG_RUNTIME_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = tempfile.gettempdir()
    try:
        yield
    finally:
        os.environ.pop(name, None)


def request_device(adapter: wgpu.GPUAdapter) -> wgpu.GPUDevice:
    """Request a device with all features and limits of the adapter that kernels use."""
    features = [name for name in _FEATURES if name in adapter.features]
    wanted = {
        name: adapter.limits[name]
        for name in (key.replace("_", "-") for key in LIMITS)
        if name in adapter.limits
    }
    try:
        return adapter.request_device_sync(required_features=features, required_limits=wanted)
    except RuntimeError:
        return adapter.request_device_sync(required_features=[], required_limits={})


def hello_of(adapter: wgpu.GPUAdapter, device: wgpu.GPUDevice) -> Hello:
    """Describe a device."""
    info = dict(adapter.info)
    limits = {
        key: int(device.limits.get(key.replace("_", "-"), default))
        for key, default in LIMITS.items()
    }
    features = {_FEATURES[name] for name in device.features if name in _FEATURES}
    described = Adapter(
        name=info.get("device") or info.get("description") or "unknown adapter",
        vendor=info.get("vendor", ""),
        architecture=info.get("architecture", ""),
        device=info.get("device", ""),
        description=info.get("description", ""),
        backend=info.get("backend_type", ""),
        software=info.get("adapter_type") == "CPU",
    )
    return Hello(VERSION, "wgsl", limits, frozenset(features), (), described)
