"""Specs (shape and dtype) and the static parameters of ops, both interned."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tabgrad.core.dtype import DType
from tabgrad.core.shape import Shape

if TYPE_CHECKING:
    from tabgrad.hosts.devices import Device


class Spec:
    """A shape and a dtype. Interned by `spec`, so equal specs are the same object."""

    __slots__ = ("dtype", "shape", "size")

    def __init__(self, shape: Shape, dtype: DType) -> None:
        self.shape = shape
        self.dtype = dtype
        self.size = 1
        for n in shape:
            self.size *= n

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    def __reduce__(self) -> tuple[object, ...]:
        return (spec, (self.shape, self.dtype))


class ShapeOnly:
    """An input whose shape, dtype and device a vjp rule may read, but not its value."""

    __slots__ = ("device", "spec")

    def __init__(self, spec: Spec, device: Device) -> None:
        self.spec = spec
        self.device = device

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the input."""
        return self.spec.shape


_SPECS: dict[tuple[Shape, DType], Spec] = {}


def spec(shape: Shape, dtype: DType) -> Spec:
    """Return the one Spec of this shape and dtype."""
    found = _SPECS.get((shape, dtype))
    if found is None:
        # one object for all threads
        found = _SPECS.setdefault((shape, dtype), Spec(tuple(int(n) for n in shape), dtype))
    return found


class Params(dict[str, object]):
    """The static parameters of one application of an op. Interned: compare with `is`."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


NO_PARAMS = Params()
_PARAMS: dict[tuple[object, ...], Params] = {}


def _kind(value: object) -> object:
    """Return a key that differs for values that compare equal: 1 and True, 0.0 and -0.0."""
    return str(value) if value == 0.0 and value.__class__ is float else type(value)


def intern_params(params: dict[str, object]) -> Params:
    """Return the one Params equal to `params`; their values must be hashable."""
    if not params:
        return NO_PARAMS
    key = (tuple(params.items()), tuple(map(_kind, params.values())))
    found = _PARAMS.get(key)
    if found is None:
        found = _PARAMS.setdefault(key, Params(params))
    return found


@lru_cache(4096)
def shape_params(shape: Shape) -> Params:
    """Return the one Params whose only parameter is `shape`."""
    return intern_params({"shape": shape})
