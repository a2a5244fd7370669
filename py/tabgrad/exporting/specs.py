"""Descriptions of the arguments of a static graph, and the sizes at which it is traced."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tabgrad.core.dtype import DType, get_default_dtype
from tabgrad.exporting.formulas import Sizes
from tabgrad.hosts.devices import Device, device as device_of

PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)
FAR = 97
"""The distance of the largest sample from the smallest one, for a size without a bound."""


class Dim:
    """An unknown size, by name; `min` and `max` bound it, both included.

    >>> import tabgrad as tg
    >>> tg.export.Dim("length", max=64)
    Dim('length', max=64)
    """

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise TypeError(f"Dim: the name of a size is an identifier, not {name!r}")
        if (min is not None and min < 0) or (max is not None and (max < 2 or max < (min or 0))):
            raise ValueError(
                f"Dim: {name} can't be from {min} to {max}; the upper bound is 2 or more"
            )
        self.name, self.min, self.max = name, min, max

    def __repr__(self) -> str:
        bounds = {"min": self.min, "max": self.max}
        given = "".join(f", {k}={v}" for k, v in bounds.items() if v is not None)
        return f"Dim({self.name!r}{given})"

    @property
    def low(self) -> int:
        """The smallest size at which to trace: 0 and 1 are special cases."""
        return 2 if self.min is None or self.min < 2 else self.min

    def holds(self, size: int) -> bool:
        """Whether a size lies within the bounds."""
        return (self.min is None or size >= self.min) and (self.max is None or size <= self.max)


class TensorSpec:
    """The shape, dtype and device of a tensor argument.

    A size is an int; an unknown size is a name, a Dim or None. The same name means the same size everywhere,
    and each None is a separate size.

    >>> import tabgrad as tg
    >>> tg.export.TensorSpec(("batch", 784))
    TensorSpec(('batch', 784), tabgrad.float32)
    """

    def __init__(
        self, shape: Sequence[int | str | Dim | None], dtype: DType | None = None,
        device: str | Device | None = None,
    ) -> None:  # fmt: skip
        self.dims = tuple([n if isinstance(n, int) else _dim(n) for n in shape])
        if any(isinstance(n, int) and n < 0 for n in self.dims):
            raise ValueError(f"TensorSpec: sizes can't be negative: {tuple(shape)}")
        self.dtype = get_default_dtype() if dtype is None else dtype
        self.device: Device | None = None if device is None else device_of(device)

    @property
    def shape(self) -> tuple[int | str, ...]:
        """The sizes: ints, and names of the unknown ones."""
        return tuple([n.name if isinstance(n, Dim) else n for n in self.dims])

    def __repr__(self) -> str:
        return f"TensorSpec({self.shape}, {self.dtype!r})"


_number = itertools.count().__next__


def _dim(n: str | Dim | None) -> Dim:
    if n is None:
        n = f"size_{_number()}"
    return n if isinstance(n, Dim) else Dim(n)


def unknown_sizes(specs: Sequence[Any]) -> dict[str, Dim]:
    """Return the unknown sizes of argument leaves by name; raise ValueError if one has two bounds."""
    found: dict[str, Dim] = {}
    for n in [n for s in specs if isinstance(s, TensorSpec) for n in s.dims if isinstance(n, Dim)]:
        known = found.get(n.name)
        if known is None or (known.min is None and known.max is None):
            found[n.name] = n
        elif not (n.min is None and n.max is None) and (n.min, n.max) != (known.min, known.max):
            raise ValueError(f"export: {n.name} is both {known} and {n}")
    return dict(sorted(found.items()))


def sample_sizes(dims: Sequence[Dim]) -> list[Sizes]:
    """Choose the sizes at which to trace: enough to distinguish sums, products and quotients, and both ends.

    >>> sample_sizes([Dim("n", max=50)])[:3]
    [{'n': 5}, {'n': 7}, {'n': 11}]
    """
    if not dims:
        return [{}]
    count = len(dims)
    base = {d.name: _pick(d, i) for i, d in enumerate(dims)}
    other = {d.name: _pick(d, i + count) for i, d in enumerate(dims)}
    found = []
    for picks in itertools.product((base, other), repeat=min(count, 4)):
        chosen = {d.name: p[d.name] for d, p in zip(dims, picks, strict=False)}
        found.append({**base, **chosen})
    found.append({d.name: _pick(d, 2 * count + 3 * i) for i, d in enumerate(dims)})
    for d in dims:
        near = [base[d.name] + step for step in (1, 2, 3, 8, 20, 45)]
        ends = [d.low] if d.min is not None else []
        ends.append(d.low + FAR if d.max is None else d.max)
        found += [{**base, d.name: n} for n in (*near, *ends) if d.holds(n) and n > 1]
    return [s for i, s in enumerate(found) if s not in found[:i]]


def _pick(d: Dim, i: int) -> int:
    """Return size number `i` for a sample: a prime if the bounds allow enough of them."""
    low, high = d.low, d.max
    pool = [p for p in PRIMES if d.holds(p)]
    if len(pool) < 4:
        stop = low + 64 if high is None else min(high, low + 64) + 1
        pool = list(range(low, stop))
    return pool[i % len(pool)]
