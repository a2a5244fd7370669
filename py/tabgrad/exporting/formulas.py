"""Finds formulas of unknown sizes that fit the numbers in traces at several sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

Sizes = dict[str, int]
"""The values of the unknown sizes, and of derived sizes, in one trace or call."""
Term = tuple[Fraction, tuple[str, ...]]
"""A factor, and the names of the sizes that it multiplies."""
LARGEST_COUNT = 1 << 40
"""The largest number of elements of which a number may be the mean."""
LARGEST_DIVISOR = 64
"""The largest divisor of a size, as of strides, chunks and patches."""


class Formula:
    """A number made of unknown sizes.

    It is a quotient of two sums of products of sizes, rounded down if `whole`; if `inverse`, the reciprocal of
    that.

    >>> half = Formula([(Fraction(1), ("n",)), (Fraction(1), ())], [(Fraction(2), ())])
    >>> str(half), half({"n": 6})
    ('(n + 1) // 2', 3)
    """

    def __init__(
        self, over: Sequence[Term], under: Sequence[Term] = (), whole: bool = True, inverse: bool = False
    ) -> None:  # fmt: skip
        self.over = list(over)
        self.under = list(under) or [(Fraction(1), ())]
        self.whole = whole
        self.inverse = inverse

    def __call__(self, sizes: Sizes) -> int | float:
        """Evaluate the formula at these sizes."""
        top, bottom = _total(self.over, sizes), _total(self.under, sizes)
        if self.whole and not self.inverse:
            return int(top // bottom)
        if self.inverse:
            top, bottom = Fraction(1), Fraction(top // bottom) if self.whole else top / bottom
        if not bottom:
            return math.copysign(math.inf, top) if top else math.nan
        return float(top / bottom)

    def __str__(self) -> str:
        top, bottom = _text(self.over), _text(self.under)
        text = top
        if bottom != "1":
            top, bottom = (f"({t})" if {" ", "*"} & {*t} else t for t in (top, bottom))
            text = f"{top} {'//' if self.whole else '/'} {bottom}"
        return f"1 / ({text})" if self.inverse else text

    @property
    def divides(self) -> bool:
        """Whether this is a quotient that is rounded down to an integer."""
        return self.whole and not self.inverse and self.under != [(Fraction(1), ())]

    def encoded(self) -> list[Any]:
        """Convert the formula to JSON."""
        parts = [[[str(f), list(names)] for f, names in part] for part in (self.over, self.under)]
        return [*parts, self.whole, self.inverse]

    @classmethod
    def decoded(cls, text: list[Any]) -> Formula:
        """Rebuild a formula from the JSON of `encoded`."""
        over, under = ([(Fraction(f), tuple(names)) for f, names in part] for part in text[:2])
        return cls(over, under, *text[2:])


def _total(terms: Sequence[Term], sizes: Sizes) -> Fraction:
    total = Fraction(0)
    for factor, names in terms:
        for n in names:
            factor = factor * sizes[n]
        total += factor
    return total


def _text(terms: Sequence[Term]) -> str:
    parts = []
    for factor, names in terms:
        product = "*".join(f"({n})" if " " in n else n for n in names)
        if not names:
            parts.append(str(factor))
        else:
            parts.append(product if factor == 1 else f"{factor}*{product}")
    return " + ".join(parts).replace("+ -", "- ") or "0"


def fitted(
    values: Sequence[Any], samples: Sequence[Sizes], tolerance: float = 1e-12
) -> Formula | None:
    """Find the simplest formula that equals each of `values` at the sizes of its sample; None if there is none.

    Floats must agree within the relative `tolerance`, ints exactly.

    >>> fitted([12, 20, 28], [{"n": 3}, {"n": 5}, {"n": 7}])({"n": 100})
    400
    """
    names = sorted(samples[0])
    if any(v != v for v in values):
        return None
    if all(isinstance(v, int) for v in values):
        found: Iterator[Formula] = itertools.chain(
            _sums(values, samples, names), _halves(values, samples, names), _ratios(names)
        )
    else:
        found = _reals(values, samples, names)
    return next((f for f in found if _holds(f, values, samples, tolerance)), None)


def _holds(
    formula: Formula, values: Sequence[Any], samples: Sequence[Sizes], tolerance: float
) -> bool:
    for value, sizes in zip(values, samples, strict=True):
        error = 0 if isinstance(value, int) else tolerance * abs(value)
        if abs(formula(sizes) - value) > error:
            return False
    return True


def _products(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the products that a formula may have: up to three factors, which may repeat."""
    return [p for k in (1, 2, 3) for p in itertools.combinations_with_replacement(names, k)]


def _sums(
    values: Sequence[int], samples: Sequence[Sizes], names: Sequence[str]
) -> Iterator[Formula]:
    """Yield integer combinations of one product and a number, then of two shorter products and a number."""
    for count, longest in ((1, 3), (2, 2)):
        short = [p for p in _products(names) if len(p) <= longest]
        for chosen in itertools.combinations(short, count):
            found = _solved(values, samples, [*chosen, ()])
            if found and all(f.denominator == 1 for f, _ in found):
                yield Formula(found)


