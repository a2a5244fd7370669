"""One node for the views that a tensor is cut into, as PyTorch's `split` and `unbind` have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import Box, filled
from tabgrad.transforms.node import Node
from tabgrad.transforms.tape import record_call


class Pieces:
    """The rule of that node: it joins the cotangents along `axis`, which a piece of `unbind` doesn't have."""

    def __init__(self, name: str, axis: int, unbound: bool) -> None:
        self.node_name = name
        self.axis = axis
        self.unbound = unbound

    def apply(
        self, node: Node, cts: list[Any], needs: Sequence[bool], lowered: bool, graph: bool
    ) -> list[Any]:
        """Join the cotangents of the pieces to the cotangent of the whole tensor."""
        parts = []
        for ct, spec in zip(cts, node.out_spec, strict=True):
            part = filled(0, spec, node.out_device) if ct is None else ct
            if self.unbound:
                shape = spec.shape
                wide = (*shape[: self.axis], 1, *shape[self.axis :])
                part = REGISTRY["reshape"].bind(part, shape=wide)
            parts.append(part)
        return [REGISTRY["cat"].bind(*parts, axis=self.axis)]


def cut_up(
    name: str, axis: int, x: Box, pieces: Sequence[Any], unbound: bool = False
) -> tuple[Any, ...]:
    """Make `pieces`, views that cover `x` along `axis`, the outputs of one node if they have nodes."""
    if pieces and x.tracked and all(y.tracked and y.owner is x.owner for y in pieces):
        if pieces[0].alias is None or pieces[0].alias.made is None:
            record_call(Pieces(name, axis, unbound), [x], pieces, x.owner)
    return tuple(pieces)


__all__ = ["cut_up"]
