"""Factors of batches of matrices with NumPy: what its `linalg` lacks, and batches in which one matrix fails."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array
from tabgrad.ops import lapack

BLOCK = 32
"""How many columns are factored before the rest of the matrix is changed by a product."""
SMALL = 64
"""The largest triangle that is solved without splitting it."""
NEARLY = 0.98
"""Of components this near to the largest, the first one says which sign a vector has."""


def attempted(fn: Callable[[Any], tuple[Any, ...]], x: Array) -> tuple[Any, ...]:
    """Apply `fn` to all matrices; where NumPy refuses one, its results are nan and the others are kept."""
    try:
        return fn(x)
    except np.linalg.LinAlgError:
        pass
    each = [_one(fn, a) for a in x.reshape(-1, *x.shape[-2:])]
    return tuple(
        np.stack(found).reshape(*x.shape[:-2], *found[0].shape) for found in zip(*each, strict=True)
    )


def _one(fn: Callable[[Any], tuple[Any, ...]], x: Array) -> tuple[Any, ...]:
    try:
        return fn(x)
    except np.linalg.LinAlgError:
        # the results of zeros have the shapes and dtypes
        return tuple(np.full_like(y, np.nan) for y in fn(np.zeros_like(x)))


def cholesky(x: Array) -> tuple[Any, Any]:
    """Return the lower factors, and for each matrix the order of its first minor that is not positive."""
    found = _positive(x)
    if found is not None:
        return found, np.zeros(x.shape[:-2], np.int32)
    flat = x.reshape(-1, *x.shape[-2:])
    info = np.array([_minor(a) for a in flat], np.int32)
    lower = np.full_like(flat, np.nan)
    good = info == 0
    for i in np.flatnonzero(good):
        lower[i] = _positive(flat[i]) if np.isfinite(flat[i]).all() else _step_by_step(flat[i])[0]
    return lower.reshape(x.shape), info.reshape(x.shape[:-2])


def _positive(x: Array) -> Any:
    """Return the lower factors if all matrices are positive definite; LAPACK may take an infinity."""
    if not np.isfinite(x).all():
        return None
    found = lapack.positive(x)
    if found is not None:
        return found
    try:
        found = np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        return None
    return found if (np.diagonal(found, 0, -2, -1).real > 0).all() else None


def _step_by_step(x: Array) -> Any:
    """Return the lower factor of one matrix by its definition, and the order of the first bad minor."""
    lower = np.zeros_like(x)
    with np.errstate(all="ignore"):
        for k in range(x.shape[-1]):
            row = lower[k, :k]
            pivot = x[k, k].real - (row * row.conj()).real.sum()
            if not pivot > 0:
                return lower, k + 1
            lower[k, k] = np.sqrt(pivot)
            lower[k + 1 :, k] = (x[k + 1 :, k] - lower[k + 1 :, :k] @ row.conj()) / lower[k, k]
    return lower, 0


def _minor(x: Array) -> int:
    """Return the order of the first leading minor that is not positive definite; 0 if all are."""
    if not np.isfinite(x).all():
        return int(_step_by_step(x)[1])
    low, high = 0, x.shape[-1] + 1
    while high - low > 1:
        order = (low + high) // 2
        if _positive(x[:order, :order]) is None:
            high = order
        else:
            low = order
    return high if high <= x.shape[-1] else 0


def triangular_solve(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """Solve with one triangle of `a`, from its end on; the other one is not read."""
    found = lapack.triangular_solve(a, b, upper, unit)
    if found is not None:
        return found
    n = a.shape[-1]
    if n <= SMALL:
        inside, beside = _triangle(n, upper, unit)
        t = np.where(inside, a, beside)
    else:
        t = _large_triangle(a, upper, unit)
    if upper:
        return _from_below(t, b)
    return _from_below(t[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]


@functools.lru_cache(64)
def _triangle(n: int, upper: bool, unit: bool) -> tuple[Array, Array]:
    """Return where a triangle is kept, and what stands elsewhere: ones on the diagonal if `unit`."""
    inside = (np.triu if upper else np.tril)(np.ones((n, n), bool))
    beside = np.eye(n, dtype=bool) & unit
    inside &= ~beside
    return inside, beside


def _large_triangle(a: Array, upper: bool, unit: bool) -> Array:
    t = np.triu(a) if upper else np.tril(a)
    if unit:
        n = a.shape[-1]
        t[..., range(n), range(n)] = 1
    return t


def _from_below(t: Array, b: Array) -> Array:
    """Solve with upper triangles. NumPy's elimination has nothing to eliminate in them, and swaps no rows."""
    n = t.shape[-1]
    if n > SMALL:
        half = n // 2
        low = _from_below(t[..., half:, half:], b[..., half:, :])
        rest = b[..., :half, :] - np.matmul(t[..., :half, half:], low)
        return np.concatenate((_from_below(t[..., :half, :half], rest), low), -2)
    try:
        return np.linalg.solve(t, b)
    except np.linalg.LinAlgError:
        pass
    x = np.array(b)
    for i in range(n - 1, -1, -1):
        x[..., i, :] /= t[..., i, i, None]
        x[..., :i, :] -= t[..., :i, i, None] * x[..., i, None, :]
    return x


