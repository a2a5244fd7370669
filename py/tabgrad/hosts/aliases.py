"""Outputs that share a buffer: each becomes a view of one flat leaf."""

from __future__ import annotations

from typing import Any

from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import intern_params, spec
from tabgrad.hosts.pool import Buffer
from tabgrad.lower.plan import Plan


def make_view(backend: Any, node: int, slot: int, offset: int, plan: Plan, outputs: dict[int, Buffer]) -> None:
    """Make `node` a reshaped slice of the buffer of `slot`, beginning at element `offset`."""
    graph = backend.graph
    its = graph.spec[node]
    leaf = backend.shared_leaves.get(slot)
    if leaf is None or graph.buffer[leaf.id] is not outputs[slot]:
        each = 4 if backend.dialect.name == "wgsl" and its.dtype.name != "float16" else its.dtype.itemsize
        leaf = graph.add(None, None, (), spec((plan.nbytes[slot] // each,), its.dtype))
        graph.buffer[leaf.id] = outputs[slot]
        backend.shared_leaves[slot] = leaf
    part = intern_params({"starts": (offset,), "stops": (offset + its.size,), "steps": (1,)})
    piece = graph.add(REGISTRY["slice"], part, (leaf.id,), spec((its.size,), its.dtype))
    old = graph.srcs[node]
    graph.op[node] = REGISTRY["reshape"]
    graph.params[node] = intern_params({"shape": its.shape})
    graph.srcs[node] = (piece.id,)
    graph.refs[piece.id] += 1
    for s in old:
        graph.handles[s] += 1
        graph.dropped.append(s)
