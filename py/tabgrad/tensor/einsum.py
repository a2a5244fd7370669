"""Einstein summation: products and sums named by the letters of the dims."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError
from tabgrad.core.promotion import needs_float, result_dtype, same_dtype
from tabgrad.core.trace import Box
from tabgrad.ops import linalg, view as v
from tabgrad.tensor import arithmetic, reductions
from tabgrad.tensor.arguments import as_dtype
from tabgrad.tensor.chained import chained
from tabgrad.tensor.diagonals import diagonal
from tabgrad.tensor.public import publish
from tabgrad.tensor.shaping import movedim

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

Labels = tuple[Any, ...]
Term = tuple[Any, Labels]


@chained
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Return the sum of products that `equation` describes: "ij,jk->ik" is a matrix product.

    Labels missing on the right are summed over; "..." stands for dims that broadcast. Without "->" the
    labels that occur once are kept, in alphabetic order. Dims may also be named by lists of ints after
    each operand. Pairs are contracted in the order that keeps the results small.

    >>> import tabgrad as tg
    >>> tg.einsum("ij,j->i", tg.ones(2, 3, device="cpu"), tg.ones(3, device="cpu"))
    tensor([3., 3.])
    """
    if not isinstance(equation, str):
        tensors, inputs, output = _from_lists((equation, *operands))
    else:
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = tuple(operands[0])
        tensors = list(operands)
        inputs, output = _parse(equation, [len(x.spec.shape) for x in tensors])
    dtype = result_dtype(*tensors)
    _check_dtypes(tensors, inputs, output)
    if dtype.category < dt.FLOAT and min(_occurrences(inputs, output), default=2) == 1:
        # a sum over one operand alone is int64, as that of sum()
        dtype = tensors[0].device.canonical(dt.int64)
    sizes = _sizes(tensors, inputs)
    terms = [
        _prepare(as_dtype(x, dtype), labels, sizes)
        for x, labels in zip(tensors, inputs, strict=True)
    ]
    return _contract(terms, output, sizes)


def _check_dtypes(tensors: list[Any], inputs: list[Labels], output: Labels) -> None:
    """Raise DTypeError where a sum of products is one of bools or of several dtypes."""
    if max(_occurrences(inputs, output), default=0) < 2:
        return
    for x in tensors:
        same_dtype("einsum:", tensors[0], x)
    if tensors[0].spec.dtype.category == dt.BOOL:
        needs_float("einsum", tensors[0])


def _occurrences(inputs: list[Labels], output: Labels) -> list[int]:
    """Return for each label that is summed over how many operands have it."""
    return [sum(k in labels for labels in inputs) for k in {*sum(inputs, ())} - {*output}]


def _parse(equation: str, ranks: list[int]) -> tuple[list[Labels], Labels]:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ShapeError(f"einsum: {equation!r} names {len(parts)} operands, got {len(ranks)}")
    inputs = [_labels(part, rank, equation) for part, rank in zip(parts, ranks, strict=True)]
    dots = max((sum(isinstance(k, int) for k in labels) for labels in inputs), default=0)
    free = tuple(range(-dots, 0))
    if arrow:
        output = _labels(right, len(right.replace("...", "")) + ("..." in right) * dots, equation)
    else:
        letters = [k for labels in inputs for k in labels if isinstance(k, str)]
        output = free + tuple(k for k in sorted(set(letters)) if letters.count(k) == 1)
    known = {k for labels in inputs for k in labels}
    for k in output:
        if k not in known:
            raise ShapeError(f"einsum: {k!r} in the output of {equation!r} is in no operand")
    if len(set(output)) != len(output):
        raise ShapeError(f"einsum: the output of {equation!r} names a label twice")
    return inputs, output


def _labels(part: str, rank: int, equation: str) -> Labels:
    head, dots, tail = part.partition("...")
    letters = head + tail
    if not all(c.isalpha() for c in letters):
        raise ShapeError(f"einsum: expected letters, commas, '...' and '->', got {equation!r}")
    free = rank - len(letters)
    if free < 0 or (free and not dots):
        raise ShapeError(
            f"einsum: {part!r} of {equation!r} names {len(letters)} dims, the operand has {rank}"
        )
    # dims under the dots are counted from the last one, so that they broadcast
    return (*head, *range(-free, 0), *tail)


def _from_lists(given: tuple[Any, ...]) -> tuple[list[Any], list[Labels], Labels]:
    tensors = [x for x in given if isinstance(x, Box)]
    lists = [tuple(x) for x in given if not isinstance(x, Box)]

    def name(labels: tuple[Any, ...]) -> str:
        return "".join(
            "..." if k is Ellipsis else chr(ord("A") + k + (6 if k > 25 else 0)) for k in labels
        )

    text = ",".join(name(x) for x in lists[: len(tensors)])
    if len(lists) > len(tensors):
        text += "->" + name(lists[-1])
    inputs, output = _parse(text, [len(x.spec.shape) for x in tensors])
    return tensors, inputs, output


