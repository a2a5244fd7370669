"""L D Lᵀ factors of symmetric and Hermitian matrices with NumPy, as LAPACK keeps them (sytf2, hetf2, sytrs).

Bunch and Kaufman's pivots: blocks of D are 1 by 1 or 2 by 2, and rows are swapped as the factors are found.
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array

ALPHA = (1 + math.sqrt(17)) / 8
"""How much smaller than the largest element of its column a pivot of one element may be."""


def _size(x: Any) -> Any:
    return np.abs(x.real) + np.abs(x.imag)


def factor(x: Array, hermitian: bool) -> tuple[Any, Any, Any]:
    """Return L and D in one lower triangle, the pivots, and the first block of D that is zero."""
    n = x.shape[-1]
    flat = np.tril(x).reshape(math.prod(x.shape[:-2]), n, n)
    pivots = np.zeros((len(flat), n), np.int32)
    info = np.array([_one(a, p, hermitian) for a, p in zip(flat, pivots, strict=True)], np.int32)
    lead = x.shape[:-2]
    return np.tril(flat).reshape(x.shape), pivots.reshape(*lead, n), info.reshape(lead)


def _one(a: Array, pivots: Array, hermitian: bool) -> int:
    """Factor one matrix in place."""
    n, info, k = len(a), 0, 0
    while k < n:
        if hermitian:
            a[k, k] = a[k, k].real
        found = _pivot(a, k, hermitian)
        if found is None:
            info = info or k + 1
            found = k, 1
        at, step = found
        _swap(a, k, at, step, hermitian)
        pivots[k : k + step] = at + 1 if step == 1 else -(at + 1)
        rest = a[k + step :, k : k + step].copy()
        if len(rest) and (step == 2 or a[k, k] != 0):
            scaled = np.linalg.solve(_block(a, k, step, hermitian).T, rest.T).T
            a[k + step :, k + step :] -= scaled @ (np.conj(rest.T) if hermitian else rest.T)
            a[k + step :, k : k + step] = scaled
        k += step
    return info


def _block(a: Array, k: int, step: int, hermitian: bool) -> Any:
    """Return a block of D."""
    block = a[k : k + step, k : k + step].copy()
    if step == 2:
        block[0, 1] = np.conj(block[1, 0]) if hermitian else block[1, 0]
    return block


def _pivot(a: Array, k: int, hermitian: bool) -> tuple[int, int] | None:
    """Return the row that is swapped with row k (row k + 1 for a block of two), and the size of the block."""
    own = _size(a[k, k])
    column = _size(a[k + 1 :, k])
    largest = column.max(initial=0.0)
    if not max(own, largest) > 0:
        return None
    if own >= ALPHA * largest:
        return k, 1
    row = k + 1 + int(np.argmax(column))
    across = max(_size(a[row, k:row]).max(), _size(a[row + 1 :, row]).max(initial=0.0))
    if own >= ALPHA * largest * (largest / across):
        return k, 1
    if _size(a[row, row].real if hermitian else a[row, row]) >= ALPHA * across:
        return row, 1
    return row, 2


def _swap(a: Array, k: int, at: int, step: int, hermitian: bool) -> None:
    """Swap rows and columns of the part that is not factored yet."""
    own = k + step - 1
    if at == own:
        return
    a[at + 1 :, [own, at]] = a[at + 1 :, [at, own]]
    between = a[own + 1 : at, own].copy()
    a[own + 1 : at, own] = np.conj(a[at, own + 1 : at]) if hermitian else a[at, own + 1 : at]
    a[at, own + 1 : at] = np.conj(between) if hermitian else between
    if hermitian:
        a[at, own] = np.conj(a[at, own])
    a[own, own], a[at, at] = a[at, at], a[own, own]
    if step == 2:
        a[own, k], a[at, k] = a[at, k], a[own, k]


def solve(ld: Array, pivots: Array, b: Array, hermitian: bool) -> Array:
    """Solve with what `factor` returned."""
    n = ld.shape[-1]
    count = math.prod(ld.shape[:-2])
    x = b.reshape(count, n, b.shape[-1]).copy()
    for a, p, y in zip(ld.reshape(count, n, n), pivots.reshape(count, n), x, strict=True):
        _down(a, p, y, hermitian)
        _up(a, p, y, hermitian)
    return x.reshape(b.shape)


def _down(a: Array, pivots: Array, x: Array, hermitian: bool) -> None:
    k, n = 0, len(a)
    while k < n:
        step = 1 if pivots[k] > 0 or k + 1 == n else 2
        own, at = k + step - 1, abs(int(pivots[k])) - 1
        x[[own, at]] = x[[at, own]]
        x[k + step :] -= a[k + step :, k : k + step] @ x[k : k + step]
        block = _block(a, k, step, hermitian)
        if step == 1:
            x[k] /= block[0, 0].real if hermitian else block[0, 0]
        else:
            x[k : k + 2] = np.linalg.solve(block, x[k : k + 2])
        k += step


def _up(a: Array, pivots: Array, x: Array, hermitian: bool) -> None:
    k = len(a) - 1
    while k >= 0:
        step = 1 if pivots[k] > 0 or k == 0 else 2
        first, at = k - step + 1, abs(int(pivots[k])) - 1
        back = a[k + 1 :, first : k + 1].T
        x[first : k + 1] -= (np.conj(back) if hermitian else back) @ x[k + 1 :]
        x[[k, at]] = x[[at, k]]
        k -= step
