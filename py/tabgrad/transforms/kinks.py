"""What a gradient hangs on without depending on it: edges of the tape along which zeros flow.

The zeros are never made on the way: a walk hands on that they are zeros, past rules that need not run.
"""

from __future__ import annotations

from typing import Any

from tabgrad.core.kinks import HANGS
from tabgrad.core.op import Op
from tabgrad.core.trace import filled, wrap
from tabgrad.transforms.node import Marker, Node, leaf_node, new_node

ZERO: Any = Marker("zero")
"""Stands for a cotangent of zeros."""
HOOKS = frozenset(("tensor", "retain", "pre", "post", "accumulated"))


class Hanging:
    """The rule of a cotangent that hangs on some nodes: its own passes, zeros go to them."""

    node_name = "HangingBackward0"

    def apply(
        self, node: Node, cts: list[Any], needs: tuple[bool, ...], lowered: bool, graph: bool
    ) -> list[Any]:
        """Hand on the cotangent of the cotangent itself, and zeros to the nodes."""
        return [cts[0], *[ZERO] * (len(needs) - 1)]


HANGING = Hanging()


def hung(node: Node, ct: Any) -> Any:
    """Tie the cotangent of `node` to what the gradient of its rule hangs on, if to anything."""
    rule = node.rule
    if isinstance(rule, Op) and rule.kinked:
        on = [e for e in node.edges if e is not None]
    else:
        on = (node.notes or {}).get(HANGS, ())
    if not on or type(ct) is list or ct.owner is not None or node.owner is not None:
        return ct
    y = wrap(ct.value, ct.spec, ct.device)
    own = ct.node or leaf_node(ct) if ct.tracked else None
    y.node = new_node(HANGING, (own, *on), ct.spec, None, ct.device)
    y.tracked = True
    return y


def passes(node: Node) -> bool:
    """Whether zeros go past `node` without a rule or hook that would have to see them."""
    rule = node.rule
    if not (rule is HANGING or isinstance(rule, Op)) or type(node.out_spec) is tuple:
        return False
    return node.notes is None or HOOKS.isdisjoint(node.notes)


def zeros(node: Node) -> Any:
    """Make the cotangent of zeros of `node`."""
    return filled(0, node.out_spec, node.out_device)


__all__ = ["HANGING", "ZERO", "hung", "passes", "zeros"]
