"""Complex numbers: made of two parts, taken apart, seen as pairs; angles and signs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.promotion import cast, expand, result_dtype, widened
from tabgrad.core.shape import broadcast
from tabgrad.core.spec import NO_PARAMS
from tabgrad.ops import elementwise as e, parts, rounding as r, trigonometry
from tabgrad.tensor.aliasing import View, conjugated, refreshed, view
from tabgrad.tensor.arguments import floating
from tabgrad.tensor.comparison import ones_mask
from tabgrad.tensor.inplace import in_place
from tabgrad.tensor.public import publish, takes_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.layout import memory_format as MemoryFormat


def _two(name: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return two real tensors of one dtype in one shape."""
    one, two = x.spec.dtype, y.spec.dtype
    if not (one.is_floating_point and two.is_floating_point):
        raise DTypeError(
            f"{name}: Expected both inputs to be Float or Double tensors but got {one.title} and {two.title}; "
            "cast them with .float()"
        )
    if one is not two:
        raise DTypeError(
            f"{name}: Expected object of scalar type {one.title} but got scalar type {two.title} for second "
            "argument; cast one of them"
        )
    if one in dt.HALVES:
        raise DTypeError(
            f"{name}: Expected both inputs to be Float or Double tensors but got {one.title} and {two.title}: "
            "there are no complex numbers of half precision; cast them with .float()"
        )
    shape = broadcast(name, x.spec.shape, y.spec.shape)
    return expand(x, shape), expand(y, shape)


@takes_out
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """Return complex numbers of two real tensors of one dtype, float32 or float64, which broadcast.

    >>> import tabgrad as tg
    >>> tg.complex(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    tensor([1.+3.j, 2.+4.j])
    """
    return parts.complex_.bind(*_two("complex", real, imag))


