"""What the functions share in reading their arguments: dims, sizes, operands, dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.promotion import cast, moved
from tabgrad.core.scalars import fits
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant

if TYPE_CHECKING:
    from typing import SupportsIndex

    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Dims, Ints, Number


def axis(name: str, dim: SupportsIndex, rank: int) -> int:
    """Return `dim` counted from the front.

    Raises IndexError in PyTorch's words outside [-rank, rank); a 0-d tensor counts as one of rank 1.
    """
    bound = rank or 1
    try:
        dim = dim.__index__()
    except AttributeError:
        raise TypeError(f"{name}: dim must be an int, not {type(dim).__name__}") from None
    if not -bound <= dim < bound:
        raise IndexError(
            f"{name}: Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], "
            f"but got {dim})"
        )
    return dim + bound if dim < 0 else dim


def axes(name: str, dim: Dims | None, rank: int, empty_is_all: bool = True) -> Ints:
    """Return the sorted axes that an int, a sequence of ints, or None (all of them) names."""
    if dim is None:
        return tuple(range(rank))
    if type(dim) is int:
        return (axis(name, dim, rank),) if rank else (axis(name, dim, 0),)[:0]
    if not isinstance(dim, Iterable):
        return axes(name, dim.__index__(), rank)
    out = sorted([axis(name, d, rank) for d in dim])
    if not out and empty_is_all:
        return tuple(range(rank))
    if len(set(out)) != len(out):
        raise ShapeError(f"{name}: dim {tuple(dim)} names an axis twice")
    return tuple(out) if rank else ()


def spread(args: tuple[Any, ...], named: Any) -> Any:
    """Return an argument that was given one by one, as one sequence, or by its name."""
    if named is not None or not args:
        return named
    return args[0] if len(args) == 1 else args


def listed(given: tuple[Any, ...]) -> tuple[Any, ...] | list[Any]:
    """Return what is given one by one, or as one list or tuple."""
    return given[0] if len(given) == 1 and isinstance(given[0], list | tuple) else given


def ints(name: str, values: tuple[Any, ...], named: Dims | None = None) -> Ints:
    """Return ints that were given one by one, as one sequence, or by their name."""
    if named is not None:
        values = (named,)
    if len(values) == 1 and not hasattr(values[0], "__index__"):
        values = tuple(values[0])
    elif len(values) == 1 and isinstance(values[0], Box) and values[0].spec.shape:
        values = tuple(values[0])  # type: ignore[arg-type]
    try:
        return tuple([n if type(n) is int else n.__index__() for n in values])
    except AttributeError:
        raise TypeError(
            f"{name}: expected ints, got {', '.join(type(n).__name__ for n in values)}"
        ) from None


def sizes(name: str, values: tuple[Any, ...], named: Dims | None = None) -> Ints:
    """Return a shape that was given as `ints` reads it; no size may be negative."""
    out = ints(name, values, named)
    for n in out:
        if n < 0:
            raise ShapeError(f"{name}: sizes must not be negative, got {out}")
    return out


def countable(name: str, n: int, device: Device) -> None:
    """Raise DTypeError where a place, or a number, of up to `n` elements doesn't fit the device's integers."""
    if n > 2**31 - 1 and device.index_dtype.itemsize < 8:
        raise DTypeError(
            f"{name}: over {n:,} elements the result needs int64, which {device} does not have; do it in parts"
        )


def floating(name: str, x: Tensor) -> Tensor:
    """Return `x` as a floating-point or complex tensor: integers and bools take the default dtype."""
    if x.spec.dtype.category >= dt.FLOAT:
        return x
    return cast(x, dt.get_default_dtype())


def real(name: str, x: Tensor) -> None:
    """Raise DTypeError for a complex tensor."""
    if x.spec.dtype.is_complex:
        raise DTypeError(f"{name}: not defined for {x.spec.dtype!r}")


def as_dtype(x: Tensor, dtype: dt.DType) -> Tensor:
    """Return `x` as the dtype that its device has for `dtype`."""
    return cast(x, x.device.canonical(dtype))


def index_tensor(name: str, index: Tensor) -> Tensor:
    """Return `index`, which must be a tensor of int64 or int32 (or empty), as the device's index dtype."""
    if not isinstance(index, Box):
        raise TypeError(f"{name}: expected an index tensor, got {type(index).__name__}")
    if index.spec.dtype not in (dt.int64, dt.int32) and index.spec.size:
        raise DTypeError(
            f"{name}(): Expected dtype int32/int64 for index, got {index.spec.dtype!r}"
        )
    return cast(index, index.device.index_dtype)


def scalar(name: str, value: Tensor | Number, like: Tensor) -> Tensor:
    """Return a Python number or 0-d tensor as a 0-d tensor of the dtype and device of `like`."""
    if isinstance(value, Box):
        if value.spec.size != 1 or value.spec.shape:
            raise ShapeError(
                f"{name}: expected a number or a 0-d tensor, got shape {value.spec.shape}"
            )
        return cast(moved(value, like.device), like.spec.dtype)
    return constant(fits(name, value, like.spec.dtype), spec((), like.spec.dtype), like.device)


def tensors(name: str, values: Iterable[Tensor]) -> list[Tensor]:
    """Return a non-empty sequence of tensors as a list."""
    if isinstance(values, Box) or not isinstance(values, Sequence | Iterable):
        raise TypeError(f"{name}: expected a tuple or list of tensors, got {type(values).__name__}")
    out = list(values)
    if not out:
        raise ShapeError(f"{name}: expected a non-empty list of tensors")
    for i, x in enumerate(out):
        if not isinstance(x, Box):
            raise TypeError(f"{name}: expected tensors, element {i} is {type(x).__name__}")
    return out
