"""Complex numbers and their parts: real and imaginary ones, absolute values, and pairs as one more axis.

They are linear over the real numbers only, if at all, so that each op says its transpose. The gradient of a
real loss is PyTorch's: its real part is the derivative by the real part, and so the imaginary one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.families import Elementwise, kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand, Rule, uses
from tabgrad.core.promotion import cast
from tabgrad.core.shape import strides as row_major
from tabgrad.core.spec import Params, Spec, spec
from tabgrad.core.trace import constant
from tabgrad.ops.elementwise import conj, div, mul, where
from tabgrad.ops.rounding import eq

if TYPE_CHECKING:
    from tabgrad.core.families import Declared
    from tabgrad.core.op import Inputs, Needs, Result
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints

Placed = tuple["Ints", "Ints", int]
"""A shape, its strides, and its first element in memory."""


class Parts(Elementwise):
    """An element-wise op between complex numbers and real ones.

    `transposes` are its linear maps the other way, functions of (ct, inputs..., y), one for each operand.
    `writes(x, new)` is the value of `x` where the result, a view, is written to; `first` the number of real
    elements before the first one of the view.
    """

    def setup(  # type: ignore[override]
        self, *, transposes: tuple[Rule, ...], writes: Rule | None = None, first: int = 0,
        **facts: Any,
    ) -> None:  # fmt: skip
        """Store the facts of the op."""
        super().setup(**facts)
        self.transposes, self.writes, self.first = transposes, writes, first
        self.reads = tuple(uses(rule, 1) for rule in transposes)

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Join two real dtypes, or take the real one of complex numbers."""
        dtype = super().infer_spec(*specs, **params).dtype
        makes = self.kinds == "f"
        if dtype.is_complex is makes or dtype.category < dt.FLOAT or dtype in dt.HALVES:
            raise DTypeError(f"{self.name}: is not for {dtype!r}")
        return spec(specs[0].shape, dt.complex_of(dtype) if makes else dt.real_of(dtype))

    def vjp(self, ct: Tensor, needs: Needs, inputs: Inputs, y: Result, params: Params) -> Any:
        """Apply the declared transposes."""
        pairs = zip(self.transposes, needs, strict=True)
        return tuple([rule(ct, *inputs, y) if need else None for rule, need in pairs])

    def placed(self, shape: Ints, strides: Ints, offset: int) -> Placed:
        """Return where the real numbers lie that a part of complex ones, as a view, shows."""
        return shape, tuple(2 * s for s in strides), 2 * offset + self.first


def _parts(**facts: Any) -> Callable[[Any], Declared[Any, Any]]:
    def declare(fn: Any) -> Declared[Any, Any]:
        made: Any = Parts(fn, **facts)
        return made

    return declare


def _zeros(like: Tensor) -> Tensor:
    return constant(0, like.spec, like.device)


@_parts(
    code={"wgsl": "vec2<f32>({x}, {y})", "cuda": "paired({x}, {y})"},
    along=(
        lambda t, _x, _y, _z: complex_.bind(t, _zeros(t)),
        lambda t, _x, _y, _z: complex_.bind(_zeros(t), t),
    ),
    transposes=(lambda ct, _x, _y, _z: real.bind(ct), lambda ct, _x, _y, _z: imag.bind(ct)),
    kinds="f",
    integers=None,
)
def complex_(x: Operand, y: Operand) -> Array:
    """Make complex numbers of their real and imaginary parts."""
    out = np.empty(x.shape, np.result_type(x.dtype, np.complex64))
    out.real, out.imag = x, y
    return out


@_parts(
    code={"complex": "{x}.x"},
    along=lambda t, _x, _y: real.bind(t),
    transposes=(lambda ct, _x, _y: complex_.bind(ct, _zeros(ct)),),
    writes=lambda x, new: complex_.bind(new, imag.bind(x)),
    kinds="c",
)
def real(x: Operand) -> Array:
    """Take the real parts of complex numbers."""
    return x.real


