"""Random tensors. Uniform numbers are the high bits of a word; normal ones come from two by Box and Muller."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.core.scalars import fits
from tabgrad.core.shape import broadcast
from tabgrad.core.trace import Box
from tabgrad.hosts.devices import Device
from tabgrad.ops import elementwise as e, rounding as r, scan, sorting, trigonometry, view as v
from tabgrad.ops.checked import confined
from tabgrad.tensor import arithmetic as a, elementary, reductions
from tabgrad.tensor.arguments import sizes
from tabgrad.tensor.chained import chained
from tabgrad.tensor.creation import place, require
from tabgrad.tensor.generator import Generator, bits, of_words
from tabgrad.tensor.layout import check_layout, layout as Layout
from tabgrad.tensor.public import fills_out, publish, takes_out
from tabgrad.tensor.ternary import clamp
from tabgrad.transforms.vmap import check_same

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.layout import memory_format as MemoryFormat
    from tabgrad.tensor.types import DeviceLike, Dims, Ints


def unit(words: Tensor, low_bits: int, dtype: DType, offset: float = 0.0) -> Tensor:
    """Return the high bits of `words` as numbers in [0, 1), or in (0, 1] with an offset of 1."""
    whole = cast(r.bitwise_right_shift(words, low_bits), dtype)
    if offset:
        whole = e.add(whole, offset)
    return e.mul(whole, 2.0 ** (low_bits - 32))


def _halves(words: Tensor) -> tuple[Any, Any]:
    shape = words.spec.shape[1:]
    first, second = (v.part(words, 0, k, k + 1) for k in (0, 1))
    return v.reshape.bind(first, shape=shape), v.reshape.bind(second, shape=shape)


def uniform(shape: Ints, dtype: DType, where: Device, generator: Generator | None) -> Tensor:
    """Return numbers in [0, 1) with all the bits that `dtype` holds."""
    count = (2, *shape) if dtype is dt.float64 else shape
    return _uniform(count, generator, where, dtype)


def uniform_of(words: Tensor, dtype: DType) -> Tensor:
    """Return the numbers that `uniform` makes of words; for float64 of two for each."""
    if dtype is dt.float64:
        high, low = _halves(words)
        high, low = (
            cast(r.bitwise_right_shift(high, 5), dtype),
            cast(r.bitwise_right_shift(low, 6), dtype),
        )
        return e.mul(e.add(e.mul(high, 2.0**26), low), 2.0**-53)
    # no more bits than the dtype has: rounding up would reach 1
    kept = {dt.float16: 11, dt.bfloat16: 8}.get(dtype, 24)
    return cast(unit(words, 32 - kept, dt.float32), dtype)


_uniform = of_words(uniform_of)


def standard_normal(
    shape: Ints, dtype: DType, where: Device, generator: Generator | None
) -> Tensor:
    """Return normal numbers: sqrt(-2 ln u) cos(2 pi w) for uniform u in (0, 1] and w in [0, 1).

    The real and the imaginary part of complex ones are independent, with half of the variance each.
    """
    return _normal((2, *shape), generator, where, dtype)


@of_words
def _normal(words: Tensor, dtype: DType) -> Tensor:
    work = dt.float64 if dtype in (dt.float64, dt.complex128) else dt.float32
    first, second = _halves(words)
    u, w = unit(first, 8, work, 1.0), e.mul(unit(second, 8, work), 2 * math.pi)
    if dtype.is_complex:
        radius = e.sqrt(e.neg(e.log(u)))
        real, imaginary = (
            cast(e.mul(radius, part(w)), dtype) for part in (trigonometry.cos, trigonometry.sin)
        )
        return e.add(real, e.mul(imaginary, 1j))
    return cast(e.mul(e.sqrt(e.mul(e.log(u), -2.0)), trigonometry.cos(w)), dtype)


def _floats(name: str, where: Device, dtype: DType | None, complex_too: bool = False) -> DType:
    target = where.canonical(dtype or dt.get_default_dtype(), dtype is not None)
    if not target.is_floating_point and not (complex_too and target.is_complex):
        raise DTypeError(f"{name}: expected a floating-point dtype, got {target!r}")
    return target


@fills_out
def rand(
    *args: Dims, size: Dims | None = None, generator: Generator | None = None,
    dtype: DType | None = None, layout: Layout | None = None, device: DeviceLike | None = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return uniform random numbers in [0, 1).

    >>> import tabgrad as tg
    >>> bool((tg.rand(3, device="cpu") < 1).all())
    True
    """
    where = place(device, layout)
    shape = sizes("rand", args, size)
    return require(uniform(shape, _floats("rand", where, dtype), where, generator), requires_grad)


