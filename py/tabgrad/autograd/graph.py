"""The recorded graph: its nodes, hooks on them, and on what they save; PyTorch's `autograd.graph`."""

from __future__ import annotations

from typing import Any

from tabgrad.transforms.backward import (
    GradientEdge as GradientEdge,
    get_gradient_edge as get_gradient_edge,
)  # fmt: skip
from tabgrad.transforms.hooks import (
    disable_saved_tensors_hooks as disable_saved_tensors_hooks,
    register_multi_grad_hook as register_multi_grad_hook,
    saved_tensors_hooks as saved_tensors_hooks,
)
from tabgrad.transforms.tape import Node as Node


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
