"""Index expressions: integers made of loop variables, kept in a normal form.

An expression is a constant plus a sum of coefficient times atom; an atom is a variable, or the quotient or
remainder of an expression by a constant. Bounds are tracked, so that the divisions which reshapes bring
in cancel: flattening and unflattening the same way leaves the variable itself. Values are printed as u32:
an expression that can be negative is only used behind a condition, where wrapping around fails it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from tabgrad.lower.tokens import Size, Template


class Atom:
    """A variable (`n` is 0), or `of // n`, or `of % n`."""

    __slots__ = ("form", "hi", "id", "kind", "lo", "n", "name", "names", "of", "rank")

    def __init__(
        self, kind: str, name: str, of: Expr | None, n: int, lo: int, hi: int, id: int
    ) -> None:
        self.kind, self.name, self.of, self.n = kind, name, of, n
        self.lo, self.hi, self.id = lo, hi, id
        # the place in a sum must not depend on earlier atoms: equal work has equal text
        below = () if of is None else tuple([(a.form, c > 0) for a, c in of.terms])
        self.form: int = _Atoms.forms.setdefault((kind, name, below), len(_Atoms.forms))
        self.rank = (self.form, n, id)
        # found once for each atom: a quotient and a remainder often share their whole expression
        self.names: frozenset[str] = (
            frozenset((name,)) if of is None else frozenset().union(*(a.names for a, _ in of.terms))
        )


class Expr:
    """A normalised integer expression; compare with `==`."""

    __slots__ = ("_hash", "const", "hi", "lo", "terms")

    def __init__(self, const: int, terms: tuple[tuple[Atom, int], ...]) -> None:
        self.const = const
        self.terms = terms
        lo = hi = const
        for atom, c in terms:
            lo += c * (atom.lo if c > 0 else atom.hi)
            hi += c * (atom.hi if c > 0 else atom.lo)
        self.lo = lo
        self.hi = hi
        self._hash = hash((const, tuple((a.id, c) for a, c in terms)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return not self.terms and self.const == other
        return (
            isinstance(other, Expr)
            and self._hash == other._hash
            and self.const == other.const
            and [(a.id, c) for a, c in self.terms] == [(a.id, c) for a, c in other.terms]
        )

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Any) -> Expr:
        if isinstance(other, int):
            return Expr(self.const + other, self.terms) if other else self
        return _combine(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Expr:
        if isinstance(other, int):
            return Expr(self.const - other, self.terms) if other else self
        return _combine(self, other, -1)

    def __rsub__(self, other: int) -> Expr:
        return self * -1 + other

    def __mul__(self, k: int) -> Expr:
        if k == 1:
            return self
        if k == 0:
            return ZERO
        return Expr(self.const * k, tuple((a, c * k) for a, c in self.terms))

    __rmul__ = __mul__

    def __floordiv__(self, n: int) -> Expr:
        return _divide(self, n)

    def __mod__(self, n: int) -> Expr:
        return _modulo(self, n)

    def variables(self) -> dict[str, int]:
        """Return the variables that occur, and to what each runs."""
        found: dict[str, int] = {}
        stack = [a for a, _ in self.terms]
        while stack:
            atom = stack.pop()
            if atom.of is None:
                found[atom.name] = atom.hi + 1
            else:
                stack += [a for a, _ in atom.of.terms]
        return found

    def uses(self, name: str) -> bool:
        """Test whether the variable `name` occurs."""
        return any(name in a.names for a, _ in self.terms)

    def __repr__(self) -> str:
        return Template(text(self)).filled(repr)


ZERO = Expr(0, ())


class _Atoms:
    """The atoms made so far, so that equal ones are one object."""

    table: ClassVar[dict[Any, Atom]] = {}
    forms: ClassVar[dict[Any, int]] = {}
    """The number of each form of atoms, whatever the sizes in them."""


def _atom(kind: str, name: str, of: Expr | None, n: int, lo: int, hi: int) -> Atom:
    key = (kind, name, of, n, lo, hi)
    found = _Atoms.table.get(key)
    if found is None:
        found = _Atoms.table[key] = Atom(kind, name, of, n, lo, hi, len(_Atoms.table))
    return found


def var(name: str, size: int) -> Expr:
    """Make the variable `name`, which runs from 0 to size - 1."""
    if size <= 1:
        return ZERO
    return Expr(0, ((_atom("var", name, None, 0, 0, size - 1), 1),))


def const(value: int) -> Expr:
    """Make the constant `value`."""
    return Expr(value, ())


def _combine(a: Expr, b: Expr, sign: int) -> Expr:
    table: dict[int, tuple[Atom, int]] = {t.id: (t, c) for t, c in a.terms}
    for t, c in b.terms:
        old = table.get(t.id)
        total = (old[1] if old else 0) + sign * c
        if total:
            table[t.id] = (t, total)
        elif old:
            del table[t.id]
    return _rejoin(a.const + sign * b.const, table)


def _rejoin(constant: int, table: dict[int, tuple[Atom, int]]) -> Expr:
    """Put x % n + n * (x // n) back together."""
    for t, c in list(table.values()):
        if t.kind != "mod":
            continue
        assert t.of is not None
        whole = t.of // t.n
        if len(whole.terms) == 1 and whole.const == 0 and whole.terms[0][1] == 1:
            partner = whole.terms[0][0]
            have = table.get(partner.id)
            if have is not None and have[1] == c * t.n:
                del table[partner.id], table[t.id]
                return _combine(Expr(constant, _sorted(table)), t.of * c, 1)
        for u, d in list(table.values()):
            if u.kind == "mod" and d == c * t.n and u.of == whole and u is not t:
                del table[u.id], table[t.id]
                return _combine(Expr(constant, _sorted(table)), (t.of % (t.n * u.n)) * c, 1)
    return Expr(constant, _sorted(table))


def _sorted(table: dict[int, tuple[Atom, int]]) -> tuple[tuple[Atom, int], ...]:
    return tuple(sorted(table.values(), key=lambda term: term[0].rank))


def _single(e: Expr) -> Atom | None:
    """Find the one atom that `e` consists of, if it does."""
    if len(e.terms) == 1 and e.const == 0 and e.terms[0][1] == 1:
        return e.terms[0][0]
    return None


def _divide(e: Expr, n: int) -> Expr:
    if n == 1 or e is ZERO:
        return e
    if e.lo >= 0:
        if e.hi < n:
            return ZERO
        rest = Expr(e.const % n, tuple((a, c % n) for a, c in e.terms if c % n))
        if rest.lo >= 0 and rest.hi < n:
            return Expr(e.const // n, tuple((a, c // n) for a, c in e.terms if c // n))
        out = [(a, c // n) for a, c in e.terms if c % n == 0]
        rest = Expr(e.const % n, tuple((a, c) for a, c in e.terms if c % n))
        if out or e.const >= n:
            if rest.lo >= 0:
                return Expr(e.const // n, tuple(out)) + _divide(rest, n)
        inner = _single(e)
        if inner is not None and inner.of is not None:
            if inner.kind == "div":
                return _divide(inner.of, inner.n * n)
            if inner.n % n == 0:
                return _modulo(_divide(inner.of, n), inner.n // n)
        g = math.gcd(n, *(c for _, c in e.terms))
        if g > 1:
            return _divide(Expr(e.const // g, tuple((a, c // g) for a, c in e.terms)), n // g)
        parts = _apart(e, n)
        if parts is not None:
            return _divide(parts[1], n // parts[0])
    elif not e.terms:
        return const(e.const // n)
    return Expr(0, ((_atom("div", "", e, n, e.lo // n, e.hi // n), 1),))


def _modulo(e: Expr, n: int) -> Expr:
    if n == 1:
        return ZERO
    if e.lo >= 0:
        if e.hi < n:
            return e
        rest = Expr(e.const % n, tuple((a, c) for a, c in e.terms if c % n))
        if rest.hi < n and rest.lo >= 0:
            return rest
        rest = Expr(e.const % n, tuple((a, c % n) for a, c in e.terms if c % n))
        if rest.hi < n and rest.lo >= 0:
            return rest
        if rest != e and rest.lo >= 0:
            e = rest
        inner = _single(e)
        if inner is not None and inner.of is not None and inner.kind == "mod" and inner.n % n == 0:
            return _modulo(inner.of, n)
        g = math.gcd(n, e.const, *(c for _, c in e.terms))
        if g > 1:
            return _modulo(Expr(e.const // g, tuple((a, c // g) for a, c in e.terms)), n // g) * g
        parts = _apart(e, n)
        if parts is not None:
            return _modulo(parts[1], n // parts[0]) * parts[0] + parts[2]
    elif not e.terms:
        return const(e.const % n)
    return Expr(0, ((_atom("mod", "", e, n, 0, n - 1), 1),))


def _apart(e: Expr, n: int) -> tuple[int, Expr, Expr] | None:
    """Split e = g * a + b with 0 <= b < g, where g > 1 is the largest such divisor of n; return (g, a, b)."""
    for g in sorted({math.gcd(n, c) for _, c in e.terms}, reverse=True):
        if g == 1:
            break
        low = Expr(e.const % g, tuple((a, c) for a, c in e.terms if c % g))
        if low.lo >= 0 and low.hi < g:
            return g, Expr(e.const // g, tuple((a, c // g) for a, c in e.terms if c % g == 0)), low
    return None


def unflatten(flat: Expr, shape: tuple[int, ...]) -> tuple[Expr, ...]:
    """Compute the coordinates of row-major position `flat` in `shape`."""
    if 0 in shape:
        return (ZERO,) * len(shape)
    out = []
    total = step = math.prod(shape)
    for n in shape:
        step //= n
        # `flat` lies inside of `shape`, whatever its bounds say, so the first coordinate needs no remainder.
        at = flat // step
        out.append(ZERO if n == 1 else at if step * n == total and at.lo < 0 else at % n)
    return tuple(out)


def flatten(index: tuple[Any, ...], shape: tuple[int, ...]) -> Expr:
    """Compute the row-major position of `index` in `shape`."""
    out = ZERO
    step = 1
    for e, n in zip(reversed(index), reversed(shape), strict=True):
        out = out + e * step
        step *= n
    return out


def separate(e: Expr, first: str, second: str) -> tuple[Expr, Expr] | None:
    """Split `e` into two terms of a sum, the first without the variable `second`, the second without
    `first`; None where a term needs both."""
    left, right = [], []
    for atom, c in e.terms:
        one = Expr(0, ((atom, c),))
        if not one.uses(second):
            left.append((atom, c))
        elif not one.uses(first):
            right.append((atom, c))
        else:
            return None
    return Expr(e.const, tuple(left)), Expr(0, tuple(right))


def renamed(e: Expr, name: Callable[[Atom], str]) -> Expr:
    """Replace each quotient and remainder in `e` by a variable that `name` names."""
    if all(a.of is None for a, _ in e.terms):
        return e
    return Expr(
        e.const,
        tuple(
            (a if a.of is None else _atom("var", name(a), None, 0, a.lo, a.hi), c)
            for a, c in e.terms
        ),
    )


def text(e: Expr) -> str:
    """Write the expression in u32 arithmetic, valid in WGSL and CUDA C; its numbers are sizes."""
    out = ""
    for atom, c in sorted(e.terms, key=lambda t: t[1] < 0):
        k = abs(c)
        piece = _atom_text(atom)
        piece = piece if k == 1 else f"{piece} * {Size(k)}"
        if c < 0:
            out = f"{out} - {piece}" if out else f"0u - {piece}"
        else:
            out = f"{out} + {piece}" if out else piece
    if e.const > 0:
        out = f"{out} + {Size(e.const)}" if out else f"{Size(e.const)}"
    elif e.const < 0:
        out = f"{out or '0u'} - {Size(-e.const)}"
    return out or "0u"


def _atom_text(a: Atom) -> str:
    if a.of is None:
        return a.name
    inner = text(a.of)
    if len(a.of.terms) > 1 or a.of.const or a.of.terms[0][1] != 1:
        inner = f"({inner})"
    return f"({inner} {'/' if a.kind == 'div' else '%'} {Size(a.n)})"


def condition(e: Expr, lo: int, hi: int) -> str | bool:
    """Write the condition lo <= e < hi, or give a bool if it always holds or never."""
    if hi <= lo or e.hi < lo or e.lo >= hi:
        return False
    if e.lo >= lo and e.hi < hi:
        return True
    if hi - lo == 1:
        return f"({text(e - lo)}) == 0u"
    if e.lo >= lo:
        return f"({text(e)}) < {Size(hi)}"
    return f"({text(e - lo)}) < {Size(hi - lo)}"
