"""Second derivatives that are zero: edges of the tape along which only zeros flow.

A walk hands on the mark `ZERO` in place of the zeros, and skips rules that need not run.
"""

from __future__ import annotations

from typing import Any

from tabgrad.core.kinks import HANGS
from tabgrad.core.op import Op
from tabgrad.core.trace import filled, wrap
from tabgrad.transforms.node import Marker, Node, leaf_node, new_node

ZERO: Any = Marker("zero")
"""The mark of a cotangent of zeros."""
HOOKS = frozenset(("tensor", "retain", "pre", "post", "accumulated"))


class Hanging:
    """The rule of a cotangent with edges to nodes that get zeros: its own cotangent passes unchanged."""

    node_name = "HangingBackward0"

    def apply(
        self, node: Node, cts: list[Any], needs: tuple[bool, ...], lowered: bool, graph: bool
    ) -> list[Any]:
        """Hand on the cotangent of the cotangent itself, and zeros to the nodes."""
        return [cts[0], *[ZERO] * (len(needs) - 1)]


HANGING = Hanging()


def hung(node: Node, ct: Any) -> Any:
    """Connect the cotangent of `node` to the nodes on which its second derivative is zero, if there are any."""
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
    """Test whether zeros can pass `node` without running its rule or a hook."""
    rule = node.rule
    if not (rule is HANGING or isinstance(rule, Op)) or type(node.out_spec) is tuple:
        return False
    return node.notes is None or HOOKS.isdisjoint(node.notes)


def zeros(node: Node) -> Any:
    """Make the cotangent of zeros of `node`."""
    return filled(0, node.out_spec, node.out_device)


__all__ = ["HANGING", "ZERO", "hung", "passes", "zeros"]
