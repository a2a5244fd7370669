"""Fourier transforms along one axis: complex, of real numbers, and of the half of a spectrum that is Hermitian.

They come in pairs: each is the transpose of one of the three, so derivatives of any order need no other op.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.families import kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand
from tabgrad.core.shape import Shape
from tabgrad.core.spec import Spec, spec

if TYPE_CHECKING:
    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor


def _batch(name: str) -> Any:
    """Make the batching rule of a transform, which is along the same axis, one further back."""

    def batching(
        size: int, args: Operands, dims: Sequence[int | None], *, axis: int, **params: Any
    ) -> Tensor:
        return globals()[name].bind(to_front(args[0], dims[0], size), axis=axis + 1, **params)

    return batching


def _samples(
    kind: str, more: Callable[[int], list[dict[str, Any]]]
) -> Callable[[], Iterator[tuple[Any, dict[str, Any]]]]:
    """Make test arguments; `more(n)` lists the parameters for a line of `n` elements."""

    def samples() -> Iterator[tuple[Any, dict[str, Any]]]:
        for params in more(4):
            yield ((kind, (3, 4)),), {"axis": 1, "scale": 1.0, **params}
        for shape, axis in (((5, 2), 0), ((0, 3), 1)):
            yield ((kind, shape),), {"axis": axis, "scale": 0.5, **more(shape[axis])[0]}

    return samples


def _line(name: str, x: Spec, axis: int, complex_: bool) -> int:
    """Return the length of `x` along the axis; raise for what has no transform."""
    if not 0 <= axis < len(x.shape):
        raise ArgumentError(f"{name}: axis {axis} of {len(x.shape)}")
    if x.dtype.is_complex is not complex_ or x.dtype.category < dt.FLOAT or x.dtype in dt.HALVES:
        raise DTypeError(f"{name}: is not for {x.dtype!r}")
    if not x.shape[axis]:
        raise ShapeError(f"{name}: there are no elements along axis {axis} of {x.shape}")
    return x.shape[axis]


def _with(shape: Shape, axis: int, n: int) -> Shape:
    return (*shape[:axis], n, *shape[axis + 1 :])


WORTH = 1 << 15
"""The least number of elements for which SciPy is imported."""


@functools.cache
def _of_scipy() -> Any:
    try:
        return importlib.import_module("scipy.fft")
    except ImportError:
        return np.fft


def transforms(x: Array) -> Any:
    """Choose who transforms an array: SciPy, where it is installed, takes several lines at once."""
    return _of_scipy() if x.size >= WORTH else np.fft


def _scaled(y: Any, scale: float) -> Any:
    """Multiply an array of its own by a number: each part, as the product of an infinity is no nan then."""
    if scale != 1:
        for part in (y.real, y.imag) if y.dtype.kind == "c" else (y,):
            part *= scale
    return y


def inner(axis: int, rank: int, n: int) -> tuple[slice, ...]:
    """Return the places of a half spectrum that stand for two elements of the whole one, of length `n`."""
    return tuple(slice(1, (n + 1) // 2) if i == axis else slice(None) for i in range(rank))


# -- complex ---------------------------------------------------------------------------------------


def _fft_spec(x: Spec, *, axis: int, inverse: bool, scale: float) -> Spec:
    _line("fft", x, axis, True)
    return x


@kernel(
    infer=_fft_spec,
    derivative=lambda p, t, _y, **params: fft.bind(t[0], **params),
    transpose=lambda ct, needs, inputs, _y, *, axis, inverse, scale: (
        fft.bind(ct, axis=axis, inverse=not inverse, scale=scale),
    ),
    batching=_batch("fft"),
    samples=_samples("complex64", lambda n: [{"inverse": False}, {"inverse": True}]),
    reads=((False,), False),
)
def fft(x: Operand, *, axis: int, inverse: bool, scale: float) -> Array:
    """Compute scale Σ x[j] exp(∓2πi jk/n) for k = 0 to n - 1 along `axis`; the sign is + if `inverse`."""
    by = transforms(x)
    found = by.ifft(x, axis=axis, norm="forward") if inverse else by.fft(x, axis=axis)
    return _scaled(found.astype(x.dtype, copy=False), scale)


# -- real ------------------------------------------------------------------------------------------


def _rfft_spec(x: Spec, *, axis: int, doubled: bool, scale: float) -> Spec:
    n = _line("rfft", x, axis, False)
    return spec(_with(x.shape, axis, n // 2 + 1), dt.complex_of(x.dtype))


@kernel(
    infer=_rfft_spec,
    derivative=lambda p, t, _y, **params: rfft.bind(t[0], **params),
    transpose=lambda ct, needs, inputs, _y, *, axis, doubled, scale: (
        irfft.bind(ct, axis=axis, n=inputs[0].shape[axis], halved=not doubled, scale=scale),
    ),
    batching=_batch("rfft"),
    samples=_samples("float32", lambda n: [{"doubled": False}, {"doubled": True}]),
    reads=((False,), False),
)
def rfft(x: Operand, *, axis: int, doubled: bool, scale: float) -> Array:
    """Compute scale Σ x[j] exp(-2πi jk/n) of real elements for k = 0 to n // 2 along `axis`.

    With `doubled`, elements that stand for two of the whole spectrum count twice.
    """
    found = transforms(x).rfft(x, axis=axis).astype(np.result_type(x, np.complex64), copy=False)
    if doubled:
        found[inner(axis, x.ndim, x.shape[axis])] *= 2
    return _scaled(found, scale)


def _irfft_spec(x: Spec, *, axis: int, n: int, halved: bool, scale: float) -> Spec:
    half = _line("irfft", x, axis, True)
    if n < 1 or half != n // 2 + 1:
        raise ShapeError(f"irfft: {half} elements along axis {axis}, for {n} it takes {n // 2 + 1}")
    return spec(_with(x.shape, axis, n), dt.real_of(x.dtype))


@kernel(
    infer=_irfft_spec,
    derivative=lambda p, t, _y, **params: irfft.bind(t[0], **params),
    transpose=lambda ct, needs, inputs, _y, *, axis, n, halved, scale: (
        rfft.bind(ct, axis=axis, doubled=not halved, scale=scale),
    ),
    batching=_batch("irfft"),
    samples=_samples(
        "complex64",
        lambda half: [
            {"n": n, "halved": h} for n in (2 * half - 2, 2 * half - 1) if n for h in (False, True)
        ],
    ),
    reads=((False,), False),
)
def irfft(x: Operand, *, axis: int, n: int, halved: bool, scale: float) -> Array:
    """Compute scale Σ X[k] exp(2πi jk/n) for j = 0 to n - 1 along `axis`, X being a Hermitian spectrum.

    `x` is its first n // 2 + 1 elements. With `halved`, those that stand for two elements count once.
    """
    if halved:
        x = np.array(x)
        x[inner(axis, x.ndim, n)] *= 0.5
    found = transforms(x).irfft(x, n, axis=axis, norm="forward")
    return _scaled(found.astype(x.real.dtype, copy=False), scale)


__all__ = ["fft", "inner", "irfft", "rfft"]
