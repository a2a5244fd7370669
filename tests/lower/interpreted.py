"""Rewritten programs run node by node with the NumPy bodies of their ops: what a rewrite must not change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tabgrad.core.dtype import float32
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import intern_params, spec
from tabgrad.lower import plan
from tabgrad.lower.ir import FULL, Node, Program
from tabgrad.lower.simplify import build


def rewritten(name: str, shapes: Sequence[tuple[int, ...]], **params: Any) -> Program:
    """Build the program of one op on inputs of these shapes."""
    op, given = REGISTRY[name], intern_params(params)
    specs = [spec(shape, float32) for shape in shapes]
    raw: list[Any] = [(None, None, (), s) for s in specs]
    raw.append((op, given, tuple(range(len(specs))), op.infer(tuple(specs), given)))
    return build(raw, [len(specs)])


def value(p: Program, inputs: Sequence[Any]) -> Any:
    """Compute the first output of a program."""
    found: dict[int, Any] = {}
    for n in p.nodes:
        if n.op is None:
            found[n.id] = inputs[n.number]
        elif n.op is FULL:
            assert n.number < 0, "only constants of the rewrite have a known number"
            found[n.id] = np.full(n.shape, -1 - n.number, np.float32)
        else:
            found[n.id] = n.op.fn(*(found[s.id] for s in n.srcs), **n.params)
        assert found[n.id].shape == n.shape, n
    return found[p.outputs[0].id]


def multiplications(p: Program) -> int:
    """Count the multiplications of all products and of sums over products."""
    return sum(_multiplied(n) for n in p.nodes)


def _multiplied(n: Node) -> int:
    if n.family == "bilinear":
        return n.spec.size * n.srcs[0].shape[-1]
    if n.family == "reduction" and n.srcs[0].name == "mul":
        return math.prod(n.srcs[0].shape)
    return 0


def programs(compute: Callable[[], Any], device: Any) -> list[Program]:
    """List the programs that are lowered to have what `compute` returns on a device."""
    device.backend.flush()
    found: list[Program] = []
    join = plan.join_products

    def kept(p: Program) -> None:
        join(p)
        found.append(p)

    plan.join_products = kept
    try:
        result = compute()
        device.backend.flush()
    finally:
        plan.join_products = join
    assert result is not None
    return found
