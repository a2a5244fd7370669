"""Handles plan outputs that share a buffer: each becomes a view of one flat leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.dtype import DType
from tabgrad.core.graph import Graph, Value
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import Spec, intern_params, spec
from tabgrad.hosts.pool import Buffer
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.plan import Plan

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


def flat_spec(dialect: Dialect, nbytes: int, dtype: DType) -> Spec:
    """Return the flat spec of a whole buffer of `nbytes`."""
    return spec((nbytes // dialect.stored_bytes(dtype),), dtype)


def slice_of(graph: Graph, leaf: Value, offset: int, its: Spec) -> Value:
    """Record a slice of a flat leaf: as many elements as `its` has, from element `offset` on."""
    part = intern_params({"starts": (offset,), "stops": (offset + its.size,), "steps": (1,)})
    return graph.add(REGISTRY["slice"], part, (leaf.id,), spec((its.size,), its.dtype))


def part_of(graph: Graph, leaf: Value, offset: int, its: Spec) -> Value:
    """Record a view of spec `its` that begins at element `offset` of a leaf."""
    whole = graph.spec[leaf.id]
    assert whole is not None
    if len(whole.shape) != 1:
        flat = intern_params({"shape": (whole.size,)})
        leaf = graph.add(REGISTRY["reshape"], flat, (leaf.id,), spec((whole.size,), its.dtype))
    piece = slice_of(graph, leaf, offset, its)
    return graph.add(REGISTRY["reshape"], intern_params({"shape": its.shape}), (piece.id,), its)


def make_view(
    backend: DeviceBackend, node: int, slot: int, offset: int, plan: Plan, outputs: dict[int, Buffer]
) -> None:  # fmt: skip
    """Make `node` a reshaped slice of the buffer of `slot`, beginning at element `offset`."""
    graph = backend.graph
    its = graph.spec[node]
    leaf = backend.shared_leaves.get(slot)
    if leaf is None or graph.buffer[leaf.id] is not outputs[slot]:
        leaf = graph.add(None, None, (), flat_spec(backend.dialect, plan.nbytes[slot], its.dtype))
        graph.buffer[leaf.id] = outputs[slot]
        backend.shared_leaves[slot] = leaf
    piece = slice_of(graph, leaf, offset, its)
    # serials, too, must order sources before the nodes that read them
    graph.serial[leaf.id] = 0
    graph.serial[piece.id] = graph.serial[node] - 0.5
    old = graph.srcs[node]
    graph.op[node] = REGISTRY["reshape"]
    graph.params[node] = intern_params({"shape": its.shape})
    graph.srcs[node] = (piece.id,)
    graph.refs[piece.id] += 1
    for s in old:
        graph.handles[s] += 1
        graph.dropped.append(s)
