"""CUDA devices, by PyTorch's names; under the alias `torch` they speak of whichever accelerator there is."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tabgrad import accelerator
from tabgrad.core.errors import DeviceError, OutOfMemoryError as OutOfMemoryError
from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.cuda import amp as amp
from tabgrad.cuda.graphs import (
    CUDAGraph as CUDAGraph,
    graph as graph,
    graph_pool_handle as graph_pool_handle,
    is_current_stream_capturing as is_current_stream_capturing,
    make_graphed_callables as make_graphed_callables,
)  # fmt: skip
from tabgrad.cuda.streams import (
    Event as Event,
    Stream as Stream,
    StreamContext as StreamContext,
    current_stream as current_stream,
    default_stream as default_stream,
    stream as stream,
)  # fmt: skip
from tabgrad.hosts.devices import device as _device, is_available as _has
from tabgrad.tensor import generator
from tabgrad.tensor.conversion import tensor_type as _tensor_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tabgrad.tensor.types import DeviceLike


def is_available() -> bool:
    """Whether a CUDA device is available; this may connect to it.

    >>> import tabgrad as tg
    >>> device = "cuda" if tg.cuda.is_available() else "cpu"
    """
    return _has("cuda")


def device_count() -> int:
    """Return the number of available CUDA devices, 0 or 1."""
    return int(is_available())


def current_device() -> int:
    """Return the index of the CUDA device."""
    return 0


def set_device(device: DeviceLike | int) -> None:
    """Choose the CUDA device that is used: there is one, so its index is 0, or negative for no change.

    >>> import tabgrad as tg
    >>> tg.cuda.set_device(0)
    """
    index = device if isinstance(device, int) else _device(device).index or 0
    if index > 0:
        raise DeviceError(f"set_device: there is one device, of index 0; got {index}")


def device(device: DeviceLike | int | None) -> Any:
    """Return a context in which an index means this CUDA device: there is one, so nothing changes."""
    if device is not None:
        set_device(device)
    return nullcontext()


def is_initialized() -> bool:
    """Whether a CUDA device is available: it is ready when it is asked for."""
    return is_available()


def init() -> None:
    """Do nothing: the device connects when it is first used."""


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the device has bfloat16.

    >>> import tabgrad as tg
    >>> tg.cuda.is_bf16_supported() <= tg.cuda.is_available()
    True
    """
    return is_available() and _device("cuda").type == "cuda"


@dataclass(frozen=True)
class DeviceProperties:
    """What a program asks of a device: its name and memory, and a version of CUDA that it has not."""

    name: str
    total_memory: int
    major: int = 0
    minor: int = 0
    multi_processor_count: int = 1


def get_device_properties(device: DeviceLike | int | None = None) -> DeviceProperties:
    """Return what is known of the device; `total_memory` is its largest buffer where it tells no more."""
    pool = accelerator._pool("cuda")
    return DeviceProperties(get_device_name(), 0 if pool is None else int(pool.most or 0))


def get_device_capability(device: DeviceLike | int | None = None) -> tuple[int, int]:
    """Return the version of CUDA's instructions, (0, 0) where that is not known."""
    found = get_device_properties(device)
    return found.major, found.minor


def get_device_name(device: DeviceLike | int | None = None) -> str:
    """Return the name of the CUDA device."""
    recorder = _device("cuda").recorder
    assert recorder is not None
    return str(recorder.host.hello.adapter.name)


def get_rng_state(device: DeviceLike | int = "cuda") -> Any:
    """Return the state of the default generator, which all devices share."""
    return generator.get_rng_state()


def set_rng_state(new_state: Any, device: DeviceLike | int = "cuda") -> None:
    """Set the state of the default generator, which all devices share."""
    generator.set_rng_state(new_state)


def get_rng_state_all() -> list[Any]:
    """Return the state of the default generator for each device."""
    return [get_rng_state() for _ in range(device_count())]


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Set the state of the default generator, which all devices share, to the last of these."""
    for state in new_states:
        set_rng_state(state)


def seed() -> None:
    """Seed the default generator, which all devices share, with a number that nobody chose."""
    generator.seed()


seed_all = seed


def initial_seed() -> int:
    """Return the seed of the default generator."""
    return generator.initial_seed()


def synchronize(device: DeviceLike | None = None) -> None:
    """Wait until the CUDA device has finished all work."""
    _device("cuda" if device is None else device).backend.synchronize()


def manual_seed(seed: int) -> None:
    """Seed the default generator, which all devices share."""
    generator.manual_seed(seed)


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Release the unused buffers that are kept for later tensors, if the device is available."""
    if _has("cuda"):
        accelerator.empty_cache("cuda")


def memory_allocated(device: DeviceLike | None = None) -> int:
    """Return the bytes of buffers that tensors use."""
    return accelerator.memory_allocated("cuda" if device is None else device)


def mem_get_info(device: DeviceLike | int | None = None) -> tuple[int, int]:
    """Return the free and the total bytes of the device: what `set_memory_limit` leaves, where it was called.

    Else the total is that of `get_device_properties`. Raises DeviceError where the device tells neither.
    """
    pool = accelerator._pool("cuda")
    total = 0 if pool is None else int(pool.limit or pool.most or 0)
    if not total:
        raise DeviceError(
            "mem_get_info: the device does not tell how much memory it has; set a limit with "
            "accelerator.set_memory_limit"
        )
    assert pool is not None
    return max(0, total - int(pool.live_bytes)), total


def max_memory_allocated(device: DeviceLike | None = None) -> int:
    """Return the peak of the bytes in use."""
    return accelerator.max_memory_allocated("cuda" if device is None else device)


def memory_reserved(device: DeviceLike | None = None) -> int:
    """Return the bytes of all buffers, in use or kept for later tensors."""
    return accelerator.memory_reserved("cuda" if device is None else device)


def max_memory_reserved(device: DeviceLike | None = None) -> int:
    """Return the bytes of all buffers on the device now: no peak of them is kept."""
    return memory_reserved(device)


def reset_peak_memory_stats(device: DeviceLike | None = None) -> None:
    """Reset the peak of the bytes in use to the bytes in use now."""
    if _has("cuda"):
        accelerator.reset_peak_memory_stats("cuda")


reset_max_memory_allocated = reset_peak_memory_stats


def ipc_collect() -> None:
    """Do nothing: no memory is shared between processes."""


def memory_summary(device: DeviceLike | None = None, abbreviated: bool = False) -> str:
    """Describe the memory use of the device, in lines of text; there is one length of it."""
    return accelerator.memory_summary("cuda" if device is None else device)


BFloat16Tensor, BoolTensor = (
    _tensor_type(n, __name__, "cuda") for n in ("BFloat16Tensor", "BoolTensor")
)
ByteTensor, CharTensor = (_tensor_type(n, __name__, "cuda") for n in ("ByteTensor", "CharTensor"))
DoubleTensor, FloatTensor = (
    _tensor_type(n, __name__, "cuda") for n in ("DoubleTensor", "FloatTensor")
)
HalfTensor, IntTensor = (_tensor_type(n, __name__, "cuda") for n in ("HalfTensor", "IntTensor"))
LongTensor, ShortTensor = (_tensor_type(n, __name__, "cuda") for n in ("LongTensor", "ShortTensor"))

if not TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
