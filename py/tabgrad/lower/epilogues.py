"""Products with bias and activation as one call of a host's library, cuBLASLt through nvmath-python.

The library adds the bias before it rounds, so in half precision a result is rounded once, where a kernel rounds
after each op.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tabgrad.core import dtype as dt
from tabgrad.core.spec import intern_params
from tabgrad.lower.index import unflatten, var
from tabgrad.lower.ir import RESHAPE, Node, Program
from tabgrad.lower.limits import EPILOGUE, Limits
from tabgrad.lower.routines import Call, bottom

BIAS, RELU, GELU = range(3)
"""The number of an epilogue in the words of a call: the bias, and what is done with the sum."""
ALIGNED = {dt.float16: 8, dt.bfloat16: 8, dt.float32: 4}
"""What the sizes must be multiples of: 16 bytes, with which the library has an algorithm for each epilogue."""


def joined(p: Program, n: Node, call: Call, limits: Limits) -> Call:
    """Return the call of a product with what follows it, whose readers read `n` then; else `call` itself."""
    kind, batch, rows, columns, inner, flags, *_ = call.words
    if batch != 1 or not suits(n, (rows, columns, inner), limits):
        return call
    found = followed(p, n, limits)
    if found is None:
        return call
    passed, bias, epilogue = found
    last = passed[-1]
    view = n
    if last.shape != n.shape:
        view = p.add(RESHAPE, intern_params({"shape": last.shape}), (n,))
    p.replace(last, view)
    words = (kind, rows, columns, inner, flags, epilogue)
    after = tuple((m.name, m.origin) for m in passed)
    return Call(EPILOGUE, (*call.operands, bias), words, joined=after)


def suits(n: Node, sizes: Sequence[int], limits: Limits) -> bool:
    """Test whether the library computes a product with an epilogue."""
    aligned = ALIGNED.get(n.spec.dtype)
    return (
        EPILOGUE in limits.routines and aligned is not None and not any(s % aligned for s in sizes)
    )


def followed(p: Program, n: Node, limits: Limits) -> tuple[list[Node], Node, int] | None:
    """Find what follows a product and nothing else reads on the way: its ops, the bias, and the epilogue."""
    outside = {o.id for o in p.outputs}
    u = reader(n, outside)
    if u is None or u.name != "add":
        return None
    others = [x for x in u.srcs if not reaches(x, n)]
    bias = bias_of(others[0], n.shape[-1]) if len(others) == 1 else None
    if bias is None or bias.spec.dtype is not n.spec.dtype or u.shape[-1:] != n.shape[-1:]:
        return None
    then = reader(u, outside)
    if then is not None and then.name == "relu":
        return [u, then], bias, RELU
    # the library's tanh may be an approximation, so a lower precision must be allowed
    if then is not None and then.name == "gelu_tanh" and limits.tf32:
        return [u, then], bias, GELU
    return [u], bias, BIAS


def reader(n: Node, outside: set[int]) -> Node | None:
    """Find the only reader of a value, behind reshapes that keep its rows whole."""
    while n.id not in outside and len(n.users) == 1:
        (u,) = n.users
        if u.op is not RESHAPE or u.shape[-1:] != n.shape[-1:]:
            return u
        n = u
    return None


def reaches(x: Node, n: Node) -> bool:
    """Test whether `x` is `n`, or a reshape of it."""
    while x.op is RESHAPE and x is not n:
        x = x.srcs[0]
    return x is n


def bias_of(x: Node, columns: int) -> Node | None:
    """Find the vector of which every row of `x` is a copy, if it has a buffer to itself."""
    if x.shape[-1:] != (columns,):
        return None
    lead = x.shape[:-1]
    j = var("j", columns)
    found = bottom(x, (*unflatten(var("i", math.prod(lead)), lead), j))
    if found is None or found[1] != j or found[0].spec.size != columns:
        return None
    return found[0]


__all__ = ["followed", "joined", "suits"]
