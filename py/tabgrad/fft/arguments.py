"""What the transforms share in reading their arguments: lengths, dims, dtypes, norms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.ops import view as v
from tabgrad.tensor.arguments import axis, ints

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Ints


def floating(name: str, x: Tensor) -> Tensor:
    """Return `x` in the dtype it is transformed in: integers and bools take the default dtype.

    Raises DTypeError for half precision, and for a dtype whose complex one the device lacks.
    """
    dtype = x.spec.dtype
    if dtype.category < dt.FLOAT:
        dtype = x.device.canonical(dt.get_default_dtype())
    if dtype in dt.HALVES:
        raise DTypeError(f"fft.{name}: Unsupported dtype {dtype.title}; cast it with .float()")
    x.device.canonical(dt.complex_of(dt.real_of(dtype)))
    return cast(x, dtype)


def complex_(name: str, x: Tensor) -> Tensor:
    """Return `x` in the complex dtype that it is transformed in."""
    x = floating(name, x)
    return cast(x, dt.complex_of(dt.real_of(x.spec.dtype)))


def real(name: str, x: Tensor) -> Tensor:
    """Return `x` in the real dtype that it is transformed in; raise DTypeError for a complex tensor."""
    if x.spec.dtype.is_complex:
        raise DTypeError(
            f"fft.{name}: {name} expects a real input tensor, but got {x.spec.dtype.title}; "
            "take its real part"
        )
    return floating(name, x)


def length(name: str, n: Any, default: int) -> int:
    """Return the number of points; raise for what is no int, or less than 1."""
    if n is None:
        n = default
    elif not hasattr(n, "__index__") or isinstance(n, bool):
        raise TypeError(f"fft_{name}(): argument 'n' must be int, not {type(n).__name__}")
    n = n.__index__()
    if n < 1:
        raise ShapeError(
            f"fft.{name}: Invalid number of data points ({n}) specified; it must be at least 1"
        )
    return int(n)


def along(name: str, dim: Any, x: Tensor) -> int:
    """Return `dim` counted from the front; a 0-d tensor has none."""
    if not hasattr(dim, "__index__"):
        raise TypeError(f"fft_{name}(): argument 'dim' must be int, not {type(dim).__name__}")
    rank = len(x.spec.shape)
    if not rank:
        raise IndexError(
            f"fft.{name}: Dimension specified as {dim} but tensor has no dimensions; give it one"
        )
    return axis(f"fft.{name}", dim, rank)


def dims_and_lengths(
    name: str, x: Tensor, s: Dims | None, dim: Dims | None, halved: bool = False
) -> tuple[Ints, Ints]:
    """Return the dims that are transformed, in their order, and the number of points along each.

    In `s`, -1 stands for all that there are; where the last dim is `halved`, these are an even number.
    """
    shape = x.spec.shape
    given = None if s is None else ints(f"fft.{name}", (s,))
    over = _dims(name, x, given, dim)
    points = [
        shape[d] if n == -1 else n for d, n in zip(over, given or (-1,) * len(over), strict=True)
    ]
    if halved and over and (given is None or given[-1] == -1):
        points[-1] = 2 * (points[-1] - 1)
    return over, tuple([length(name, n, n) for n in points])


def _dims(name: str, x: Tensor, given: Ints | None, dim: Dims | None) -> Ints:
    """Return the dims that `dim` names, or by default as many of the last as there are lengths, or all."""
    rank = len(x.spec.shape)
    if dim is not None:
        over = tuple(along(name, d, x) for d in (dim if isinstance(dim, Iterable) else (dim,)))
        if len({*over}) != len(over):
            raise ShapeError(f"fft.{name}: FFT dims must be unique, got {over}")
        if given is not None and len(given) != len(over):
            raise ShapeError(
                f"fft.{name}: When given, dim and shape arguments must have the same length, got "
                f"{len(over)} and {len(given)}"
            )
        return over
    count = rank if given is None else len(given)
    if count > rank:
        raise ShapeError(
            f"fft.{name}: Got shape with {count} values but input tensor only has {rank} dimensions."
        )
    return tuple(range(rank - count, rank))


def some(name: str, dims: Sequence[int]) -> None:
    """Raise ShapeError for no dims: the last one is special."""
    if not dims:
        raise ShapeError(f"fft.{name}: {name} must transform at least one axis; name one in dim")


def resized(x: Tensor, dim: int, n: int) -> Tensor:
    """Return `x` with `n` elements along `dim`: cut off at the end, or followed by zeros."""
    size = x.spec.shape[dim]
    if n == size:
        return x
    if n < size:
        return v.part(x, dim, 0, n)
    none = (0,) * len(x.spec.shape)
    high = tuple(n - size if i == dim else 0 for i in range(len(none)))
    return v.pad.bind(x, low=none, high=high, interior=none)


def scale_of(name: str, norm: Any, n: int, inverse: bool) -> float:
    """Return what a transform of `n` points is multiplied by for a norm."""
    if not isinstance(norm, str | None):
        raise TypeError(f"fft_{name}(): argument 'norm' must be str, not {type(norm).__name__}")
    if norm == "ortho":
        return 1 / math.sqrt(n)
    if norm not in (None, "backward", "forward"):
        raise ArgumentError(
            f'fft.{name}: Invalid normalization mode: "{norm}"; it is "forward", "backward" or "ortho"'
        )
    return 1 / n if inverse is (norm != "forward") else 1.0
