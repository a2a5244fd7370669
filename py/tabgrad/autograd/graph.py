"""The recorded graph: its nodes, their hooks, and hooks on saved tensors; PyTorch's `autograd.graph`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from tabgrad.core.trace import Box
from tabgrad.transforms.backward import (
    GradientEdge as GradientEdge,
    get_gradient_edge as get_gradient_edge,
)  # fmt: skip
from tabgrad.transforms.hooks import (
    disable_saved_tensors_hooks as disable_saved_tensors_hooks,
    register_multi_grad_hook as register_multi_grad_hook,
    saved_tensors_hooks as saved_tensors_hooks,
)
from tabgrad.transforms.node import Node as Node


class save_on_cpu(saved_tensors_hooks):
    """Keep the tensors saved for backward on the CPU, and bring each back when backward needs it.

    `pin_memory` is accepted for PyTorch's sake.

    >>> import tabgrad as tg
    >>> x = tg.tensor([2.0], requires_grad=True)
    >>> with tg.autograd.graph.save_on_cpu():
    ...     y = x * x
    >>> y.backward()
    >>> x.grad
    tensor([4.])
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(self._pack, self._unpack)

    @staticmethod
    def _pack(x: Any) -> Any:
        return x.device, x.cpu()

    @staticmethod
    def _unpack(packed: Any) -> Any:
        device, x = packed
        return x.to(device=device)


def increment_version(tensor: Any) -> None:
    """Count a write that tabgrad did not see, to a tensor or to each of several.

    >>> import tabgrad as tg
    >>> x = tg.zeros(2)
    >>> tg.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    tensors: Iterable[Any] = (tensor,) if isinstance(tensor, Box) else tensor
    for x in tensors if isinstance(tensors, Iterable) else (tensors,):
        if not isinstance(x, Box):
            raise TypeError(f"increment_version: expected tensors, got {type(x).__name__}")
        x._version += 1


class MutationContext:
    """The context object of `allow_mutation_on_saved_tensors`; it keeps nothing, since values never change."""

    def clear(self) -> None:
        """Do nothing: nothing is kept."""


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[MutationContext]:
    """Allow writes to saved tensors; they are always allowed, since a write gives the tensor a new value.

    >>> import tabgrad as tg
    >>> x = tg.tensor([3.0], requires_grad=True)
    >>> with tg.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = x * 1
    ...     z = y * y
    ...     _ = y.zero_()
    >>> z.backward()
    >>> x.grad
    tensor([6.])
    """
    yield MutationContext()