def _solved(
    values: Sequence[Any], samples: Sequence[Sizes], products: Sequence[tuple[str, ...]]
) -> list[Term]:
    """Solve for the factors of `products` from the first samples that determine them; [] if none do."""
    count = len(products)
    done: list[tuple[int, list[Fraction]]] = []
    for sizes, value in zip(samples, values, strict=True):
        row = [_total([(Fraction(1), p)], sizes) for p in products] + [Fraction(value)]
        for lead, pivot in done:
            row = [a - row[lead] * b for a, b in zip(row, pivot, strict=True)]
        lead = next((i for i in range(count) if row[i]), count)
        if lead == count:
            if row[count]:
                return []
            continue
        row = [x / row[lead] for x in row]
        done = [(k, [a - p[lead] * b for a, b in zip(p, row, strict=True)]) for k, p in done]
        done.append((lead, row))
        if len(done) == count:
            break
    if len(done) < count:
        return []
    return [(p[count], products[k]) for k, p in sorted(done) if p[count]]


def _halves(
    values: Sequence[int], samples: Sequence[Sizes], names: Sequence[str]
) -> Iterator[Formula]:
    """Yield (factor * size + number) // divisor, the form of strided windows, patches and chunks."""
    for name, divisor, factor in itertools.product(
        names, range(2, LARGEST_DIVISOR + 1), (1, 2, 3, -1)
    ):
        each = list(zip(values, samples, strict=True))
        low = max(v * divisor - factor * s[name] for v, s in each)
        high = min((v + 1) * divisor - 1 - factor * s[name] for v, s in each)
        if low <= high:
            number = 0 if low <= 0 <= high else low if abs(low) <= abs(high) else high
            tail = [(Fraction(number), ())] if number else []
            over: list[Term] = [(Fraction(factor), (name,)), *tail]
            yield Formula(over, [(Fraction(divisor), ())])


def _ratios(names: Sequence[str]) -> Iterator[Formula]:
    """Yield quotients of two products."""
    for top, bottom in itertools.permutations(_products(names), 2):
        yield Formula([(Fraction(1), top)], [(Fraction(1), bottom)])


def _reals(
    values: Sequence[float], samples: Sequence[Sizes], names: Sequence[str]
) -> Iterator[Formula]:
    """Yield formulas of a product x of sizes, as in means, norms and losses, and reciprocals of integers."""
    one: list[Term] = [(Fraction(1), ())]
    inverses = [1 / v if v else math.inf for v in values]
    for product in _products(names):
        xs = [_total([(Fraction(1), product)], s) for s in samples]
        for found in _lines(xs, values):
            yield Formula(_terms(*found, product), whole=False)
        for found in _lines(xs, inverses):
            yield Formula(one, _terms(*found, product), whole=False)
        for a, b, c in _bends(xs, values):
            yield Formula(_terms(a, b, product), _terms(Fraction(1), c, product), whole=False)
    if max(map(abs, inverses)) < LARGEST_COUNT:
        whole = fitted([round(v) for v in inverses], samples)
        if whole is not None:
            yield Formula(whole.over, whole.under, True, True)


def _terms(slope: Fraction, start: Fraction, product: tuple[str, ...]) -> list[Term]:
    return [(slope, product), *([(start, ())] if start else [])]


ROUND = (64, 10**6)
"""The largest denominators of factors, the most likely first."""


def _lines(xs: Sequence[Fraction], ys: Sequence[float]) -> Iterator[tuple[Fraction, Fraction]]:
    """Yield (a, b) of the line a * x + b through the two extreme points, the simplest numbers first."""
    low, high = min(range(len(xs)), key=xs.__getitem__), max(range(len(xs)), key=xs.__getitem__)
    if xs[low] == xs[high] or math.isinf(ys[low]) or math.isinf(ys[high]):
        return
    exact = (ys[high] - ys[low]) / float(xs[high] - xs[low])
    for most in ROUND:
        a = Fraction(exact).limit_denominator(most)
        b = Fraction(ys[low] - float(a) * float(xs[low])).limit_denominator(most)
        if a:
            yield a, b


def _bends(
    xs: Sequence[Fraction], ys: Sequence[float]
) -> Iterator[tuple[Fraction, Fraction, Fraction]]:
    """Yield (a, b, c) of (a * x + b) / (x + c) through three points, the simplest numbers first."""
    order = sorted(range(len(xs)), key=xs.__getitem__)
    picks = [order[0], order[len(order) // 2], order[-1]]
    rows = [(float(xs[i]), 1.0, -ys[i]) for i in picks]
    right = [float(xs[i]) * ys[i] for i in picks]
    whole = _determinant(rows)
    if not whole:
        return
    solved = []
    for k in range(3):
        column = [(*row[:k], y, *row[k + 1 :]) for row, y in zip(rows, right, strict=True)]
        solved.append(_determinant(column) / whole)
    for most in ROUND:
        a, b, c = (Fraction(v).limit_denominator(most) for v in solved)
        if a:
            yield a, b, c


def _determinant(rows: Sequence[Sequence[float]]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
