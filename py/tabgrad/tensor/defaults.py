"""PyTorch's older switches of the whole program, and questions about where a tensor is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import set_default_dtype
from tabgrad.core.errors import DeviceError, DTypeError
from tabgrad.core.settings import setting
from tabgrad.hosts.devices import device as device_of, is_accelerator, set_default_device
from tabgrad.tensor.conversion import TensorType, type_of
from tabgrad.tensor.layout import contiguous_format as legacy_contiguous_format
from tabgrad.tensor.public import publish

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import DeviceLike


@setting
class _Warnings:
    always = False


def set_warn_always(b: bool, /) -> None:
    """Remember whether warnings are to come every time; Python's filters decide about all of them."""
    if not isinstance(b, bool):
        raise TypeError(f"set_warn_always expects a bool, but got {type(b).__name__}")
    _Warnings.always = b


def is_warn_always_enabled() -> bool:
    """Return what `set_warn_always` was last told.

    >>> import tabgrad as tg
    >>> tg.is_warn_always_enabled()
    False
    """
    return _Warnings.always


def set_default_tensor_type(t: TensorType | str, /) -> None:
    """Set the default dtype, and for a type of CUDA tensors the default device; PyTorch's older way.

    >>> import tabgrad as tg
    >>> tg.set_default_tensor_type(tg.DoubleTensor)
    >>> tg.zeros(1).dtype
    tabgrad.float64
    >>> tg.set_default_tensor_type("tabgrad.FloatTensor")
    """
    found = type_of(t)
    if not found.dtype.is_floating_point:
        raise DTypeError(
            "only floating-point types are supported as the default type, got "
            f"{getattr(t, '__name__', t)}"
        )
    set_default_device(found.place or "cpu")
    set_default_dtype(found.dtype)


def get_device(tensor: Tensor, /) -> int:
    """Return the index of the tensor's device, -1 for the CPU.

    >>> import tabgrad as tg
    >>> tg.get_device(tg.zeros(1, device="cpu"))
    -1
    """
    return tensor.get_device()


def get_device_module(device: DeviceLike | None = None) -> Any:
    """Return the module of a type of device, `cuda` or `cpu`; without a device that of the accelerator.

    >>> import tabgrad as tg
    >>> tg.get_device_module("cpu").__name__
    'tabgrad.cpu'
    """
    if device is None:
        found = import_module("tabgrad.accelerator").current_accelerator() or device_of("cpu")
    else:
        found = device_of(device)
    if found.type == "cpu":
        return import_module("tabgrad.cpu")
    if is_accelerator(found):
        return import_module("tabgrad.cuda")
    raise DeviceError(f"get_device_module: there is no module for devices of type {found.type!r}")


__all__ = [
    "get_device", "get_device_module", "is_warn_always_enabled", "legacy_contiguous_format",
    "set_default_tensor_type", "set_warn_always",
]  # fmt: skip

publish(globals())
