"""Functions that run as a chain of NumPy's calls on small tensors of `cpu` (`hosts/chains.py`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tabgrad.core.dtype import DType, get_default_dtype
from tabgrad.core.shape import Size
from tabgrad.core.trace import MODE, Box
from tabgrad.hosts.devices import device

P = ParamSpec("P")
R = TypeVar("R")

FEW = 1 << 12
"""The most elements of an operand: for more the arithmetic takes longer than the way to it."""
MOST = 128
"""The most chains of one function that are kept."""
CPU = device("cpu")
SETTINGS = frozenset((bool, int, str, type(None), DType))
"""The types of arguments that are neither tensors, floats, devices, nor tuples or lists of such."""
_MET = object()
"""Stands for the chain of a call that has been made too seldom."""


class Waiting:
    """How often a function is called with certain specs and settings until that is recorded."""

    calls = 2


def composed(fn: Callable[P, R]) -> Callable[P, R]:
    """Do what `chained` does, and record calls with tensors of devices that record ops as one node.

    The function gives one tensor, and its ops are the same on all devices.
    """
    return chained(fn, True)


def chained(fn: Callable[P, R], everywhere: bool = False) -> Callable[P, R]:
    """Let calls of a function with small tensors of `cpu` that record no history run as a chain.

    The function must do nothing but apply ops, chosen by specs and by the other arguments, or raise. Where it
    reads a value, draws, writes, or gives a view, nothing is recorded, and it is called as ever.
    """
    chains: dict[Any, Any] = {}

    @functools.wraps(fn)
    def call(*args: P.args, **named: P.kwargs) -> R:
        mode = MODE.get()
        if not mode.plain:
            return fn(*args, **named)
        key: list[Any] = [get_default_dtype()]
        operands = []
        given: list[Any] = [*args, *named.values()]
        for a in given:
            kind = a.__class__
            if isinstance(a, Box):
                if a._parts is not None or a.device is not CPU or a.owner is not None:
                    return (recorded_as_nodes if everywhere else fn)(*args, **named)
                if a.alias is not None:
                    a.alias.refresh(a)
                if a.spec.size > FEW or (a.tracked and mode.grad):
                    return fn(*args, **named)
                key.append(a.spec)
                operands.append(a.value)
            elif kind in SETTINGS or a is CPU:
                key += kind, a
            elif kind is float:
                # 0.0 and -0.0 are equal as keys
                key += kind, a or str(a)
            elif kind is tuple or kind is list or kind is Size:
                key += kind, len(a)
                given += a
            else:
                return fn(*args, **named)
        if named:
            key += named
        its = tuple(key)
        found = chains.get(its)
        if found is None or found is _MET:
            found = _recorded(chains, its, fn, args, named)
        if not found:
            return fn(*args, **named)
        chain, joined = found
        y: R = joined(chain(operands))
        return y

    nodes: list[Callable[P, R]] = []

    def recorded_as_nodes(*args: P.args, **named: P.kwargs) -> R:
        if not nodes:
            from tabgrad.tensor.composed import as_nodes

            nodes.append(as_nodes(fn, SETTINGS, MOST))
        return nodes[0](*args, **named)

    return call


def _recorded(
    chains: dict[Any, Any], key: Any, fn: Any, args: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """Return the chain and what joins its results, or () if there is none, or none yet; note it."""
    if key not in chains and Waiting.calls > 1:
        if len(chains) >= MOST:
            chains.clear()
        chains[key] = _MET
        return ()
    from tabgrad.hosts.chains import recorded

    found = chains[key] = recorded(fn, args, named) or ()
    return found


__all__ = ["chained", "composed"]
