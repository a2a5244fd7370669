"""Methods that fill a tensor with random numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import cast, moved
from tabgrad.core.trace import Box
from tabgrad.hosts.devices import Device
from tabgrad.ops import elementwise as e, rounding as r, trigonometry
from tabgrad.tensor import elementary
from tabgrad.tensor.aliasing import check_writable, write
from tabgrad.tensor.arguments import ints
from tabgrad.tensor.complex_numbers import view_as_real
from tabgrad.tensor.generator import Generator, bits
from tabgrad.tensor.sampling import integers, probability, standard_normal, uniform, unit
from tabgrad.tensor.ternary import clamp
from tabgrad.transforms.vmap import check_same

if TYPE_CHECKING:
    from collections.abc import Callable

    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints


def _positive(name: str, what: str, value: float) -> None:
    if not value > 0:
        raise ArgumentError(f"{name} expects {what} > 0.0, but found {what}={value}")


def _fill(
    name: str, self: Tensor, make: Callable[[Ints, DType, Device], Tensor], also: str = ""
) -> Tensor:
    """Write what `make` returns; `also` names the kinds of numbers beside floats that the law is for."""
    check_writable(self)
    target = self.spec.dtype
    kind = "complex" if target.is_complex else "bool" if target is dt.bool_ else "int"
    if not target.is_floating_point and kind not in also:
        raise DTypeError(f"{name}: not implemented for {target.title!r}; fill a float tensor")
    made = target.is_floating_point or target.is_complex
    return write(self, make(self.spec.shape, target if made else dt.float32, self.device))


def uniform_(
    self: Tensor, from_: float = 0, to: float = 1, *, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers in [from, to); return self."""
    if from_ > to:
        raise ShapeError(
            f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}"
        )

    if self.spec.dtype.is_complex:
        # both parts
        uniform_(view_as_real(self), from_, to, generator=generator)
        return self

    def make(shape: Ints, dtype: DType, where: Device) -> Tensor:
        return e.add(e.mul(uniform(shape, dtype, where, generator), to - from_), from_)

    return _fill("uniform_", self, make)


def normal_(
    self: Tensor, mean: float = 0, std: float = 1, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers; return self."""
    if std < 0:
        raise ShapeError(f"normal_ expects std >= 0.0, but found std {std}")

    def make(shape: Ints, dtype: DType, where: Device) -> Tensor:
        return e.add(e.mul(standard_normal(shape, dtype, where, generator), std), mean)

    return _fill("normal_", self, make, "complex")


def log_normal_(
    self: Tensor, mean: float = 1, std: float = 2, *, generator: Generator | None = None
) -> Tensor:
    """Fill with exp of normal numbers; return self."""
    _positive("log_normal_", "std", std)

    def make(shape: Ints, dtype: DType, where: Device) -> Tensor:
        return e.exp(e.add(e.mul(standard_normal(shape, dtype, where, generator), std), mean))

    return _fill("log_normal_", self, make)


def exponential_(self: Tensor, lambd: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponential numbers of rate `lambd`; return self."""
    _positive("exponential_", "lambda", lambd)
    return _fill("exponential_", self, lambda shape, dtype, where: cast(
        e.mul(e.log(unit(bits(shape, generator, where), 8, dt.float32, 1.0)), -1.0 / lambd), dtype
    ))  # fmt: skip


def cauchy_(
    self: Tensor, median: float = 0, sigma: float = 1, *, generator: Generator | None = None
) -> Tensor:
    """Fill with Cauchy numbers; return self."""
    _positive("cauchy_", "sigma", sigma)

    def make(shape: Ints, dtype: DType, where: Device) -> Tensor:
        u = e.sub(uniform(shape, dtype, where, generator), 0.5)
        return e.add(e.mul(trigonometry.tan(e.mul(u, math.pi)), sigma), median)

    return _fill("cauchy_", self, make)


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with how many trials of chance `p` the first success takes; return self."""
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _fill("geometric_", self, lambda shape, dtype, where: clamp(elementary.ceil(e.mul(
        e.log(unit(bits(shape, generator, where), 8, dt.float32, 1.0)), 1 / math.log1p(-p)
    )), 1), "int")  # fmt: skip


def bernoulli_(
    self: Tensor, p: float | Tensor = 0.5, *, generator: Generator | None = None
) -> Tensor:
    """Fill with 1 with probability `p`, a number or a tensor, else 0; return self."""
    check_same("bernoulli_", p)
    if isinstance(p, Box):
        p = moved(p, self.device)
    p = probability("bernoulli_", p)
    return _fill("bernoulli_", self, lambda shape, dtype, where: cast(
        r.lt(uniform(shape, dtype, where, generator), p), self.spec.dtype
    ), "int bool")  # fmt: skip


def random_(
    self: Tensor, *args: int, to: int | None = None, generator: Generator | None = None,
    **named: int,
) -> Tensor:  # fmt: skip
    """Fill with integers: random_(to), random_(from, to), or all that the dtype holds exactly; return self."""
    if named.keys() - {"from"}:
        raise TypeError(f"random_: expected from, to and generator, got {', '.join(named)}")
    # `from` is a word of Python's, so it can be no parameter
    args = (*named.values(), *args, *(() if to is None else (to,)))
    dtype = self.spec.dtype
    if dtype.is_complex:
        raise DTypeError(f"random_: not implemented for {dtype.title!r}; fill a float tensor")
    low, high = 0, 0
    if len(args) == 2:
        low, high = ints("random_", args)
    elif args:
        high = args[0]
    elif dtype.is_floating_point:
        high = 1 << {dt.float16: 11, dt.bfloat16: 8, dt.float32: 24}.get(dtype, 53)
    else:
        high = 2 if dtype is dt.bool_ else 1 << min(8 * dtype.itemsize - dtype.signed, 32)
    check_writable(self)
    return write(
        self, integers("random_", low, high, self.spec.shape, dtype, self.device, generator)
    )


class FillingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    uniform_ = uniform_
    normal_ = normal_
    log_normal_ = log_normal_
    exponential_ = exponential_
    cauchy_ = cauchy_
    geometric_ = geometric_
    bernoulli_ = bernoulli_
    random_ = random_
