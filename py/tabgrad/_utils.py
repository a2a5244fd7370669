"""Names of PyTorch's `_utils` that programs call: dense tensors as one vector, errors of workers."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import tabgrad as tg

Tensor = tg.Tensor


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """Return the elements of all tensors, of one dtype, as one vector.

    >>> import tabgrad as tg
    >>> _flatten_dense_tensors([tg.zeros(2, device="cpu"), tg.ones(1, 1, device="cpu")])
    tensor([0., 0., 1.])
    """
    if len(tensors) == 1:
        return tensors[0].contiguous().view(-1)
    return tg.cat([t.contiguous().view(-1) for t in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return views of a vector in the shapes of `tensors`."""
    parts = flat.split([t.numel() for t in tensors])
    return tuple([part.view_as(t) for part, t in zip(parts, tensors, strict=True)])


def _take_tensors(tensors: Sequence[Tensor], size_limit: int) -> Iterator[list[Tensor]]:
    """Yield groups of tensors of one dtype and device, each of at most `size_limit` bytes or one tensor."""
    groups: dict[Any, list[Tensor]] = {}
    for t in tensors:
        key = t.dtype, t.device
        group = groups.setdefault(key, [])
        if group and sum(g.nbytes for g in group) + t.nbytes > size_limit:
            yield group
            group = groups[key] = []
        group.append(t)
    yield from (group for group in groups.values() if group)


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """Return the index of a device, −1 for the CPU where it is allowed.

    Raises ValueError for the CPU where it is not allowed, and for None that is not optional.
    """
    if isinstance(device, int):
        return device
    if device is None:
        if optional:
            return 0
        raise ValueError("Expected a device with a specified index or an integer, but got: None")
    found = tg.device(device)
    if found.type != "cpu":
        return found.index or 0
    if not allow_cpu:
        raise ValueError(f"Expected a non cpu device, but got: {device}")
    return -1


class ExceptionWrapper:
    """An exception with its traceback as text, to be raised in another process.

    >>> try:
    ...     1 / 0
    ... except ZeroDivisionError:
    ...     wrapped = ExceptionWrapper(where="in worker 0")
    >>> wrapped.exc_type.__name__
    'ZeroDivisionError'
    """

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        info: Any = sys.exc_info() if exc_info is None else exc_info
        self.exc_type = info[0]
        self.exc_msg = "".join(traceback.format_exception(*info))
        self.where = where

    def reraise(self) -> None:
        """Raise an exception of the same type, with the text of the first."""
        text = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        try:
            exception = self.exc_type(text)
        except Exception:
            # it takes other arguments than a text
            raise RuntimeError(text) from None
        raise exception
