"""Making tensors to test with."""

from __future__ import annotations

from typing import Any

import tabgrad as tg


def make_tensor(
    *shape: Any, dtype: Any, device: Any, low: float | None = None, high: float | None = None,
    requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False,
    memory_format: Any = None,
) -> Any:  # fmt: skip
    """Return a tensor of uniform random numbers in [low, high).

    The bounds are [-9, 9) unless given: [0, 10) for unsigned integers, [0, 2) for bool. `exclude_zero` puts
    the smallest positive number in place of zeros. `noncontiguous` gives a strided view.

    >>> import tabgrad as tg
    >>> tg.testing.make_tensor(2, 3, dtype=tg.float32, device="cpu").shape
    tabgrad.Size([2, 3])
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    low, high = _bounds(dtype, low, high)
    full = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous and sizes and sizes[-1] > 1 else sizes
    x = _drawn(full, dtype, device, low, high)
    if exclude_zero:
        x = tg.where(x == 0, tg.full_like(x, _smallest(dtype)), x)
    if full != sizes:
        x = x[..., ::2]
    if requires_grad:
        if not (dtype.is_floating_point or dtype.is_complex):
            raise ValueError(
                f"make_tensor: requires_grad needs a floating-point or complex dtype, got {dtype}"
            )
        x.requires_grad_()
    return x


def _bounds(dtype: Any, low: Any, high: Any) -> tuple[Any, Any]:
    if dtype is tg.bool:
        default = (0, 2)
    elif dtype.is_floating_point or dtype.is_complex or dtype.is_signed:
        default = (-9, 9)
    else:
        default = (0, 10)
    low = default[0] if low is None else low
    high = default[1] if high is None else high
    if not low < high:
        raise ValueError(f"make_tensor: low must be below high, got {low} and {high}")
    return low, high


def _drawn(shape: Any, dtype: Any, device: Any, low: Any, high: Any) -> Any:
    if dtype is tg.bool:
        return tg.randint(0, 2, shape, device=device).bool()
    if dtype.is_complex:
        part = tg.float32 if dtype is tg.complex64 else tg.float64
        real, imaginary = (_drawn(shape, part, device, low, high) for _ in range(2))
        return (real + 1j * imaginary).to(dtype)
    if dtype.is_floating_point:
        return (tg.rand(shape, device=device, dtype=tg.float32) * (high - low) + low).to(dtype)
    return tg.randint(int(low), int(high), shape, device=device).to(dtype)


def _smallest(dtype: Any) -> Any:
    if dtype.is_floating_point or dtype.is_complex:
        return tg.finfo(dtype).tiny
    return 1
