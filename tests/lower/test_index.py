"""Index expressions: every rewrite keeps the value."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from tabgrad.core.op import REGISTRY
from tabgrad.lower.index import Expr, condition, const, flatten, text, unflatten, var
from tabgrad.lower.tokens import Size

SIZES = {"a": 4, "b": 6, "c": 5}


def evaluate(e: Expr, values: dict[str, int]) -> int:
    """The value of an expression, computed from its structure."""
    total = e.const
    for atom, c in e.terms:
        if atom.of is None:
            total += c * values[atom.name]
        else:
            inner = evaluate(atom.of, values)
            total += c * (inner // atom.n if atom.kind == "div" else inner % atom.n)
    return total


def places() -> list[dict[str, int]]:
    return [
        dict(zip(SIZES, v, strict=True)) for v in itertools.product(*map(range, SIZES.values()))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_random_expressions_keep_their_value(seed: int) -> None:
    draw = random.Random(seed)
    names = {n: var(n, s) for n, s in SIZES.items()}
    pairs = [(e, (lambda v, n=n: v[n])) for n, e in names.items()]
    for _ in range(8):
        (x, fx), (y, fy) = draw.choice(pairs), draw.choice(pairs)
        n = draw.choice([1, 2, 3, 4, 6, 12])
        kind = draw.choice(["add", "mul", "div", "mod", "shift"])
        if kind == "add":
            pairs.append((x + y, lambda v, f=fx, g=fy: f(v) + g(v)))
        elif kind == "mul":
            pairs.append((x * n, lambda v, f=fx, n=n: f(v) * n))
        elif kind == "shift":
            pairs.append((x + n, lambda v, f=fx, n=n: f(v) + n))
        elif kind == "div":
            pairs.append((x // n, lambda v, f=fx, n=n: f(v) // n))
        else:
            pairs.append((x % n, lambda v, f=fx, n=n: f(v) % n))
    for v in places():
        for e, f in pairs:
            got = evaluate(e, v)
            assert got == f(v)
            assert e.lo <= got <= e.hi


@pytest.mark.parametrize("shape", [(2, 3, 4), (5,), (7, 1, 3), (1, 1), (2, 2, 2, 2)])
def test_flattening_what_was_unflattened_gives_the_variable_back(shape: tuple[int, ...]) -> None:
    g = var("g", math.prod(shape))
    assert flatten(unflatten(g, shape), shape) == g


def test_rows_that_stay_whole_need_no_division() -> None:
    row, element = var("g", 6), var("r", 20)
    index = (*unflatten(row, (2, 3)), *unflatten(element, (4, 5)))
    assert (
        text(flatten(index, (2, 3, 4, 5))) == f"g * {Size(20)} + r"
        or flatten(index, (2, 3, 4, 5)) == row * 20 + element
    )


def test_conditions_that_always_or_never_hold_are_known() -> None:
    a = var("a", 4)
    assert condition(a, 0, 4) is True
    assert condition(a + 4, 0, 4) is False
    assert condition(a - 1, 0, 4) == f"(a - {Size(1)}) < {Size(4)}"
    assert condition(const(3), 3, 4) is True


def test_a_window_over_a_batch_falls_apart_into_rows_and_columns() -> None:
    """The index arithmetic of a convolution as a product: without this its kernels divide at every load."""
    k, j = var("k", 6272), var("j", 144)
    flat = k * 144 + j
    assert flat // 2016 == k // 14
    assert flat // 28224 % 32 == k // 196
    assert (k % 14 + k // 14 % 14 * 14 + j % 9 * 196) // 588 == j // 3 % 3


def test_a_reshape_leaves_axes_alone_that_it_does_not_touch() -> None:
    h, w = var("h", 30) - 2, var("w", 30) - 2
    index = (var("n", 6), var("c", 40), h, w)
    found, _ = REGISTRY["reshape"].index(index, (6, 4, 10, 30, 30), shape=(6, 40, 30, 30))
    assert found == (index[0], index[1] // 10, index[1] % 10, h, w)


def test_quotients_and_remainders_of_diagonals() -> None:
    i = var("i", 5)
    assert (i * 6) // 5 == i
    assert (i * 6) % 5 == i
    assert (i * 2 + 1 - var("r", 2)) % 2 == const(1) - var("r", 2)
