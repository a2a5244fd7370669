"""LAPACK and BLAS through SciPy, where it is installed and the work is worth the way: NumPy has no LU."""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

from tabgrad.core.forms import Undone
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array

WORTH = 1 << 22
"""The least product of sizes for which SciPy is imported."""
LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}


def one(name: str, *arrays: Array) -> Array:
    """Call NumPy's own LAPACK at once; what is not finite is left to the ops, which say why."""
    function = getattr(getattr(np.linalg, "_umath_linalg", None), name, None)
    if function is None:
        raise Undone
    x = function(*arrays)
    if not np.isfinite(x).all():
        raise Undone
    return x


@functools.cache
def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"scipy.linalg.{name}")
    except ImportError:
        return None


def _function(module: str, name: str, x: Array, work: int) -> Any:
    """Find a function for the dtype of `x`; None where there is none, or NumPy will do."""
    if work < WORTH:
        return None
    letter = LETTERS.get(x.dtype.name)
    found = None if letter is None else _module(module)
    return None if found is None else getattr(found, f"{letter}{name}")


def positive(x: Array) -> Any:
    """Return the lower Cholesky factors of finite matrices; None without SciPy, or where one has none."""
    n = x.shape[-1]
    factor = _function("lapack", "potrf", x, x.size * n)
    if factor is None:
        return None
    out = np.empty_like(x)
    for target, a in zip(out.reshape(-1, n, n), x.reshape(-1, n, n), strict=True):
        target[...], info = factor(a, lower=1, clean=1)
        if info:
            return None
    return out


def lu(x: Array) -> Any:
    """Return L and U in one matrix, the pivots counted from 1, and info; None without SciPy."""
    m, n = x.shape[-2:]
    factor = _function("lapack", "getrf", x, x.size * min(m, n))
    if factor is None or not np.isfinite(x).all():
        return None
    lead = x.shape[:-2]
    out = np.empty_like(x)
    pivots = np.empty((math.prod(lead), min(m, n)), np.int32)
    info = np.empty(len(pivots), np.int32)
    for k, (target, a) in enumerate(zip(out.reshape(-1, m, n), x.reshape(-1, m, n), strict=True)):
        target[...], pivots[k], info[k] = factor(a)
    return out, (pivots + 1).reshape(*lead, -1), info.reshape(lead)


def triangular_solve(a: Array, b: Array, upper: bool, unit: bool) -> Any:
    """Solve with one triangle of `a`; None without SciPy."""
    n, width = b.shape[-2:]
    solve = _function("blas", "trsm", a, b.size * n)
    if solve is None:
        return None
    out = np.empty_like(b)
    rows = zip(out.reshape(-1, n, width), a.reshape(-1, n, n), b.reshape(-1, n, width), strict=True)
    for target, triangle, right in rows:
        target[...] = solve(1, triangle, right, lower=not upper, diag=unit)
    return out
