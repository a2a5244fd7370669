"""Backwards that can't be differentiated again; PyTorch's `once_differentiable`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.trace import MODE, Box, using, wrap
from tabgrad.transforms.node import Node
from tabgrad.transforms.tape import record_call


class _Once:
    """The rule of gradients that a once-differentiable backward returned."""

    def __init__(self, name: str) -> None:
        self.node_name = name

    def apply(self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool) -> Any:
        raise GradientError(
            f"{self.node_name}: its backward is marked once_differentiable, so it has no second derivative"
        )


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a Function's backward as one that can't be differentiated again; a second derivative raises."""

    @functools.wraps(fn)
    def call(ctx: Any, *args: Any) -> Any:
        mode = MODE.get()
        with using(mode.replace(grad=False)):
            found = fn(ctx, *args)
        if not mode.grad:
            return found
        sources = [
            a for a in (*args, *(ctx.saved_tensors or ())) if isinstance(a, Box) and a.tracked
        ]
        if not sources:
            return found
        outputs = list(found) if isinstance(found, tuple | list) else [found]
        outputs = [
            wrap(y.value, y.spec, y.device, y.owner) if isinstance(y, Box) else y for y in outputs
        ]
        record_call(_Once(fn.__qualname__), sources, outputs, sources[0].owner)
        return tuple(outputs) if isinstance(found, tuple | list) else outputs[0]

    return call
