"""Decompositions by a host's library, of matrices of any size: CUDA has no kernels for them."""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.several import Part
from tabgrad.core.spec import Spec
from tabgrad.lower.ir import Node, Program
from tabgrad.lower.routines import DTYPES, Call, copied, dense

NAMES = ("cholesky", "eigh", "geqrf", "lu", "qr", "svd", "triangular_solve")


def routine(p: Program, n: Node) -> tuple[Node, Call] | None:
    """Make the call that computes all results; matrices without elements have nothing to call for."""
    a = n.srcs[0]
    *lead, rows, columns = a.shape
    if not a.spec.size or not n.srcs[-1].spec.size:
        return None
    words = [DTYPES.index(a.spec.dtype.name), math.prod(lead), rows, columns]
    op: Any = n.op
    results: tuple[Spec, ...] = ()
    if isinstance(op, Part):
        results = op.several.infer_all(tuple(s.spec for s in n.srcs), n.params)
    else:
        words += [n.shape[-1], int(bool(n.params["upper"])), int(bool(n.params["unit"]))]
    operands = tuple(_alike(p, s) for s in n.srcs)
    return n, Call(op.lowering, operands, tuple(words), results)


def _alike(p: Program, n: Node) -> Node:
    """Find a dense node with the elements and the shape of `n`."""
    found = dense(p, n)
    return found if found.shape == n.shape else copied(p, n)