@_parts(
    code={"complex": "{x}.y"},
    along=lambda t, _x, _y: imag.bind(t),
    transposes=(lambda ct, _x, _y: complex_.bind(_zeros(ct), ct),),
    writes=lambda x, new: complex_.bind(real.bind(x), new),
    first=1,
    kinds="c",
)
def imag(x: Operand) -> Array:
    """Take the imaginary parts of complex numbers."""
    return x.imag


def direction(x: Tensor, size: Tensor) -> Tensor:
    """Divide complex numbers by their absolute values; 0 stays 0."""
    zero = eq(size, 0)
    return where(zero, 0, div.bind(x, cast(where(zero, 1, size), x.spec.dtype)))


def _toward(t: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return real.bind(mul.bind(conj.bind(direction(x, y)), t))


@_parts(
    code="abs_{f}({x})",
    along=_toward,
    transposes=(lambda ct, x, y: mul.bind(cast(ct, x.spec.dtype), direction(x, y)),),
    kinds="c",
)
def magnitude(x: Operand) -> Array:
    """Compute the absolute values of complex numbers; the derivative at 0 is 0."""
    return np.abs(x)


def _real_spec(x: Spec) -> Spec:
    if not x.dtype.is_complex:
        raise DTypeError(f"as_real: is not for {x.dtype!r}")
    return spec((*x.shape, 2), dt.real_of(x.dtype))


def _complex_spec(x: Spec) -> Spec:
    if x.dtype not in (dt.float32, dt.float64):
        raise DTypeError(f"as_complex: is not for {x.dtype!r}")
    if x.shape[-1:] != (2,):
        raise ShapeError(f"as_complex: the last axis of {x.shape} has not 2 elements")
    return spec(x.shape[:-1], dt.complex_of(x.dtype))


def _batch(name: str) -> Any:
    return lambda size, args, dims: globals()[name].bind(to_front(args[0], dims[0], size))


def _samples(kind: str) -> Callable[[], Iterator[Any]]:
    def samples() -> Iterator[Any]:
        for shape in ((3, 2), (2,), (0, 2), (4, 1, 2)):
            yield ((kind, shape),), {}

    return samples


@kernel(
    infer=_real_spec,
    derivative=lambda primals, tangents, y: as_real.bind(tangents[0]),
    transpose=lambda ct, needs, inputs, y: (as_complex.bind(ct),),
    batching=_batch("as_real"),
    samples=_samples("complex64"),
    reads=((False,), False),
)
def as_real(x: Operand) -> Array:
    """Show complex numbers as pairs of real ones along one more axis, the last."""
    return np.stack([x.real, x.imag], -1)


@kernel(
    infer=_complex_spec,
    derivative=lambda primals, tangents, y: as_complex.bind(tangents[0]),
    transpose=lambda ct, needs, inputs, y: (as_real.bind(ct),),
    batching=_batch("as_complex"),
    samples=_samples("float32"),
    reads=((False,), False),
)
def as_complex(x: Operand) -> Array:
    """Join the pairs along the last axis to complex numbers."""
    return complex_.fn(x[..., 0], x[..., 1])


def _real_placed(shape: Ints, strides: Ints, offset: int) -> Placed:
    return (*shape, 2), (*(2 * s for s in strides), 1), 2 * offset


def _complex_placed(shape: Ints, strides: Ints, offset: int) -> Placed:
    return shape[:-1], tuple(s // 2 for s in strides[:-1]) or row_major(()), offset // 2


_of: dict[Any, tuple[Rule, Rule]] = {
    as_real: (lambda x, new: as_complex.bind(new), _real_placed),
    as_complex: (lambda x, new: as_real.bind(new), _complex_placed),
}
for _op, (_writes, _placed) in _of.items():
    # they are views, too
    _op.writes, _op.placed = _writes, _placed


__all__ = ["as_complex", "as_real", "complex_", "direction", "imag", "magnitude", "real"]
