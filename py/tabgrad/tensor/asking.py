"""Names of types, equal shapes, the order of dims in memory, numbers of threads."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.settings import setting
from tabgrad.core.shape import Size
from tabgrad.core.trace import Box
from tabgrad.tensor.layout import channels_last, memory_format
from tabgrad.tensor.public import publish

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


@setting
class _Threads:
    wanted = 0
    between_ops = 0


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have one shape.

    >>> import tabgrad as tg
    >>> tg.is_same_size(tg.zeros(2, device="cpu"), tg.ones(2, device="cpu"))
    True
    """
    return input.spec.shape == other.spec.shape


def typename(obj: Any, /) -> str:
    """Return the name of the type of `obj` with its module; of a tensor the name for its dtype and device.

    >>> import tabgrad as tg
    >>> tg.typename(3), tg.typename(tg.nn.ReLU())
    ('int', 'tabgrad.nn.activation.ReLU')
    """
    if isinstance(obj, Box):
        return str(obj.type())  # type: ignore[attr-defined]
    kind = obj if isinstance(obj, type) else type(obj)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def get_num_threads() -> int:
    """Return the number that `set_num_threads` was told, at first that of the processors."""
    return _Threads.wanted or os.cpu_count() or 1


def set_num_threads(num: int) -> None:
    """Remember a number of threads. NumPy decides by itself how many its products take.

    >>> import tabgrad as tg
    >>> tg.set_num_threads(2)
    >>> tg.get_num_threads()
    2
    """
    if not hasattr(num, "__index__") or isinstance(num, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num < 1:
        raise ArgumentError(f"set_num_threads expects a positive integer, got {num}")
    _Threads.wanted = num.__index__()


def get_num_interop_threads() -> int:
    """Return the number that `set_num_interop_threads` was told, at first that of the processors."""
    return _Threads.between_ops or os.cpu_count() or 1


def set_num_interop_threads(num: int) -> None:
    """Remember a number of threads. Ops of one thread run one after the other, so it changes nothing."""
    if not hasattr(num, "__index__") or isinstance(num, bool):
        raise TypeError(f"set_num_interop_threads expects an int, but got {type(num).__name__}")
    if num < 1:
        raise ArgumentError(f"set_num_interop_threads expects a positive integer, got {num}")
    _Threads.between_ops = num.__index__()


def set_flush_denormal(mode: bool) -> bool:
    """Return False: whether subnormal numbers count as zero is for NumPy, or for a driver, to say.

    >>> import tabgrad as tg
    >>> tg.set_flush_denormal(True)
    False
    """
    return False


def _order(x: Any) -> tuple[int, ...]:
    """Return the dims from the farthest neighbours in memory to the nearest; one without a stride stays."""
    sizes, strides = tuple(x.shape), tuple(x.stride())
    rank = len(sizes)
    plain = x.is_contiguous()
    images = rank == 4 and 0 not in sizes and x.is_contiguous(memory_format=channels_last)
    if plain != images:
        return tuple(range(rank)) if plain else (0, 2, 3, 1)
    # from the nearest to the farthest, as if the tensor were in row-major order at first
    order = list(reversed(range(rank)))
    for start in range(1, rank):
        at = start
        for other in reversed(range(start)):
            near, far = ((strides[d], sizes[d]) for d in (order[other], order[at]))
            if near[0] and far[0]:
                if near > far:
                    order[other], order[at] = order[at], order[other]
                    at = other
                elif near[0] < far[0]:
                    break
    return tuple(reversed(order))


class AskingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    is_same_size = is_same_size

    @property
    def is_meta(self: Any) -> bool:
        """Whether the tensor has a shape and no values: it is on the device meta."""
        return bool(self.device.type == "meta")

    @property
    def is_nested(self: Any) -> bool:
        """Whether the tensor is one of tensors of several shapes: none is."""
        return False

    @property
    def is_quantized(self: Any) -> bool:
        """Whether the values are integers with a scale: no tensor's are."""
        return False

    def is_pinned(self: Any, device: Any = None) -> bool:
        """Return whether the values lie in memory that a GPU copies from directly: they don't."""
        return False

    def is_set_to(self: Any, tensor: Tensor) -> bool:
        """Return whether two tensors are the same part of the same memory, read in the same order.

        >>> import tabgrad as tg
        >>> x = tg.zeros(4, device="cpu")
        >>> x.is_set_to(x.view(4)), x.is_set_to(x.view(2, 2))
        (True, False)
        """
        if not isinstance(tensor, Box):
            raise TypeError(
                f"is_set_to(): argument 'tensor' must be Tensor, not {type(tensor).__name__}"
            )
        other: Any = tensor
        mine, its = ((x.dtype, x.shape, x.stride()) for x in (self, other))
        return mine == its and bool(self.data_ptr() == other.data_ptr())

    def const_data_ptr(self: Any) -> int:
        """Return `data_ptr()`, for a reader."""
        return int(self.data_ptr())

    def dim_order(self: Any, *, ambiguity_check: bool | list[Any] = False) -> tuple[int, ...]:
        """Return the dims from the one with the farthest neighbours in memory to that with the nearest.

        With `ambiguity_check` an order that is not the only one raises: there are dims of size 1, or with
        the strides of others. A list of memory formats allows that where the tensor has one of them.

        >>> import tabgrad as tg
        >>> tg.zeros(2, 3, device="cpu").t().dim_order()
        (1, 0)
        """
        formats = ambiguity_check if isinstance(ambiguity_check, list) else []
        if not isinstance(ambiguity_check, bool | list) or not all(
            isinstance(one, memory_format) for one in formats
        ):
            raise TypeError(
                "The ambiguity_check argument must be a bool or a list of memory formats."
            )
        sizes, strides = tuple(self.shape), tuple(self.stride())
        equal = any(n == m for n, m in pairwise(strides)) or 1 in sizes
        fitting = sum(self.is_contiguous(memory_format=one) for one in formats)
        if ambiguity_check and ((equal and fitting != 1) or 0 in strides):
            raise ShapeError(
                "The tensor does not have unique dim order, or cannot map to exact one of the given memory "
                f"formats: sizes {sizes}, strides {strides}"
            )
        return _order(self)

    def as_subclass(self: Any, cls: type[Any]) -> Any:
        """Return the tensor as one of a subclass of Tensor, with its history and its memory.

        >>> import tabgrad as tg
        >>> type(tg.ones(2, device="cpu").as_subclass(tg.nn.Parameter)).__name__
        'Parameter'
        """
        if not isinstance(cls, type) or not issubclass(cls, Box):
            raise TypeError(f"as_subclass(): cls must be a subclass of Tensor, got {cls!r}")
        found = self.view_as(self)
        found.__class__ = cls
        return found

    def new(self: Any, *args: Any, device: Any = None) -> Tensor:
        """Make a tensor of the same dtype and device: with these sizes, this data, or a view of a tensor.

        >>> import tabgrad as tg
        >>> tg.ones(2, device="cpu").new([3, 4])
        tensor([3., 4.])
        """
        if not args:
            args = (0,)
        data = args[0] if len(args) == 1 else args
        if isinstance(data, Box):
            other: Any = data
            if other.dtype is not self.dtype:
                raise TypeError(f"expected {self.type()} (got {other.type()})")
            found: Tensor = other.view_as(other)
            return found
        sizes = isinstance(data, Size | int) or data is args
        return (
            self.new_empty(*args, device=device) if sizes else self.new_tensor(data, device=device)
        )


__all__ = [
    "get_num_interop_threads", "get_num_threads", "is_same_size", "set_flush_denormal",
    "set_num_interop_threads", "set_num_threads", "typename",
]  # fmt: skip

publish(globals())
