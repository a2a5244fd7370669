"""Recording ops and calls on the tape."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from tabgrad.core.dtype import FLOAT
from tabgrad.core.op import Op
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, Box, Interpreter, Mode
from tabgrad.transforms.node import OUTPUT, Node, edge, leaf_node, new_node, next_id, notes_of
from tabgrad.transforms.saving import (
    ALL,
    CAST,
    FIRST,
    INFERENCE,
    NO_GRADIENT,
    NOTHING,
    SECOND,
    pack,
    parts_of,
    plan_for,
    unshared,
)  # fmt: skip

_new = object.__new__


def record(
    op: Op, params: Params, args: tuple[Any, ...], values: tuple[Any, ...], specs: tuple[Any, ...],
    y: Box, owner: Any, mode: Mode,
) -> None:  # fmt: skip
    """Record the application of `op` on the tape as the source of `y`, if any of `args` wants gradients.

    `values` are the payloads of `args` below the level `owner`, None being the base, `specs` their Specs.
    """
    # This runs for each op of each training step, hence the unrolled cases; `code` is a key of `plan_for`.
    code: Any
    edges: tuple[Node | None, ...]
    if len(args) == 2:
        a, b = args
        left = right = None
        code = 0
        if a.tracked and a.owner is owner:
            left = a.node or leaf_node(a)
            code = 1
        elif a.born & 1:
            code = INFERENCE
        if b.tracked and b.owner is owner:
            right = b.node or leaf_node(b)
            code += 2
        elif b.born & 1:
            code += INFERENCE
        if not code & 3:
            return
        edges = (left, right)
    elif len(args) == 1:
        (a,) = args
        if not a.tracked or a.owner is not owner:
            return
        edges = (a.node or leaf_node(a),)
        code = 4
    else:
        edges = tuple([edge(a, owner) for a in args])
        code = tuple(
            [True if e is not None else -(a.born & 1) for e, a in zip(edges, args, strict=True)]
        )
        if True not in code:
            return
    keep, keep_out = op.plans.get(code) or plan_for(op, code)
    if keep is ALL:
        kept: Any = values
    elif keep is NOTHING:
        kept = None
    elif keep is FIRST:
        kept = (values[0], None)
    elif keep is SECOND:
        kept = (None, values[1])
    elif keep is CAST:
        if y.spec.dtype.category < FLOAT:
            return
        kept = None
    elif keep is NO_GRADIENT:
        return
    else:
        kept = tuple([v if k else None for v, k in zip(values, keep, strict=True)])
    if owner is not None and kept is not None:
        kept = tuple([unshared(k, a, owner) for k, a in zip(kept, args, strict=True)])
    out: Any = y.value if keep_out else None
    if owner is not None and keep_out and owner.rewrites:
        out = parts_of(out)
    if mode.saved_tensors is not None:
        kept, out = pack(mode.saved_tensors, kept, out, specs, y, owner)
    node = _new(Node)
    node.id = next_id()
    node.rule = op
    node.op_params = params
    node.edges = edges
    node.kept = kept
    node.kept_out = out
    node.in_specs = specs
    node.out_spec = y.spec
    node.owner = owner
    node.out_device = y.device
    node.notes = None
    y.node = node
    y.tracked = True
    if mode.anomaly is not None:
        notes_of(node)["line"] = mode.anomaly.line()


def record_call(
    rule: Any, args: Sequence[Any], outputs: Sequence[Any], owner: Interpreter | None, kept: Any = None,
    tied: Sequence[bool] | None = None,
) -> Node | None:  # fmt: skip
    """Record a call with any number of outputs on the tape as the source of the tensors among them.

    `rule.apply(node, cts, needs, lowered, graph)` gives the cotangents of `args` for the list of those of
    `outputs`, None where there is none; `rule.node_name` names it. `kept` is freed by a backward that doesn't
    retain the graph. `tied` says which outputs carry gradients; those of other dtypes never do. Returns
    None where no argument wants gradients.
    """
    edges = tuple([edge(a, owner) if isinstance(a, Box) else None for a in args])
    if all(e is None for e in edges):
        return None
    specs = tuple([a.spec if isinstance(a, Box) else None for a in args])
    found = [y if isinstance(y, Box) else None for y in outputs]
    device = next(x.device for x in (*found, *args) if isinstance(x, Box))
    out_specs = tuple([None if y is None else y.spec for y in found])
    node = new_node(rule, edges, out_specs, owner, device, kept=kept, in_specs=specs)
    ports: list[Any] = []
    for k, y in enumerate(found):
        ports.append(lambda: None)
        if y is None or y.spec.dtype.category < FLOAT or (tied is not None and not tied[k]):
            continue
        port = new_node(OUTPUT, (node,), y.spec, owner, y.device, op_params=k)
        before = y.node
        y.node, y.tracked = port, True
        moved(y, before)
        ports[k] = weakref.ref(port)
    notes = notes_of(node)
    notes["outputs"] = ports
    anomaly = MODE.get().anomaly
    if anomaly is not None:
        notes["line"] = anomaly.line()
    return node


def moved(x: Box, before: Node | None) -> None:
    """Move `retain_grad` of `x` to its new node: `before` was its node until it was changed in place."""
    if before is not None and before.notes is not None and x.node is not None:
        retain = before.notes.pop("retain", None)
        if retain is not None:
            notes_of(x.node)["retain"] = retain
