"""Functions whose calls are recorded as one node on devices that record ops (`hosts/composed.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tabgrad.core.dtype import get_default_dtype
from tabgrad.core.shape import Size
from tabgrad.core.spec import NO_PARAMS
from tabgrad.core.trace import MODE, Box, wrap
from tabgrad.hosts.composed import composed

P = ParamSpec("P")
R = TypeVar("R")


def as_nodes(fn: Callable[P, R], settings: frozenset[Any], most: int) -> Callable[P, R]:
    """Record calls of a function in plain mode as one node each, where a device records ops.

    `settings` are the types of arguments that are told apart by value, and `most` is how many ops are kept.
    """
    known: dict[Any, Any] = {}

    def call(*args: P.args, **named: P.kwargs) -> R:
        grad, place = MODE.get().grad, None
        key: list[Any] = [get_default_dtype()]
        values, specs = [], []
        given: list[Any] = [*args, *named.values()]
        for a in given:
            kind = a.__class__
            if isinstance(a, Box):
                if a._parts is not None or a.owner is not None or (a.tracked and grad):
                    return fn(*args, **named)
                if a.device is not place:
                    if place is not None or a.device.recorder is None:
                        return fn(*args, **named)
                    place = a.device
                    key.append(place.type)
                if a.alias is not None:
                    a.alias.refresh(a)
                values.append(a.value)
                specs.append(a.spec)
                key.append(a.spec)
            elif kind in settings:
                key += kind, a
            elif kind is float:
                key += kind, a or str(a)
            elif kind is tuple or kind is list or kind is Size:
                key += kind, len(a)
                given += a
            else:
                return fn(*args, **named)
        if place is None:
            return fn(*args, **named)
        if named:
            key += named
        its = tuple(key)
        found = known.get(its)
        if found is None:
            found = () if len(known) >= most else _written(known, its, fn, args, named, place)
        if not found:
            return fn(*args, **named)
        value, its_spec = place.backend.run(found, tuple(values), tuple(specs), NO_PARAMS)
        y: Any = wrap(value, its_spec, place)
        return y

    return call


def _written(
    known: dict[Any, Any], key: Any, fn: Any, args: tuple[Any, ...], named: dict[str, Any], place: Any
) -> Any:  # fmt: skip
    """Return the op that does what a function does, () if there is none; note it.

    It is written at the first call, so that the plans of the first step are those of all. A function that goes
    on to be called with other settings each time gets no more.
    """
    found = known[key] = composed(fn, args, named, place) or ()
    return found


__all__ = ["as_nodes"]
