"""Formulas of element-wise ops on `cpu`, run in one pass: as a chain, on one block of elements after the other.

Where NumPy computes each op of a formula for all elements, each result goes to memory and comes back. A block's
results stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.core.spec import ShapeOnly, spec as spec_of
from tabgrad.core.trace import Mode, wrap
from tabgrad.hosts import reference
from tabgrad.hosts.chains import CPU, MANY, RECORDER, Chain, recorded

BLOCK = 1 << 13
"""The elements of a block."""
MOST = 1024
"""The most chains that are kept."""
_FOUND: dict[Any, Any] = {}
_MET = object()
"""Stands for the chain of a formula that has been met once."""
_NUMBERS = frozenset((type(None), bool, int, float))


def in_one_pass(fn: Callable[..., Any], args: tuple[Any, ...], mode: Mode) -> Any:
    """Return fn(*args), or None where this is of no use: the caller calls it then.

    `fn` must apply element-wise ops alone, to tensors of one shape or with none, and to numbers. Nothing is
    recorded for gradients, so there is a result only where nothing would be.
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
            if a.tracked and mode.grad:
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
    """Return what computes the formula from arrays, None if one pass is of no use."""
    specs = [a.spec for a in args if a.__class__ not in _NUMBERS]
    shape = max([s.shape for s in specs], key=len)
    if any(s.shape != shape and s.shape for s in specs):
        return None
    size = spec_of(shape, specs[0].dtype).size
    if size <= MANY:
        found = _chain(fn, args, shape, shape)
        return None if found is None else _Whole(*found)
    whole = _chain(fn, args, shape, (BLOCK,))
    rest = _chain(fn, args, shape, (size % BLOCK,)) if size % BLOCK else whole
    if whole is None or rest is None:
        return None
    return _Blocks(shape, whole[0], rest[0], whole[1])


def _chain(
    fn: Callable[..., Any], args: tuple[Any, ...], shape: Any, part: Any
) -> tuple[Chain, Any] | None:
    """Record the formula for operands of the shape `part` in place of `shape`; None if it has one step."""

    def cut(a: Any) -> Any:
        if a.__class__ in _NUMBERS:
            return a
        spec = spec_of(part, a.spec.dtype) if a.spec.shape == shape else a.spec
        return ShapeOnly(spec, RECORDER) if a.__class__ is ShapeOnly else wrap(None, spec, CPU)

    found = recorded(fn, tuple([cut(a) for a in args]), {})
    if found is None or len(found[0].steps) < 2:
        return None
    return found if all(spec.shape == part for _, spec in found[0].results) else None


class _Whole:
    """Computes all elements at once."""

    def __init__(self, chain: Chain, joined: Any) -> None:
        self.chain, self.joined = chain, joined

    def __call__(self, values: list[Any]) -> Any:
        return self.joined(self.chain(values))


class _Blocks:
    """Computes one block after the other."""

    def __init__(self, shape: Any, chain: Chain, rest: Chain, joined: Any) -> None:
        self.shape, self.chain, self.rest, self.joined = shape, chain, rest, joined
        self.specs = [spec_of(shape, spec.dtype) for _, spec in chain.results]

    def __call__(self, values: list[Any]) -> Any:
        lines = [_line(v) for v in values]
        size = self.specs[0].size
        outs = [np.empty(size, reference.array_name(spec.dtype)) for spec in self.specs]
        for start in range(0, size, BLOCK):
            end = start + BLOCK
            chain = self.chain if end <= size else self.rest
            parts = [v[start:end] if v.ndim else v for v in lines]
            for out, y in zip(outs, chain(parts), strict=True):
                out[start:end] = y.value
        found = zip(outs, self.specs, strict=True)
        return self.joined([wrap(out.reshape(self.shape), spec, CPU) for out, spec in found])


def _line(value: Any) -> Any:
    """Return an array as a line, which one number fills where that fills the array."""
    if not value.ndim or value.flags.c_contiguous:
        return value.reshape(-1) if value.ndim else value
    if not any(value.strides):
        return np.broadcast_to(value[(0,) * value.ndim], (value.size,))
    return value.reshape(-1)
