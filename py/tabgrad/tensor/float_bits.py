"""The parts of floating-point numbers, and their neighbours, read from their bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError
from tabgrad.core.promotion import cast, expand, result_dtype, together
from tabgrad.core.shape import broadcast
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, rounding as r
from tabgrad.ops.bits import bitcast
from tabgrad.tensor import return_types
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import publish, takes_out
from tabgrad.transforms.custom import custom_jvp

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

INTEGERS = {dt.float32: dt.int32, dt.float64: dt.int64}
"""The integers of the same size."""


def _wide(dtype: dt.DType) -> dt.DType:
    """Return the dtype whose bits are looked at: GPUs have no 16-bit integers."""
    return dt.float32 if dtype in dt.HALVES else dtype


def _rank(x: Any) -> Any:
    """Return integers that have the order of the numbers, one apart for neighbours; both zeros are 0."""
    dtype, wide = x.spec.dtype, cast(x, _wide(x.spec.dtype))
    kind = INTEGERS[wide.spec.dtype]
    bits = bitcast.bind(wide, dtype=kind)
    size = r.bitwise_and(bits, 2 ** (8 * kind.itemsize - 1) - 1)
    if dtype is dt.bfloat16:
        size = r.bitwise_right_shift(size, 16)
    elif dtype is dt.float16:
        normal = e.minimum(e.sub(r.bitwise_right_shift(size, 13), 112 << 10), 31 << 10)
        tiny = r.lt(size, 113 << 23)
        size = e.where(tiny, cast(e.mul(e.abs_(wide), 2.0**24), kind), normal)
    return e.where(r.lt(bits, 0), e.neg(size), size)


def _of_rank(rank: Any, negative: Any, dtype: dt.DType) -> Any:
    """Return the numbers of these ranks; `negative` says which have a minus, zeros too."""
    wide, bits = _wide(dtype), e.abs_(rank)
    kind = INTEGERS[wide]
    if dtype is dt.bfloat16:
        bits = r.bitwise_left_shift(bits, 16)
    elif dtype is dt.float16:
        tiny = bitcast.bind(e.mul(cast(bits, wide), 2.0**-24), dtype=kind)
        normal = r.bitwise_left_shift(e.add(bits, 112 << 10), 13)
        bits = e.where(r.lt(bits, 1 << 10), tiny, normal)
    bits = e.where(negative, r.bitwise_or(bits, -(2 ** (8 * kind.itemsize - 1))), bits)
    return cast(bitcast.bind(bits, dtype=wide), dtype)


@custom_jvp
def _neighbour(x: Any, y: Any) -> Any:
    """Return the number beside `x` on the way to `y`."""
    here, there = _rank(x), _rank(y)
    up, down = r.lt(here, there), r.gt(here, there)
    moved = e.where(up, e.add(here, 1), e.where(down, e.sub(here, 1), here))
    negative = e.where(r.eq(moved, 0), r.lt(here, 0), r.lt(moved, 0))
    found = _of_rank(moved, negative, x.spec.dtype)
    value = e.where(up, found, e.where(down, found, y))
    return e.where(r.isnan(x), x, e.where(r.isnan(y), y, value))


_neighbour.defjvps(lambda t, _, x, y: e.where(r.eq(x, y), 0, t), lambda t, *_: e.mul(t, 0))


@takes_out
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """Return the next floating-point number after each element in the direction of `other`.

    The derivative by `input` is 1, and 0 where both are equal; that by `other` is 0.

    >>> import tabgrad as tg
    >>> one = tg.ones(1, device="cpu")
    >>> tg.nextafter(one, 2 * one) - one == tg.finfo(tg.float32).eps
    tensor([True])
    """
    for place, (name, x) in enumerate((("input", input), ("other", other)), 1):
        if not isinstance(x, Box):
            raise TypeError(
                f"nextafter(): argument '{name}' (position {place}) must be Tensor, not {type(x).__name__}"
            )
    input, other = together("nextafter", input, other)
    dtype = input.device.canonical(result_dtype(input, other))
    if dtype.category != dt.FLOAT:
        raise DTypeError(
            f"\"nextafter\" not implemented for '{dtype.title}'; cast it with .float()"
        )
    shape = broadcast("nextafter", input.spec.shape, other.spec.shape)
    return _neighbour(expand(cast(input, dtype), shape), expand(cast(other, dtype), shape))


def _parts(x: Tensor) -> tuple[Any, Any]:
    """Return the mantissa and the exponent of float32 or float64."""
    kind = INTEGERS[x.spec.dtype]
    fraction, bias = (23, 126) if kind is dt.int32 else (52, 1022)
    mask = 2**fraction - 1
    bits = bitcast.bind(x, dtype=kind)
    rest = r.bitwise_and(bits, mask)
    field = r.bitwise_and(r.bitwise_right_shift(bits, fraction), 2 * bias + 3)
    # below the normal numbers the fraction is a whole number, whose own bits say where it begins
    whole = bitcast.bind(cast(rest, x.spec.dtype), dtype=kind)
    tiny = r.eq(field, 0)
    power = e.where(tiny, e.sub(r.bitwise_right_shift(whole, fraction), bias + fraction), field)
    half = e.where(tiny, r.bitwise_and(whole, mask), rest)
    sign = r.bitwise_and(bits, -(2 ** (8 * kind.itemsize - 1)))
    mantissa = r.bitwise_or(r.bitwise_or(half, bias << fraction), sign)
    proper = r.bitwise_and(r.ne(r.bitwise_or(field, rest), 0), r.ne(field, 2 * bias + 3))
    return (
        e.where(proper, bitcast.bind(mantissa, dtype=x.spec.dtype), x),
        cast(e.where(proper, e.sub(power, bias), 0), dt.int32),
    )


@custom_jvp
def _mantissa(x: Any) -> Any:
    return _parts(x)[0]


_mantissa.defjvps(lambda t, _y, x: e.mul(t, e.exp2(cast(e.neg(_parts(x)[1]), x.spec.dtype))))


@takes_out
def frexp(input: Tensor) -> return_types.frexp:
    """Return (mantissa, exponent): the mantissa in [0.5, 1) times 2 ** exponent is the number.

    Of 0, infinite numbers and nan the mantissa is the number and the exponent 0. The exponent is int32.

    >>> import tabgrad as tg
    >>> mantissa, exponent = tg.frexp(tg.tensor([3.0, -0.25], device="cpu"))
    >>> mantissa, exponent
    (tensor([ 0.7500, -0.5000]), tensor([ 2, -1], dtype=tabgrad.int32))
    """
    dtype = input.spec.dtype
    if dtype.category != dt.FLOAT:
        raise DTypeError(
            f"frexp() only supports floating-point dtypes, got {dtype!r}; cast it with .float()"
        )
    x = cast(input, dt.float32) if dtype in dt.HALVES else input
    exponent = _parts(e.stop_gradient(x))[1]
    return return_types.frexp(cast(_mantissa(x), dtype), exponent)


class FloatBitsMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    frexp = frexp
    nextafter, nextafter_ = nextafter, in_place(nextafter)


__all__ = ["frexp", "nextafter"]

publish(globals())
