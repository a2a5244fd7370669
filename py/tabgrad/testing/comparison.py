"""Comparing tensors, numbers, and containers of them."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tabgrad as tg

TOLERANCES: dict[str, tuple[float, float]] = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7), "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip
"""The relative and the absolute tolerance of each dtype, PyTorch's; other dtypes must be equal."""


def assert_close(
    actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None,
    atol: float | None = None, equal_nan: bool = False, check_device: bool = True,
    check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:  # fmt: skip
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| in every element.

    Tensors must also have the same shape, device and dtype. Containers are compared item by item; a tensor
    and something that is none raise TypeError, as in PyTorch. The
    tolerances are given both or neither; they then follow from the dtypes. `msg` replaces the message, or
    makes one of it.

    >>> import tabgrad as tg
    >>> tg.testing.assert_close(tg.tensor([1.0]), tg.tensor([1.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: give both rtol and atol, or neither")
    compare = _Comparison(rtol, atol, equal_nan, check_device, check_dtype)
    try:
        compare.any(actual, expected, "")
    except AssertionError as error:
        if msg is None:
            raise
        raise AssertionError(msg(str(error)) if callable(msg) else msg) from None


def _number(x: Any) -> bool:
    # the scalars of NumPy have its dtypes, the arrays have sizes too
    scalar = hasattr(x, "dtype") and hasattr(x, "item") and not hasattr(x, "__setitem__")
    return isinstance(x, bool | int | float | complex) or scalar


class _Comparison:
    def __init__(self, rtol: Any, atol: Any, equal_nan: bool, device: bool, dtype: bool) -> None:
        self.rtol, self.atol, self.equal_nan = rtol, atol, equal_nan
        self.device, self.dtype = device, dtype

    def any(self, actual: Any, expected: Any, place: str) -> None:
        """Compare two things of any kind; `place` says where in the containers they are."""
        if isinstance(actual, Mapping) and isinstance(expected, Mapping):
            if set(actual) != set(expected):
                raise AssertionError(
                    f"keys differ{_at(place)}: {sorted(map(str, actual))} and {sorted(map(str, expected))}"
                )
            for key in actual:
                self.any(actual[key], expected[key], f"{place}[{key!r}]")
        elif _sequence(actual) and _sequence(expected):
            if len(actual) != len(expected):
                raise AssertionError(
                    f"lengths differ{_at(place)}: {len(actual)} and {len(expected)}"
                )
            for i, pair in enumerate(zip(actual, expected, strict=True)):
                self.any(*pair, f"{place}[{i}]")
        elif actual is None or expected is None:
            if actual is not expected:
                raise AssertionError(f"expected {expected!r}, got {actual!r}{_at(place)}")
        elif _number(actual) and _number(expected):
            self.numbers(actual, expected, place)
        elif _array(actual) and _array(expected) and _related(actual, expected):
            self.tensors(_tensor(actual, place), _tensor(expected, place), place)
        else:
            raise TypeError(
                "assert_close: No comparison pair was able to handle inputs of type "
                f"{type(actual).__name__} and {type(expected).__name__}{_at(place)}; convert one of them"
            )

    def tolerances(self, *dtypes: Any) -> tuple[float, float]:
        """Return the tolerances: those asked for, or the widest of the dtypes."""
        if self.rtol is not None:
            return self.rtol, self.atol
        found = [TOLERANCES.get(d.name, (0.0, 0.0)) for d in dtypes]
        return max(r for r, _ in found), max(a for _, a in found)

    def numbers(self, actual: Any, expected: Any, place: str) -> None:
        """Compare two Python numbers."""
        if self.dtype and type(actual) is not type(expected):
            raise AssertionError(
                f"types differ{_at(place)}: {type(actual).__name__} and {type(expected).__name__}"
            )
        inexact = isinstance(actual, float | complex) or isinstance(expected, float | complex)
        rtol, atol = self.tolerances(tg.float64 if inexact else tg.int64)
        if actual == expected or (self.equal_nan and cmath.isnan(actual) and cmath.isnan(expected)):
            return
        gap = abs(actual - expected)
        if math.isfinite(gap) and gap <= atol + rtol * abs(expected):
            return
        raise AssertionError(
            f"expected {expected} but got {actual}{_at(place)}: the difference {gap} is more than "
            f"atol {atol} + rtol {rtol} * |expected|"
        )

    def tensors(self, actual: Any, expected: Any, place: str) -> None:
        """Compare two tensors."""
        for what, check in (("shape", True), ("device", self.device), ("dtype", self.dtype)):
            a, b = getattr(actual, what), getattr(expected, what)
            if check and a != b:
                raise AssertionError(f"the {what}s differ{_at(place)}: {a} and {b}")
        rtol, atol = self.tolerances(actual.dtype, expected.dtype)
        a, b = actual.detach().cpu(), expected.detach().cpu()
        if a.dtype != b.dtype:
            common = tg.promote_types(a.dtype, b.dtype)
            a, b = a.to(common), b.to(common)
        if not a.numel():
            return
        worst = _mismatches(
            a.reshape(-1).tolist(), b.reshape(-1).tolist(), rtol, atol, self.equal_nan
        )
        if worst is not None:
            raise AssertionError(_report(worst, a, rtol, atol, place))


def _sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str | bytes)


def _array(x: Any) -> bool:
    return hasattr(x, "dtype")


def _related(a: Any, b: Any) -> bool:
    return isinstance(a, type(b)) or isinstance(b, type(a))


def _at(place: str) -> str:
    return f" at {place}" if place else ""


def _tensor(x: Any, place: str) -> Any:
    if isinstance(x, tg.Tensor):
        return x
    try:
        return tg.as_tensor(x)
    except Exception as error:
        raise TypeError(f"assert_close: can't compare {type(x).__name__}{_at(place)}") from error


def _mismatches(a: list[Any], b: list[Any], rtol: float, atol: float, equal_nan: bool) -> Any:
    """Return (how many differ, greatest absolute (gap, index), greatest relative (gap, index)), or None."""
    count = 0
    absolute, relative = (-1.0, 0), (-1.0, 0)
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if x == y or (equal_nan and x != x and y != y):
            continue
        gap = abs(x - y)
        if gap <= atol + rtol * abs(y) and math.isfinite(gap):
            continue
        count += 1
        gap = gap if gap == gap else math.inf
        absolute = max(absolute, (gap, i), key=lambda p: p[0])
        scale = abs(y)
        relative = max(relative, (gap / scale if scale else math.inf, i), key=lambda p: p[0])
    return (count, absolute, relative) if count else None


def _report(worst: Any, a: Any, rtol: float, atol: float, place: str) -> str:
    count, (gap, i), (ratio, j) = worst
    share = 100 * count / a.numel()
    return (
        f"tensors are not close{_at(place)}: {count} of {a.numel()} elements differ ({share:.1f}%)\n"
        f"greatest absolute difference: {gap} at {_index(i, a.shape)} (up to {atol} allowed)\n"
        f"greatest relative difference: {ratio} at {_index(j, a.shape)} (up to {rtol} allowed)"
    )


def _index(i: int, shape: Sequence[int]) -> tuple[int, ...]:
    found = []
    for n in reversed(shape):
        found.append(i % n)
        i //= n
    return tuple(reversed(found))
