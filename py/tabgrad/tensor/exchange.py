"""Tensors and the arrays of other libraries: DLPack, and the namespace of the array API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.lazy_numpy import np
from tabgrad.hosts.devices import device as device_of
from tabgrad.tensor.aliasing import refreshed
from tabgrad.tensor.conversion import convert
from tabgrad.tensor.memory import array_of, tensor_of

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import DeviceLike

CPU = (1, 0)
"""The device type and index of the CPU in DLPack."""
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")


class _Capsule:
    """A capsule of DLPack as an array that hands it over; it doesn't say where its memory is: the CPU."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU


def from_dlpack(
    ext_tensor: Any, *, device: DeviceLike | None = None, copy: bool | None = None
) -> Tensor:
    """Return a tensor of the elements of another library's array, which shares memory with it on the CPU.

    The array must be on the CPU; the tensor is there, or on `device`. With `copy` it has memory of its own;
    with copy=False a move to another device raises BufferError.

    >>> import numpy as np, tabgrad as tg
    >>> a = np.zeros(2)
    >>> x = tg.from_dlpack(a)
    >>> a[0] = 1
    >>> x
    tensor([1., 0.], dtype=tabgrad.float64)
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Capsule(ext_tensor)
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(
            f"from_dlpack: expected an array with __dlpack__, got {type(ext_tensor).__name__}"
        )
    where = None if device is None else device_of(device)
    if hasattr(ext_tensor, "spec"):
        own: Any = ext_tensor.detach()
        return convert(own, None, where, bool(copy))
    kind = ext_tensor.__dlpack_device__()[0]
    if kind != CPU[0]:
        raise BufferError(
            f"from_dlpack: the array is on a device of DLPack's type {int(kind)}; copy it to the CPU first"
        )
    array = np.from_dlpack(ext_tensor)
    found = None if copy else tensor_of(array)
    if found is None:
        found = tensor_of(np.array(array))
    if found is None:
        raise BufferError(f"from_dlpack: there is no dtype for {array.dtype}")
    if where is not None and where.type != "cpu":
        if copy is False:
            raise BufferError(f"from_dlpack: an array can't be moved to {where} without a copy")
        return convert(found, None, where, False)
    return found


def to_device(self: Tensor, device: DeviceLike, /, *, stream: Any = None) -> Tensor:
    """Return the tensor on a device, itself if it is there. There are no streams to wait for."""
    if stream is not None:
        raise ValueError("to_device: devices here have no streams; leave stream=None")
    return convert(self, None, device_of(device), False)


def dlpack(
    self: Tensor, *, stream: Any = None, max_version: tuple[int, int] | None = None,
    dl_device: tuple[Any, int] | None = None, copy: bool | None = None,
) -> Any:  # fmt: skip
    """Return a capsule of the tensor's memory for another library. Raises BufferError where none can be."""
    x = refreshed(self)
    if x.tracked:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if x.device.type != "cpu":
        raise BufferError(f"__dlpack__: memory on {x.device} is not there for others; use .cpu()")
    if x.spec.dtype is dt.bfloat16:
        raise BufferError(
            "__dlpack__: NumPy, which makes the capsule, has no bfloat16; use .float()"
        )
    given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    return array_of(x).__dlpack__(**{k: v for k, v in given.items() if v is not None})


def to_dlpack(tensor: Tensor) -> Any:
    """Return the capsule of DLPack that stands for a tensor on the CPU; it can be taken once.

    >>> import tabgrad as tg
    >>> from tabgrad.utils.dlpack import from_dlpack, to_dlpack
    >>> from_dlpack(to_dlpack(tg.ones(2, device="cpu")))
    tensor([1., 1.])
    """
    return dlpack(tensor)


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """Return DLPack's type and index of the device."""
    if self.device.type != "cpu":
        raise BufferError(f"__dlpack_device__: {self.device} is no device of DLPack's; use .cpu()")
    return CPU


def array_namespace(self: Tensor, *, api_version: str | None = None) -> Any:
    """Return the module with the functions of the array API standard."""
    if api_version is not None and api_version not in VERSIONS:
        raise ValueError(
            f"Unsupported array API version: {api_version!r}; there are {', '.join(VERSIONS)}"
        )
    return import_module("tabgrad.array_api")


class ExchangeMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    __array_namespace__ = array_namespace
    __dlpack__ = dlpack
    __dlpack_device__ = dlpack_device
    to_device = to_device


__all__ = ["from_dlpack", "to_dlpack"]
