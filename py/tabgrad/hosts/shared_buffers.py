"""Handles values that share a buffer: each is a view of one flat leaf."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import mul
from typing import TYPE_CHECKING, Any

from tabgrad.core.dtype import DType, float32
from tabgrad.core.graph import Graph, Value
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.shape import Shape, strides
from tabgrad.core.spec import NO_PARAMS, Spec, intern_params, spec
from tabgrad.hosts.faults import lost_tensor
from tabgrad.hosts.pool import Buffer
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.ir import FULL
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


def place(graph: Graph, i: int) -> tuple[int, int] | None:
    """Return the node whose buffer has, or will have, the elements of `i` side by side, and where they begin.

    None if they don't lie so, or are those of a constant.
    """
    single, at = graph.spec[i].size == 1, (0,) * len(graph.spec[i].shape)
    ops: list[Any] = graph.op
    while (op := ops[i]) is not None and op.family == "view":
        params: Any = graph.params[i]
        piece = graph.spec[i].shape
        i = graph.srcs[i][0]
        whole = graph.spec[i].shape
        if op.fills if single else op.name != "reshape" and not _is_block(op, piece, whole, params):
            return None
        at, _ = op.index(at, whole, **params)
    return None if op is FULL else (i, sum(map(mul, at, strides(graph.spec[i].shape))))


def _is_block(op: Op, piece: Shape, whole: Shape, params: Any) -> bool:
    """Whether this is a slice of adjacent elements: behind the first axis with several of them it has all."""
    first = next((k for k, n in enumerate(piece) if n > 1), len(piece))
    return (
        op.name == "slice"
        and piece[first + 1 :] == whole[first + 1 :]
        and params["steps"][first : first + 1] in ((), (1,))
    )


def own_buffer(backend: DeviceBackend, value: Value) -> Value | None:
    """Compute a copy of a slice, or of a view of a constant; return None for any other value."""
    graph = backend.graph
    if value.graph is not graph:
        raise lost_tensor("compile")
    i = value.id
    sliced = False
    while (op := graph.op[i]) is not None and op.family == "view":
        sliced = sliced or op.name == "slice"
        i = graph.srcs[i][0]
    if op is not FULL and not sliced:
        return None
    made = graph.add(REGISTRY["copy"], NO_PARAMS, (value.id,), graph.spec[value.id])
    backend.compute([made.id])
    return made


def side_by_side(backend: DeviceBackend, values: Sequence[Value]) -> tuple[Value, Spec] | None:
    """Copy values of one dtype into a new buffer, one after the other; return a flat leaf and its spec.

    None if they can't be copied so: they are of a device that was lost, or don't end at whole words.
    """
    graph = backend.graph
    if any(v.graph is not graph for v in values):
        return None
    specs = [graph.spec[v.id] for v in values]
    width = backend.dialect.stored_bytes(specs[0].dtype)
    if any(s.size * width % 4 for s in specs):
        return None
    held = apart(backend, values)
    flat = spec((sum(s.size for s in specs),), specs[0].dtype)
    target = backend.pool.take(flat.size * width)
    at = 0
    for v, s in zip(held, specs, strict=True):
        nbytes = s.size * width
        if graph.op[v.id] is FULL:
            backend.encoder.write(target.id, at, array("f", [graph.aux[v.id]]) * s.size)
        else:
            source = graph.buffer[v.id]
            backend.encoder.copy(source.id, 0, target.id, at, nbytes)
            target.carried |= source.carried
        at += nbytes
    target.born = backend.encoder.clock
    leaf = graph.add(None, None, (), flat)
    graph.buffer[leaf.id] = target
    return leaf, flat


def apart(backend: DeviceBackend, values: Sequence[Value]) -> list[Value]:
    """Return values with buffers of their own, or small constants, for these."""
    graph = backend.graph
    lazy = [v.id for v in values if graph.op[v.id] is not None and not graph.idle(v.id)]
    if lazy:
        backend.compute(lazy)
    held = [
        graph.add(REGISTRY["copy"], NO_PARAMS, (v.id,), graph.spec[v.id])
        if graph.buffer[v.id] is None and not small(graph, v)
        else v
        for v in values
    ]
    made = [v.id for v in held if graph.op[v.id] is not None and graph.op[v.id] is not FULL]
    if made:
        backend.compute(made)
    backend.buffers_of([v.id for v in held if graph.op[v.id] is not FULL])
    return held


SMALL = 1 << 16
"""Constants of at most so many elements are written, others filled by a kernel."""


def small(graph: Graph, v: Value) -> bool:
    """Whether `v` is a constant that is written at less cost than a kernel is compiled."""
    its = graph.spec[v.id]
    return graph.op[v.id] is FULL and its.dtype is float32 and its.size <= SMALL
