"""The gradient of maxima over windows in NumPy."""

from __future__ import annotations

from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Ints


def first_pull(ct: Array, x: Array, y: Array, axis: int, padded: tuple[Ints, ...]) -> Array:
    """Give each first maximum its cotangent, and what is no maximum 0; of nan, the last counts."""
    out = np.zeros(x.shape, x.dtype)
    into, parts = np.moveaxis(out, axis, 0), np.moveaxis(x, axis, 0)
    real = _inside(padded) if padded and (y == _lowest(y.dtype)).any() else None
    free = np.ones(y.shape, bool)
    for k, part in enumerate(parts):
        here = np.equal(part, y)
        here &= free if real is None else free & real[..., k]
        into[k] = np.where(here, ct, 0)
        np.greater(free, here, out=free)
    if x.dtype.kind == "f" and np.isnan(y).any():
        lost = np.isnan(y)
        for k in reversed(range(len(parts))):
            here = np.isnan(parts[k]) & lost
            into[k][here] = ct[here]
            np.greater(lost, here, out=lost)
    return out


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind in "iu" else False


def _inside(padded: tuple[Ints, ...]) -> Array:
    """Do in NumPy what `inside` does, for one image."""
    rank = len(padded)
    found: Any = True
    for i, (size, count, kernel, stride, dilation, before) in enumerate(padded):
        at = (np.arange(count) * stride - before)[:, None] + np.arange(kernel) * dilation
        line = (at >= 0) & (at < size)
        found = found & np.expand_dims(line, [k for k in range(2 * rank) if k % rank != i])
    return found.reshape(*found.shape[:rank], -1)
