"""The text of a transform in workgroup memory: where elements begin, and a stage for each factor of the length.

The elements begin in the order of their digits reversed, so that each stage transforms groups of places and
leaves the results in the same places: threads only wait for each other between stages. The first stage takes
elements as they are loaded, and the last one mostly stores its results. All but the first turn their
elements by powers of a root of unity. Two or three of these are computed, the others are products of two
of them: the 7th power of one would have 7 times its error.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence

TURNS = {
    2: (1,), 3: (1,), 4: (1, 2), 5: (1, 2), 7: (1, 4), 8: (1, 4), 11: (1, 4, 8), 13: (1, 4, 8),
}  # fmt: skip
"""The powers that are computed, for each factor that has a stage."""
WITHIN = 2048
"""The most elements that workgroup memory holds: 16,384 bytes."""


def factors(n: int) -> tuple[int, ...] | None:
    """Factor a length into those that have stages, the largest first; None if that is impossible.

    >>> factors(1024), factors(1001), factors(17)
    ((8, 8, 4, 4), (13, 11, 7), None)
    """
    found: list[int] = []
    for p in (13, 11, 7, 5, 3):
        while n % p == 0:
            n, found = n // p, [*found, p]
    twos = n.bit_length() - 1
    if n != 1 << twos:
        return None
    eights = twos // 3 - (twos % 3 == 1 and twos > 1)
    rest = twos - 3 * eights
    found += [8] * eights + [4] * (rest // 2) + [2] * (rest % 2)
    return tuple(sorted(found, reverse=True))


def split(n: int, most: int = WITHIN) -> tuple[int, ...]:
    """Split a length with stages into as few factors up to `most` as possible, of nearly the same size.

    >>> split(2048), split(2**18), split(3**10)
    ((2048,), (512, 512), (243, 243))
    """
    for count in range(1, 33):
        found = _split(n, count, most)
        if found:
            return found
    raise AssertionError(n)


def _split(n: int, count: int, most: int) -> tuple[int, ...]:
    if count == 1:
        return (n,) if n <= most else ()
    near = n ** (1 / count)
    for d in sorted(divisors(n, most), key=lambda d: (abs(math.log(d / near)), d)):
        rest = _split(n // d, count - 1, most)
        if rest:
            return (d, *rest)
    return ()


def divisors(n: int, most: int) -> list[int]:
    """List the divisors of a length with stages, up to `most`."""
    found = [1]
    for p in (2, 3, 5, 7, 11, 13):
        power = p
        old = found
        while n % power == 0 and power <= most:
            found = found + [d * power for d in old if d * power <= most]
            power *= p
    return found


# -- text ------------------------------------------------------------------------------------------


def places(radices: Sequence[int]) -> str:
    """Write the body of the function of the place where element `r` begins."""
    size, terms = math.prod(radices), []
    for i, radix in enumerate(reversed(radices)):
        left = f"r / {math.prod(radices[len(radices) - i :])}u" if i else "r"
        digit = left if i == len(radices) - 1 else f"{left} % {radix}u"
        size //= radix
        terms.append(f"{digit} * {size}u" if size > 1 else digit)
    return f"return {' + '.join(terms) or '0u'};"


def transform(radices: Sequence[int], lines: int, whole: bool) -> str:
    """Write the functions of a workgroup that transforms `lines` lines of the product of `radices`.

    The first stage takes its elements as they are loaded. The last one stores what it finds, unless `whole`
    lines are needed for that.
    """
    count = len(radices)
    length = math.prod(radices)
    texts, calls, done = [], [], 1
    for i, radix in enumerate(radices):
        first, last = i == 0, i == count - 1 and not whole
        texts.append(
            _function(f"stage_{i}(first: u32, t: u32)", stage(radix, done, length, first, last))
        )
        calls.append((f"stage_{i}", f"{lines * length // radix}u"))
        done *= radix
    if not radices:
        texts.append(_function("stage_0(first: u32, t: u32)", _single(whole)))
        calls.append(("stage_0", "LINES"))
    if whole:
        texts.append(_function("finish(first: u32, t: u32)", _stored()))
        calls.append(("finish", "LINES * RESULTS"))
    body = "  workgroupBarrier();\n".join(
        f"  for (var t = local; t < {n}; t += THREADS) {{ {name}(first, t); }}\n"
        for name, n in calls
    )
    return "".join(texts) + f"fn transform(first: u32, local: u32) {{\n{body}}}\n"


def _function(head: str, statements: Iterable[str]) -> str:
    return f"fn {head} {{\n" + "".join(f"  {line}\n" for line in statements) + "}\n"


def _spot(count: str, across: str) -> Iterator[str]:
    """Write which line a thread is of, and its number among `count` of them; leave where there is no line."""
    yield f"let line = select(t / {count}, t % LINES, {across});"
    yield f"let r = select(t % {count}, t / LINES, {across});"
    yield "if (first + line >= lines()) { return; }"


def _single(whole: bool) -> Iterator[str]:
    """Write what is done with the only element of a line."""
    yield from _spot("1u", "ACROSS")
    yield (
        "values[line] = load(first + line, 0u);"
        if whole
        else ("store(first + line, 0u, load(first + line, 0u));")
    )


def _stored() -> Iterator[str]:
    """Write the stores of results that follow from whole lines."""
    yield from _spot("RESULTS", "BESIDE")
    yield "store(first + line, r, wanted(line * LENGTH, r));"


def stage(radix: int, done: int, length: int, first: bool, last: bool) -> Iterator[str]:
    """Write the statements of a stage after those whose radices multiply to `done`.

    The `first` loads its elements, the `last` stores its results.
    """
    if first or last:
        yield from _spot(f"{length // radix}u", "ACROSS" if first else "BESIDE")
    if first:
        each = length // radix
        found = [f"load(first + line, r{f' + {q * each}u' if q else ''})" for q in range(radix)]
        yield from (f"var x{q} = {f};" for q, f in enumerate(found))
        yield "let at = line * LENGTH + place(r);"
    else:
        if last:
            yield "let k = r;"
            yield "let at = line * LENGTH + k;"
        else:
            yield f"let k = t % {done}u;"
            yield f"let at = t / {done}u * {done * radix}u + k;"
        yield from (f"var x{q} = values[{_next('at', q * done)}];" for q in range(radix))
        yield from turns(radix, done * radix)
    results = yield from butterfly([f"x{q}" for q in range(radix)], "y")
    for q, y in enumerate(results):
        if last:
            yield f"store(first + line, {_next('r', q * done)}, {y});"
        else:
            yield f"values[{_next('at', q * done)}] = {y};"


def _next(name: str, by: int) -> str:
    return f"{name} + {by}u" if by else name


def turns(radix: int, length: int) -> Iterator[str]:
    """Write the turns of the elements by the powers of a root of unity of this order."""
    computed = TURNS[radix]
    for q in computed:
        yield f"let w{q} = unit({f'{q}u * ' if q > 1 else ''}k, {length}u);"
    for q in sorted({*range(2, radix)} - {*computed}):
        a = max(c for c in range(1, q) if c & (c - 1) == 0)
        near = next((c for c in computed if c == q + 1), 0)
        yield f"let w{q} = {f'times(w{near}, conjugate(w1))' if near else f'times(w{a}, w{q - a})'};"
    for q in range(1, radix):
        yield f"x{q} = times(x{q}, w{q});"


def butterfly(x: Sequence[str], name: str) -> Generator[str, None, list[str]]:
    """Write the transform of a few variables; give the names of the results, which begin with `name`."""
    n = len(x)
    if n % 2:
        return (yield from odd(x, name))
    if n == 2:
        yield f"let {name}0 = {x[0]} + {x[1]};"
        yield f"let {name}1 = {x[0]} - {x[1]};"
        return [f"{name}0", f"{name}1"]
    even = yield from butterfly(x[::2], f"{name}e")
    other = yield from butterfly(x[1::2], f"{name}o")
    for k in range(1, n // 2):
        yield f"let {name}t{k} = {eighth(other[k], 8 * k // n)};"
        other[k] = f"{name}t{k}"
    for k in range(n // 2):
        yield f"let {name}{k} = {even[k]} + {other[k]};"
        yield f"let {name}{k + n // 2} = {even[k]} - {other[k]};"
    return [f"{name}{k}" for k in range(n)]


def eighth(x: str, k: int) -> str:
    """Write a variable turned by k of 8 parts of a circle, k being from 1 to 3."""
    return {
        1: f"vec2f({x}.x + {x}.y, {x}.y - {x}.x) * 0.70710678",
        2: f"vec2f({x}.y, -{x}.x)",
        3: f"vec2f({x}.y - {x}.x, -{x}.x - {x}.y) * 0.70710678",
    }[k]


def odd(x: Sequence[str], name: str) -> Generator[str, None, list[str]]:
    """Write the transform of an odd number of variables, through the sums and differences of pairs."""
    n = len(x)
    half = range(1, n // 2 + 1)
    for k in half:
        yield f"let {name}p{k} = {x[k]} + {x[n - k]};"
        yield f"let {name}m{k} = {x[k]} - {x[n - k]};"
    yield f"let {name}0 = {x[0]} + {' + '.join(f'{name}p{k}' for k in half)};"
    for j in half:
        angles = [2 * math.pi * (j * k % n) / n for k in half]
        real = " + ".join(
            f"{math.cos(a):.9g} * {name}p{k}" for k, a in zip(half, angles, strict=True)
        )
        turned = " + ".join(
            f"{math.sin(a):.9g} * {name}m{k}" for k, a in zip(half, angles, strict=True)
        )
        yield f"let {name}r{j} = {x[0]} + {real};"
        yield f"let {name}i{j} = {turned};"
        yield f"let {name}{j} = vec2f({name}r{j}.x + {name}i{j}.y, {name}r{j}.y - {name}i{j}.x);"
        yield f"let {name}{n - j} = vec2f({name}r{j}.x - {name}i{j}.y, {name}r{j}.y + {name}i{j}.x);"
    return [f"{name}{k}" for k in range(n)]