@takes_out
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Return the complex numbers of these absolute values and angles in radians.

    >>> import tabgrad as tg
    >>> tg.polar(tg.tensor([1.0, 2.0]), tg.tensor([0.0, 0.0]))
    tensor([1.+0.j, 2.+0.j])
    """
    size, turn = _two("polar", abs, angle)
    re, im = (e.mul.bind(size, one.bind(turn)) for one in (trigonometry.cos, trigonometry.sin))
    return parts.complex_.bind(re, im)


def real(input: Tensor) -> Tensor:
    """Return the real parts as a view; a real tensor is returned itself.

    >>> import tabgrad as tg
    >>> x = tg.tensor([1 + 2j, 3 - 4j])
    >>> x.real.zero_()
    tensor([0., 0.])
    >>> x
    tensor([0.+2.j, 0.-4.j])
    """
    return view(parts.real, input, NO_PARAMS) if input.spec.dtype.is_complex else input


def imag(input: Tensor) -> Tensor:
    """Return the imaginary parts of a complex tensor as a view.

    >>> import tabgrad as tg
    >>> tg.imag(tg.tensor([1 + 2j, 3 - 4j]))
    tensor([ 2., -4.])
    """
    if not input.spec.dtype.is_complex:
        raise DTypeError(
            f"imag is not implemented for tensors with non-complex dtypes: got {input.spec.dtype!r}"
        )
    return view(parts.imag, input, NO_PARAMS)


def view_as_real(input: Tensor) -> Tensor:
    """Return a view of complex numbers as pairs of real ones along one more dim, the last.

    >>> import tabgrad as tg
    >>> tg.view_as_real(tg.tensor([1 + 2j, 3 - 4j]))
    tensor([[ 1.,  2.],
            [ 3., -4.]])
    """
    if not input.spec.dtype.is_complex:
        raise DTypeError(
            f"view_as_real is only supported for complex tensors, got {input.spec.dtype!r}"
        )
    return view(parts.as_real, input, NO_PARAMS)


def view_as_complex(input: Tensor) -> Tensor:
    """Return a view of the pairs along the last dim, of size 2, as complex numbers.

    The pairs must lie side by side in memory, as they do in a tensor that is contiguous.

    >>> import tabgrad as tg
    >>> tg.view_as_complex(tg.tensor([[1.0, 2.0], [3.0, -4.0]]))
    tensor([1.+2.j, 3.-4.j])
    """
    dtype, shape = input.spec.dtype, input.spec.shape
    if dtype not in (dt.float32, dt.float64):
        raise DTypeError(
            "view_as_complex is only supported for float and double tensors, but got a tensor of scalar type: "
            f"{dtype.title}; cast it with .float()"
        )
    if not shape:
        raise ShapeError("view_as_complex: Input tensor must have one or more dimensions")
    if shape[-1] != 2:
        raise ShapeError(
            f"view_as_complex: Tensor must have a last dimension of size 2, got shape {shape}"
        )
    its = input.alias
    if its.__class__ is View:
        steps, offset = its.strides
        if steps[-1] != 1:
            raise ShapeError(
                "view_as_complex: Tensor must have a last dimension with stride 1; use .contiguous()"
            )
        if any(s % 2 for s in steps[:-1]) or offset % 2:
            raise ShapeError(
                "view_as_complex: Tensor must have a stride divisible by 2 for all but last dimension, and a "
                "storage_offset divisible by 2; use .clone()"
            )
    return view(parts.as_complex, input, NO_PARAMS)


@takes_out
@widened
def angle(input: Tensor) -> Tensor:
    """Return the angles of complex numbers in radians, from -π to π; of real ones π where they are negative.

    >>> import tabgrad as tg
    >>> tg.angle(tg.tensor([-1.0, 0.0, 1.0]))
    tensor([3.1416, 0.0000, 0.0000])
    """
    if input.spec.dtype.is_complex:
        return trigonometry.atan2.bind(parts.imag.bind(input), parts.real.bind(input))
    x = floating("angle", input)
    found = e.where(r.lt(x, 0), math.pi, e.where(r.isnan(x), e.stop_gradient(x), 0))
    # the result hangs on the input, with the derivative 0
    return e.where(ones_mask(x), found, x)


def squared_size(x: Tensor) -> Tensor:
    """Return |x| ** 2, a real number."""
    re, im = (e.square.bind(one.bind(x)) for one in (parts.real, parts.imag))
    return e.add.bind(re, im)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """Return ln(exp(x) + exp(y)), without overflow of the one with the larger real part."""
    dtype = result_dtype(input, other)
    shape = broadcast("logaddexp", input.spec.shape, other.spec.shape)
    x, y = (expand(cast(z, dtype), shape) for z in (input, other))
    one, two = parts.real.bind(x), parts.real.bind(y)
    first = r.ge(one, two)
    high, low = e.where(first, x, y), e.where(first, y, x)
    # of equal infinities the difference is nan
    ends = r.bitwise_and(r.eq(one, two), r.isinf(one))
    plain = e.where(r.lt(one, 0), low, e.log.bind(e.add.bind(e.exp.bind(x), e.exp.bind(y))))
    gap = e.where(ends, 0, e.sub.bind(low, high))
    return e.where(ends, plain, e.add.bind(e.log1p.bind(e.exp.bind(gap)), high))


def sgn(input: Tensor) -> Tensor:
    """Return complex numbers divided by their absolute values, 0 for 0."""
    return parts.direction(input, parts.magnitude.bind(input))


@takes_out
def conj_physical(input: Tensor) -> Tensor:
    """Return the complex conjugates; of a real tensor itself."""
    return e.conj.bind(input) if input.spec.dtype.is_complex else input


def resolve_conj(input: Tensor) -> Tensor:
    """Return the tensor itself, or a copy of a view of conjugates."""
    return e.copy.bind(input) if is_conj(input) else refreshed(input)


def resolve_neg(input: Tensor) -> Tensor:
    """Return the tensor itself, or a copy of the imaginary parts of a view of conjugates."""
    return e.copy.bind(input) if is_neg(input) else refreshed(input)


def is_conj(input: Tensor) -> bool:
    """Return whether the tensor is a view whose memory has the conjugates of its elements.

    >>> import tabgrad as tg
    >>> x = tg.tensor([1 + 2j], device="cpu")
    >>> x.conj().is_conj(), x.conj().conj().is_conj()
    (True, False)
    """
    return conjugated(refreshed(input))[0] and input.spec.dtype.is_complex


def is_neg(input: Tensor) -> bool:
    """Return whether the tensor shows the imaginary parts of conjugates: the memory has the negatives."""
    return conjugated(refreshed(input))[1]


def chalf(self: Tensor, *, memory_format: MemoryFormat | None = None) -> NoReturn:
    """Raise DTypeError: there are no complex numbers of half precision."""
    raise DTypeError(
        "chalf: there are no complex numbers of half precision; use .cfloat(), for complex64"
    )


class ComplexMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    angle = angle
    chalf = chalf
    conj_physical, conj_physical_ = conj_physical, in_place(conj_physical)
    is_conj = is_conj
    is_neg = is_neg
    resolve_conj = resolve_conj
    resolve_neg = resolve_neg


conj_physical_ = ComplexMethods.conj_physical_

__all__ = [
    "angle", "complex", "conj_physical", "conj_physical_", "imag", "is_conj", "is_neg", "polar", "real",
    "resolve_conj", "resolve_neg", "view_as_complex", "view_as_real",
]  # fmt: skip

publish(globals())