def _sizes(tensors: list[Any], inputs: list[Labels]) -> dict[Any, int]:
    sizes: dict[Any, int] = {}
    for x, labels in zip(tensors, inputs, strict=True):
        for k, n in zip(labels, x.spec.shape, strict=True):
            old = sizes.get(k, 1)
            if n != old and 1 not in (n, old):
                raise ShapeError(
                    f"einsum: label {k!r} has sizes {old} and {n}; they must be equal or 1"
                )
            sizes[k] = max(old, n) if 0 not in (n, old) else 0
    return sizes


def _prepare(x: Tensor, labels: Labels, sizes: dict[Any, int]) -> Term:
    """Return `x` with each label once and at its full size."""
    while len(set(labels)) < len(labels):
        k = next(k for k in labels if labels.count(k) > 1)
        i = labels.index(k)
        j = labels.index(k, i + 1)
        x = movedim(diagonal(x, 0, i, j), -1, i)
        labels = labels[:j] + labels[j + 1 :]
    shape = tuple(sizes[k] for k in labels)
    return (x if x.spec.shape == shape else v.expand.bind(x, shape=shape)), labels


def _contract(terms: list[Term], output: Labels, sizes: dict[Any, int]) -> Tensor:
    while len(terms) > 1:
        i, j = _cheapest(terms, output, sizes)
        b, a = terms.pop(j), terms.pop(i)
        needed = {k for _, labels in terms for k in labels} | set(output)
        terms.append(
            _pair(_summed(a, needed | set(b[1])), _summed(b, needed | set(a[1])), needed, sizes)
        )
    x, labels = _summed(terms[0], set(output))
    order = tuple(labels.index(k) for k in output)
    return x if order == tuple(range(len(order))) else v.permute.bind(x, dims=order)


def _cheapest(terms: list[Term], output: Labels, sizes: dict[Any, int]) -> tuple[int, int]:
    if len(terms) == 2:
        return 0, 1

    def cost(pair: tuple[int, int]) -> tuple[int, int]:
        i, j = pair
        both = set(terms[i][1]) | set(terms[j][1])
        rest = {k for n, t in enumerate(terms) if n not in pair for k in t[1]} | set(output)
        work = math.prod(sizes[k] for k in both)
        kept = math.prod(sizes[k] for k in both & rest)
        return kept - sum(t[0].spec.size for t in (terms[i], terms[j])), work

    return min(combinations(range(len(terms)), 2), key=cost)


def _summed(term: Term, needed: set[Any]) -> Term:
    """Return the term summed over the labels that nothing else needs."""
    x, labels = term
    gone = tuple(i for i, k in enumerate(labels) if k not in needed)
    if not gone:
        return term
    total = reductions.sum(x, gone, dtype=x.spec.dtype)
    return total, tuple(k for k in labels if k in needed)


def _pair(a: Term, b: Term, needed: set[Any], sizes: dict[Any, int]) -> Term:
    (x, left), (y, right) = a, b
    shared = [k for k in left if k in right]
    batch = [k for k in shared if k in needed]
    summed = [k for k in shared if k not in needed]
    rows = [k for k in left if k not in right]
    columns = [k for k in right if k not in left]
    if not summed:
        out = (*batch, *rows, *columns)
        return arithmetic.mul(_aligned(x, left, out), _aligned(y, right, out)), out

    def sized(labels: list[Any]) -> tuple[int, ...]:
        return tuple(sizes[k] for k in labels)

    lead = sized(batch)
    m, k, n = (math.prod(sized(labels)) for labels in (rows, summed, columns))
    x = v.reshape.bind(_ordered(x, left, [*batch, *rows, *summed]), shape=(*lead, m, k))
    y = v.reshape.bind(_ordered(y, right, [*batch, *summed, *columns]), shape=(*lead, k, n))
    out = linalg.matmul.bind(x, y)
    return v.reshape.bind(out, shape=(*lead, *sized(rows), *sized(columns))), (
        *batch,
        *rows,
        *columns,
    )


def _ordered(x: Tensor, labels: Labels, order: list[Any]) -> Tensor:
    dims = tuple(labels.index(k) for k in order)
    return x if dims == tuple(range(len(dims))) else v.permute.bind(x, dims=dims)


def _aligned(x: Tensor, labels: Labels, out: Labels) -> Tensor:
    """Return `x` with its labels in the order of `out` and ones for those it lacks."""
    x = _ordered(x, labels, [k for k in out if k in labels])
    it = iter(x.spec.shape)
    return v.reshape.bind(x, shape=tuple(next(it) if k in labels else 1 for k in out))


__all__ = ["einsum"]

publish(globals())