def lu(x: Array) -> tuple[Any, Any, Any]:
    """Return L and U in one matrix, the rows that were swapped, and the first pivot that is zero."""
    found: tuple[Any, Any, Any] | None = lapack.lu(x)
    if found is not None:
        return found
    m, n = x.shape[-2:]
    lead, k = x.shape[:-2], min(m, n)
    a = x.reshape(-1, m, n).copy()
    pivots = np.zeros((len(a), k), np.int32)
    info = np.zeros(len(a), np.int32)
    for start in range(0, k, BLOCK):
        stop = min(start + BLOCK, k)
        _panel(a, start, stop, pivots, info)
        if stop < n:
            right = a[:, start:stop, stop:]
            right[...] = triangular_solve(a[:, start:stop, start:stop], right, False, True)
            a[:, stop:, stop:] -= np.matmul(a[:, stop:, start:stop], right)
    return a.reshape(x.shape), pivots.reshape(*lead, k), info.reshape(lead)


def _panel(a: Array, start: int, stop: int, pivots: Array, info: Array) -> None:
    """Factor columns from `start` to `stop`, and swap whole rows."""
    if len(a) == 1:
        _panel_of_one(a[0], start, stop, pivots[0], info)
        return
    which = np.arange(len(a))
    for j in range(start, stop):
        column = a[:, j:, j]
        size = np.abs(column.real)
        if a.dtype.kind == "c":
            size = size + np.abs(column.imag)
        best = j + size.argmax(-1)
        pivots[:, j] = best + 1
        if (best != j).any():
            mine = a[which, j]
            a[which, j] = a[which, best]
            a[which, best] = mine
        pivot = a[:, j, j]
        zero = pivot == 0
        if zero.any():
            info[zero & (info == 0)] = j + 1
            pivot = np.where(zero, 1, pivot)
        a[:, j + 1 :, j] /= pivot[:, None]
        a[:, j + 1 :, j + 1 : stop] -= a[:, j + 1 :, j, None] * a[:, j, None, j + 1 : stop]


def _panel_of_one(a: Array, start: int, stop: int, pivots: Array, info: Array) -> None:
    """Do for one matrix what `_panel` does, by the same arithmetic in fewer calls."""
    for j in range(start, stop):
        column = a[j:, j]
        size = abs(column.real) + abs(column.imag) if a.dtype.kind == "c" else abs(column)
        best = j + int(size.argmax())
        pivots[j] = best + 1
        if best != j:
            mine = a[j].copy()
            a[j] = a[best]
            a[best] = mine
        below = a[j + 1 :, j]
        if a[j, j] != 0:
            below /= a[j, j]
        elif info[0] == 0:
            info[0] = j + 1
        a[j + 1 :, j + 1 : stop] -= below[:, None] * a[j, j + 1 : stop]


def permutation(pivots: Array, rows: int) -> Array:
    """Return where each row comes from when rows are swapped as `pivots` say."""
    lead, k = pivots.shape[:-1], pivots.shape[-1]
    flat = np.clip(pivots.reshape(math.prod(lead), k), 1, max(rows, 1)) - 1
    if len(flat) == 1:
        order = list(range(rows))
        for j, other in enumerate(flat[0].tolist()[:rows]):
            order[j], order[other] = order[other], order[j]
        return np.array(order, np.int32).reshape(*lead, rows)
    found = np.repeat(np.arange(rows, dtype=np.int32)[None], len(flat), 0)
    which = np.arange(len(flat))
    for j in range(min(k, rows)):
        mine = found[:, j].copy()
        found[:, j] = found[which, flat[:, j]]
        found[which, flat[:, j]] = mine
    return found.reshape(*lead, rows)


def turn(v: Array) -> Array:
    """Return the factor of each column that makes the first of its largest components positive."""
    size = np.abs(v)
    first = np.argmax(size >= NEARLY * size.max(-2, keepdims=True), -2)[..., None, :]
    found = np.take_along_axis(v, first, -2)
    length = np.abs(found)
    # a column of zeros or nan stays as it is
    return np.where(length > 0, np.conj(found) / np.where(length > 0, length, 1), 1).astype(v.dtype)


def eigh(x: Array) -> tuple[Any, Any]:
    """Return ascending eigenvalues and their vectors, from the lower triangle."""
    w, v = np.linalg.eigh(x)
    return w, v * turn(v)


def svd(x: Array) -> tuple[Any, Any, Any]:
    """Return the reduced singular value decomposition."""
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    factor = turn(u)
    return u * factor, s, vh * np.conj(np.swapaxes(factor, -1, -2))


def eig(x: Array) -> tuple[Any, Any]:
    """Return eigenvalues and vectors of general matrices, always complex."""
    w, v = np.linalg.eig(x)
    kind = np.result_type(x.dtype, np.complex64)
    return w.astype(kind), v.astype(kind)