@fills_out
def randn(
    *args: Dims, size: Dims | None = None, generator: Generator | None = None,
    dtype: DType | None = None, layout: Layout | None = None, device: DeviceLike | None = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return random numbers of the normal distribution with mean 0 and variance 1.

    Complex ones have that variance in total: half of it in the real and half in the imaginary part.
    """
    where = place(device, layout)
    shape = sizes("randn", args, size)
    target = _floats("randn", where, dtype, True)
    return require(standard_normal(shape, target, where, generator), requires_grad)


def integers(
    name: str, low: int, high: int, shape: Ints, dtype: DType, where: Device,
    generator: Generator | None,
) -> Tensor:  # fmt: skip
    """Return integers in [low, high), for the function `name`."""
    span = high - low
    if span <= 0:
        raise ShapeError(
            f"{name} expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if dtype.category == dt.INT:
        fits(name, low, dtype)
        fits(name, high - 1, dtype)
    if span <= 1 << 32:
        return _below(shape, generator, where, span, low, dtype)
    if where.type == "webgpu":
        raise DTypeError(f"{name}: {where} has no integers for a range of {span}")
    return _far_below((2, *shape), generator, where, span, low, dtype)


@of_words
def _below(words: Tensor, span: int, low: int, dtype: DType) -> Tensor:
    if span < 1 << 32:
        words = e.remainder(words, span)
    x = cast(words, words.device.index_dtype if dtype.category < dt.FLOAT else dtype)
    return cast(e.add(x, low) if low else x, dtype)


@of_words
def _far_below(words: Tensor, span: int, low: int, dtype: DType) -> Tensor:
    top, bottom = (cast(h, dt.uint64) for h in _halves(words))
    x = cast(e.remainder(e.add(e.mul(top, 1 << 32), bottom), span), dt.int64)
    return cast(e.add(x, low) if low else x, dtype)


@fills_out
def randint(
    *args: Dims, low: int | None = None, high: int | None = None, size: Dims | None = None,
    generator: Generator | None = None, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return random integers from `low` to high - 1: randint(high, size) or randint(low, high, size).

    >>> import tabgrad as tg
    >>> tg.randint(3, 4, (2,), device="cpu")
    tensor([3, 3])
    """
    given: list[Any] = list(args)
    if len(given) < (size is None) + (high is None):
        missing = "a size" if size is None and not given else "`high`"
        raise TypeError(f"randint: expected {missing}, got none")
    size = given.pop() if size is None else size
    high = given.pop() if high is None else high
    if low is None:
        low = given.pop() if given else 0
    where = place(device, layout)
    target = where.canonical(dtype or dt.int64, dtype is not None)
    x = integers(
        "randint", int(low), int(high), sizes("randint", (size,)), target, where, generator
    )
    return require(x, requires_grad)


@fills_out
def randperm(
    n: int, *, generator: Generator | None = None, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the integers from 0 to n - 1 in random order."""
    if n < 0:
        raise ShapeError(f"randperm: n must not be negative, got {n}")
    where = place(device, layout)
    target = where.canonical(dtype or dt.int64, dtype is not None)
    return require(_order((n,), generator, where, target), requires_grad)


@of_words
def _order(words: Tensor, dtype: DType) -> Tensor:
    kind = words.device.index_dtype
    return cast(sorting.argsort.bind(words, axis=0, descending=False, dtype=kind), dtype)


def _like(
    input: Tensor, dtype: DType | None, device: DeviceLike | None, layout: Layout | None
) -> tuple[Ints, DType, Device]:
    check_layout(layout)
    where = input.device if device is None else place(device)
    return input.spec.shape, where.canonical(dtype or input.spec.dtype, dtype is not None), where


def rand_like(
    input: Tensor, *, generator: Generator | None = None, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False, memory_format: MemoryFormat | None = None,
) -> Tensor:  # fmt: skip
    """Return uniform random numbers in the shape, dtype and device of `input`."""
    shape, target, where = _like(input, dtype, device, layout)
    return require(
        uniform(shape, _floats("rand_like", where, target), where, generator), requires_grad
    )


def randn_like(
    input: Tensor, *, generator: Generator | None = None, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False, memory_format: MemoryFormat | None = None,
) -> Tensor:  # fmt: skip
    """Return normal random numbers in the shape, dtype and device of `input`."""
    shape, target, where = _like(input, dtype, device, layout)
    x = standard_normal(shape, _floats("randn_like", where, target, True), where, generator)
    return require(x, requires_grad)


def randint_like(
    input: Tensor, low: int | None = None, high: int | None = None, *,
    generator: Generator | None = None, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
    memory_format: MemoryFormat | None = None,
) -> Tensor:  # fmt: skip
    """Return random integers from `low` (0 where only one is given) to high - 1 in the shape of `input`."""
    shape, target, where = _like(input, dtype, device, layout)
    first, last = (0, low) if high is None else (0 if low is None else low, high)
    if last is None:
        raise TypeError("randint_like: expected `high`, got none")
    x = integers("randint_like", first, last, shape, target, where, generator)
    return require(x, requires_grad)


@takes_out
def normal(
    mean: Tensor | float = 0.0, std: Tensor | float = 1.0, size: Dims | None = None, *,
    generator: Generator | None = None, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return normal random numbers of this mean and deviation: tensors, or numbers and a size.

    No derivative reaches `mean` and `std`, as in PyTorch.
    """
    given = [x for x in (mean, std) if isinstance(x, Box)]
    if not given:
        if size is None:
            raise TypeError("normal: with numbers for mean and std expected a size, got none")
        where = place(device, layout)
        shape, target = sizes("normal", (size,)), _floats("normal", where, dtype, True)
    else:
        where = given[0].device
        shape = broadcast("normal", *(x.spec.shape for x in given))
        target = given[0].spec.dtype
    mean, std = (e.stop_gradient(x) if isinstance(x, Box) else x for x in (mean, std))
    if not isinstance(std, Box) and std < 0:
        raise ShapeError(f"normal expects std >= 0.0, but found std {std}")
    check_same("normal", mean, std)
    if isinstance(std, Box):
        std = confined(
            std, rule="not negative", message="normal expects all elements of std >= 0.0"
        )
    x = standard_normal(shape, target, where, generator)
    return require(a.add(a.mul(x, std), mean), requires_grad)


@takes_out
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Return 1 with the probability in each element of `input`, or `p`, else 0."""
    if input.spec.dtype.category < dt.FLOAT and p is None:
        raise DTypeError(
            f"bernoulli: expected floating-point probabilities, got {input.spec.dtype!r}"
        )
    check_same("bernoulli", input, p)
    chance = probability("bernoulli", e.stop_gradient(input) if p is None else p)
    work = input.spec.dtype if input.spec.dtype.is_floating_point else dt.float32
    u = uniform(input.spec.shape, work, input.device, generator)
    return cast(r.lt(u, chance), input.spec.dtype)


def probability(name: str, p: Tensor | float) -> Tensor | float:
    """Return a probability, or a tensor of them; raises where one is not from 0 to 1."""
    if isinstance(p, Box):
        message = (
            f"{name}: Expected p_in >= 0 && p_in <= 1 to be true: probabilities are from 0 to 1"
        )
        return confined(p, rule="from 0 to 1", message=message)
    if not 0 <= p <= 1:
        raise ArgumentError(f"{name}: bernoulli_ expects p to be in [0, 1], but got p={p}")
    return p


@takes_out
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Return indices drawn with the probabilities in the last dim, which need not sum to 1.

    >>> import tabgrad as tg
    >>> tg.multinomial(tg.tensor([0.0, 1.0], device="cpu"), 1)
    tensor([1])
    """
    if len(input.spec.shape) not in (1, 2):
        raise ShapeError(f"multinomial: prob_dist must be 1 or 2 dim, got shape {input.spec.shape}")
    if not input.spec.dtype.is_floating_point:
        raise DTypeError(
            f"multinomial: expected floating-point probabilities, got {input.spec.dtype!r}"
        )
    *lead, n = input.spec.shape
    if num_samples <= 0:
        raise ShapeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > n:
        raise ShapeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    check_same("multinomial", input)
    p = _weights(e.stop_gradient(cast(input, dt.float32)))
    where, kind = input.device, input.device.index_dtype
    if replacement and num_samples > 1:
        total = _cumulative(p, n)
        top = v.part(total, len(lead), n - 1, n)
        u = e.mul(uniform((*lead, num_samples), dt.float32, where, generator), top)
        return clamp(sorting.searchsorted(total, u, True), 0, n - 1) if n else cast(u, kind)
    return _first((*lead, n), generator, where, p, num_samples)


@of_words
def _first(words: Tensor, p: Tensor, k: int) -> Tensor:
    """Return the first k of independent exponential clocks with rates `p`."""
    clock = e.neg(e.log(unit(words, 8, dt.float32, 1.0)))
    score = e.where(r.gt(p, 0.0), e.div(p, clamp(clock, 1e-9)), -1.0)
    if k == 1:
        return reductions.argmax(score, -1, True)
    return sorting.topk(score, k, len(p.spec.shape) - 1, True)[1]


@chained
def _weights(p: Tensor) -> Tensor:
    """Return the weights of `multinomial`, some of each row above 0."""
    p = confined(
        p, rule="finite and not negative",
        message="multinomial: probability tensor contains either `inf`, `nan` or element < 0",
    )  # fmt: skip
    if not p.spec.shape[-1]:
        return p
    total = confined(
        reductions.sum(p, -1, True), rule="positive",
        message="multinomial: invalid multinomial distribution (sum of probabilities <= 0)",
    )  # fmt: skip
    # a check whose result is not used would be dropped
    return e.where(r.gt(total, 0.0), p, 0.0)


def _cumulative(p: Tensor, n: int) -> Tensor:
    return scan.cumsum.bind(p, axis=len(p.spec.shape) - 1, reverse=False)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Return Poisson numbers of the rates in `input`, counted by uniform numbers up to rates of about 60."""
    check_same("poisson", input)
    rate = e.stop_gradient(cast(input, dt.float32))
    low, high = (float(x.item()) for x in reductions.aminmax(rate)) if input.spec.size else (0, 0.0)
    if not 0 <= low <= high < math.inf:
        raise ArgumentError(
            f"invalid Poisson rate, expected rate to be non-negative, got rates from {low} to {high}"
        )
    if high > 80:
        normal_ = standard_normal(input.spec.shape, dt.float32, input.device, generator)
        x = clamp(elementary.round(a.add(rate, a.mul(elementary.sqrt(rate), normal_))), 0)
        return cast(x, input.spec.dtype)
    count = int(high + 8 * math.sqrt(high) + 12)
    words = bits((count, *input.spec.shape), generator, input.device)
    gaps = e.neg(e.log(unit(words, 8, dt.float32, 1.0)))
    arrivals = scan.cumsum.bind(gaps, axis=0, reverse=False)
    return cast(reductions.sum(cast(r.lt(arrivals, rate), dt.float32), 0), input.spec.dtype)


class SamplingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    bernoulli = bernoulli
    multinomial = multinomial


__all__ = [
    "bernoulli", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "randperm",
]  # fmt: skip

publish(globals())
