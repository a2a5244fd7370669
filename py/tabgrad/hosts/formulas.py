"""Formulas of ops on `cpu` that run as chains on few elements: rules of derivatives, which recur in each step.

On many elements NumPy takes its time for the arithmetic, and not for the way to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.core.spec import ShapeOnly
from tabgrad.core.trace import Mode
from tabgrad.hosts.chains import CPU, MANY, RECORDER, recorded

MOST = 1024
"""The most chains that are kept."""
_FOUND: dict[Any, Any] = {}
_MET = object()
"""Stands for the chain of a formula that has been met once."""
_NUMBERS = frozenset((type(None), bool, int, float))


def at_once(fn: Callable[..., Any], args: tuple[Any, ...], mode: Mode) -> Any:
    """Return fn(*args), or None where this is of no use: the caller calls it then.

    `fn` must do nothing but apply ops, chosen by specs and numbers. Nothing is recorded for gradients, so there
    is a result only where nothing would be.
    """
    key: list[Any] = [fn]
    values: list[Any] = []
    for a in args:
        kind = a.__class__
        if kind in _NUMBERS:
            key += kind, (a or str(a))
        elif kind is ShapeOnly:
            key += ShapeOnly, a.spec
        elif a._parts is not None or a.device is not CPU or a.owner is not None:
            return None
        else:
            if a.alias is not None:
                a.alias.refresh(a)
            if a.spec.size > MANY or (a.tracked and mode.grad):
                return None
            key.append(a.spec)
            values.append(a.value)
    its = tuple(key)
    found = _FOUND.get(its)
    if found is None:
        if len(_FOUND) >= MOST:
            _FOUND.clear()
        _FOUND[its] = _MET
        return None
    if found is _MET:
        found = _FOUND[its] = _prepared(fn, args) or ()
    return found(values) if found else None


def _prepared(fn: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[list[Any]], Any] | None:
    """Return what computes the formula from arrays; None if it is no chain, or one of a single step."""

    def cut(a: Any) -> Any:
        return ShapeOnly(a.spec, RECORDER) if a.__class__ is ShapeOnly else a

    found = recorded(fn, tuple([cut(a) for a in args]), {})
    if found is None or len(found[0].steps) < 2:
        return None
    chain, joined = found
    return lambda values: joined(chain(values))
