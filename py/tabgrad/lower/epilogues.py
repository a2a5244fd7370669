"""Products with bias and activation, or with the gradient of a bias, as one call of a host's library: cuBLASLt
through nvmath-python.

The library adds the bias before it rounds, so in half precision a result is rounded once, where a kernel rounds
after each op.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from tabgrad.core import dtype as dt
from tabgrad.core.spec import intern_params
from tabgrad.lower.index import unflatten, var
from tabgrad.lower.ir import CAST, RESHAPE, Node, Program
from tabgrad.lower.limits import EPILOGUE, Limits
from tabgrad.lower.routines import Call, bottom

BIAS, RELU, GELU, SUMS = range(4)
"""The number of an epilogue in the words of a call: a bias is added, and what is done with the sum; or the
columns of the right operand are added up, which is the gradient of a bias beside that of its weights."""
ALIGNED = {dt.float16: 8, dt.bfloat16: 8, dt.float32: 4}
"""What the sizes must be multiples of: 16 bytes, with which the library has an algorithm for each epilogue."""


def joined(p: Program, n: Node, call: Call, limits: Limits) -> tuple[Call, Node | None]:
    """Return the call of a product with what follows it, whose readers read `n` then; else the call of a
    product with the sums of its right operand, and their node; else `call` itself."""
    kind, batch, rows, columns, inner, flags, *_ = call.words
    if batch != 1 or not suits(n, (rows, columns, inner), limits):
        return call, None
    found = followed(p, n, limits)
    if found is None:
        sums = None if flags & 2 else column_sums(n, call)
        if sums is None:
            return call, None
        words = (kind, rows, columns, inner, flags, SUMS)
        own = ((sums.name, sums.origin),)
        return Call(EPILOGUE, call.operands, words, joined=own, besides=sums), sums
    passed, bias, epilogue = found
    last = passed[-1]
    view = n
    if last.shape != n.shape:
        view = p.add(RESHAPE, intern_params({"shape": last.shape}), (n,))
    p.replace(last, view)
    words = (kind, rows, columns, inner, flags, epilogue)
    after = tuple((m.name, m.origin) for m in passed)
    return Call(EPILOGUE, (*call.operands, bias), words, joined=after), None


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


def column_sums(n: Node, call: Call) -> Node | None:
    """Find the sums of the columns of a product's right operand, unless the product needs them."""
    x = n.srcs[1]
    if len(x.shape) != 2 or call.operands[1] is not x:
        return None
    for u in x.users:
        found = summed(u, x)
        if found is not None and not any(needs(operand, found) for operand in call.operands):
            return found
    return None


def summed(u: Node, x: Node) -> Node | None:
    """Follow sums, reshapes and casts that keep columns apart, from a reader of `x` to a vector of the dtype of
    `x`; None if there is none, or another reads on the way."""
    columns, reduced, before = x.shape[-1], False, x
    # a sum that another product writes already no longer reads what it is made for
    while u.shape[-1:] == (columns,) and u.srcs == (before,):
        if u.name == "reduce_sum":
            reduced, axes = True, cast("tuple[int, ...]", u.params["axes"])
            if len(u.srcs[0].shape) - 1 in axes:
                return None
        elif u.op is CAST:
            if dt.float32 not in (u.spec.dtype, u.srcs[0].spec.dtype):
                return None
        elif u.op is not RESHAPE:
            return None
        if reduced and u.shape == (columns,) and u.spec.dtype is x.spec.dtype:
            return u
        if len(u.users) != 1:
            return None
        before, (u,) = u, u.users
    return None


def needs(x: Node, s: Node) -> bool:
    """Test whether `x` is computed from `s`."""
    stack, seen = [x], {x}
    while stack:
        one = stack.pop()
        if one is s:
            return True
        new = [m for m in one.srcs if m not in seen]
        seen.update(new)
        stack += new
    return False


__all__ = ["followed", "joined", "suits"]
