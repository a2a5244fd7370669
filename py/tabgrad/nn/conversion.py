"""The methods of Module that move and cast all of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import tabgrad as tg
from tabgrad.nn.parameter import Parameter

if TYPE_CHECKING:
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


class Convertible:
    """Moves and casts a module; its parameters stay the same objects, so optimizers keep working."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]

    def children(self) -> Iterator[Convertible]:
        """Yield the direct submodules."""
        raise NotImplementedError(f"{type(self).__name__} is no Module")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace every tensor by what `fn` makes of it; a submodule may replace its own `_apply`."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        for param in self._parameters.values():
            if param is None:
                continue
            grad = param.grad
            param.data = fn(param.data)
            if grad is not None:
                param.grad = fn(grad.data).requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move parameters and buffers to a device, cast the floating-point ones to a dtype, or both.

        `to(device)`, `to(dtype)`, `to(device, dtype)`, `to(tensor)`. The parameters stay the same objects.
        """
        device, dtype = _destination(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got {dtype}"
            )

        def move(t: Tensor) -> Tensor:
            cast_it = dtype is not None and (t.is_floating_point() or t.is_complex())
            return t.to(device or t.device, dtype if cast_it else t.dtype)

        return self._apply(move)

    def type(self, dst_type: tg.dtype) -> Self:
        """Cast every parameter and buffer to `dst_type`."""
        return self._apply(lambda t: t.to(dst_type))

    def _float_to(self, dtype: tg.dtype) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> Self:
        """Cast the floating-point parameters and buffers to float32."""
        return self._float_to(tg.float32)

    def double(self) -> Self:
        """Cast the floating-point parameters and buffers to float64."""
        return self._float_to(tg.float64)

    def half(self) -> Self:
        """Cast the floating-point parameters and buffers to float16."""
        return self._float_to(tg.float16)

    def bfloat16(self) -> Self:
        """Cast the floating-point parameters and buffers to bfloat16."""
        return self._float_to(tg.bfloat16)

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: int | None = None) -> Self:
        """Move parameters and buffers to a CUDA device."""
        return self.to(tg.device("cuda", device))

    def share_memory(self) -> Self:
        """Move parameters and buffers to memory that other processes can have: `Tensor.share_memory_`."""
        return self._apply(lambda t: t.share_memory_())

    def to_empty(self, *, device: DeviceLike | None, recurse: bool = True) -> Self:
        """Move parameters and buffers to a device without their values."""
        return self._apply(lambda t: tg.empty_like(t, device=device), recurse)


def _destination(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    for a in args:
        if isinstance(a, Tensor):
            device, dtype = a.device, a.dtype
        elif isinstance(a, tg.dtype):
            dtype = a
        elif a is not None and not isinstance(a, bool):
            device = a
    return None if device is None else tg.device(device).place, dtype
