"""Views whose gradient is ambiguous after a write to their base: PyTorch's error messages, raised in backward.

A write to the base changes the values of such a view, but the gradient of the view is not defined. The view
gets a node that raises when a backward reaches it.
"""

from __future__ import annotations

from typing import Any, NoReturn

from tabgrad.core.errors import GradientError
from tabgrad.core.trace import Box
from tabgrad.transforms.node import Node, leaf_node, new_node

_FORBIDDEN = (
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by "
    "moving both the view and the inplace either both inside the {0} block (if you don't want the inplace to "
    "be tracked) or both outside (if you want the inplace to be tracked)."
)

AMBIGUOUS = {
    "no_grad": "A view was created in no_grad mode and {} modified inplace with grad mode enabled. "
    + _FORBIDDEN.format("no_grad"),
    "inference": "A view was created in inference mode and {} modified inplace in normal mode. "
    + _FORBIDDEN.format("inference_mode"),
    "function": "Output 0 of a Function is a view and {} modified inplace. This view was created inside a "
    "custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace "
    "would override the custom backward associated with the custom Function, leading to incorrect gradients. "
    "This behavior is forbidden. You can fix this by cloning the output of the custom Function.",
}
"""The message for each way to make such a view; `{}` says what was modified."""


class Refused:
    """The rule of a tensor whose gradient would be ambiguous."""

    node_name = "AmbiguousViewBackward"

    def __init__(self, made: str) -> None:
        self.made = made

    def apply(self, node: Node, *rest: Any) -> NoReturn:
        """Say why there is no gradient."""
        raise GradientError(
            AMBIGUOUS[self.made].format("its base or another view of its base has been")
        )


def refused(x: Box, base: Box, made: str) -> Node:
    """Make the node of the view `x` of `base` after the base was written to."""
    edges = (base.node or leaf_node(base),)
    return new_node(Refused(made), edges, x.spec, x.owner, x.device, in_specs=(base.spec,))


__all__ = ["AMBIGUOUS", "refused"]
