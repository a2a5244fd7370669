"""Linear recurrences with NumPy: along a long axis one step of Python's loop serves many spans of it."""

from __future__ import annotations

from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array

LONG = 256
"""The shortest axis that is cut into spans."""
FEW = 2048
"""The most recurrences side by side: of more a step takes longer than Python needs for it."""


def linear(a: Array, b: Array) -> Any:
    """Compute y[i] = a[i] * y[i - 1] + b[i] along the first axis; a[0] is not used.

    The ends of spans are found first, then each span goes on from the end of the one before it, element by
    element as a walk along the whole axis does.
    """
    n, *rest = b.shape
    if n < LONG or b[0].size > FEW:
        return walked(a, b)
    span = min(int(n**0.5), LONG)
    count = n // span
    cut = count * span
    factors, terms = (np.moveaxis(z[:cut].reshape(count, span, *rest), 1, 0) for z in (a, b))
    ends = _ends(factors, terms)
    y = np.empty_like(b)
    parts = np.moveaxis(y[:cut].reshape(count, span, *rest), 1, 0)
    last = np.zeros_like(terms[0])
    last[1:] = ends
    for i in range(span):
        last = factors[i] * last + terms[i]
        if not i:
            last[0] = terms[0, 0]
        parts[i] = last
    for i in range(cut, n):
        y[i] = a[i] * y[i - 1] + b[i]
    # what overflowed within a span may not have done so in the wider dtype of its end
    return y if y.dtype.kind not in "fc" or np.isfinite(y).all() else walked(a, b)


def walked(a: Array, b: Array) -> Any:
    """Compute the same one element after the other."""
    y = np.array(b)
    for i in range(1, len(y)):
        y[i] += a[i] * y[i - 1]
    return y


def _ends(a: Array, b: Array) -> Any:
    """Compute the last element of each span but the last; `a` and `b` are (element of a span, span, ...)."""
    wide = np.promote_types(b.dtype, np.float64) if b.dtype.kind in "fc" else b.dtype
    with np.errstate(all="ignore"):
        scale, own = a[0].astype(wide), b[0].astype(wide)
        for factor, term in zip(a[1:], b[1:], strict=True):
            scale *= factor
            own = factor * own + term
        unsure = _unsure(a, scale, own)
        ends = own[:-1]
        for k in range(1, len(ends)):
            if unsure[k]:
                last = ends[k - 1]
                for factor, term in zip(a[:, k], b[:, k], strict=True):
                    last = factor * last + term
                ends[k] = last
            else:
                ends[k] += scale[k] * ends[k - 1]
        return ends.astype(b.dtype)


def _unsure(a: Array, scale: Array, own: Array) -> Any:
    """Tell which spans must be walked: those whose factors or terms leave the range of numbers."""
    axes = tuple(range(1, scale.ndim))
    if scale.dtype.kind not in "fc":
        return np.zeros(len(scale), bool)
    lost = (abs(scale) < np.finfo(scale.dtype).tiny) & (a != 0).all(0)
    return (lost | ~np.isfinite(scale) | ~np.isfinite(own)).any(axes)
