"""The view that strides describe: elements of the last axis in any order, repeated or left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core.families import view
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Ints, Operand
from tabgrad.core.shape import size
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.ops.indexing import iota, scatter_add
from tabgrad.ops.view import expand, reshape

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def _strided_index(i: Any, source: Ints, *, sizes: Ints, strides: Ints, offset: int) -> Any:
    lead = len(source) - 1
    at = offset
    for e, s in zip(i[lead:], strides, strict=True):
        at = e * s + at
    return (*i[:lead], at), ()


def _strided_transpose(ct: Tensor, x: Tensor, *, sizes: Ints, strides: Ints, offset: int) -> Tensor:
    # each element of the source gets the sum over all elements that view it
    *lead, n = x.shape
    kind = ct.device.index_dtype
    at = strided.bind(iota(n, kind, ct.device), sizes=sizes, strides=strides, offset=offset)
    count = size(sizes)
    at = expand.bind(reshape.bind(at, shape=(count,)), shape=(*lead, count))
    return scatter_add.bind(
        constant(0, spec((*lead, n), ct.spec.dtype), ct.device), at,
        reshape.bind(ct, shape=(*lead, count)), axis=len(lead),
    )  # fmt: skip


@view(
    shape=lambda source, *, sizes, strides, offset: (*source[:-1], *sizes),
    index=_strided_index,
    transpose=_strided_transpose,
    lift=lambda n, *, sizes, strides, offset: {
        "sizes": sizes, "strides": strides, "offset": offset
    },
    samples=(
        ((12,), {"sizes": (2, 3), "strides": (5, 1), "offset": 1}),
        ((6,), {"sizes": (3, 3), "strides": (1, 1), "offset": 0}),
        ((2, 6), {"sizes": (4,), "strides": (0,), "offset": 2}),
    ),
)  # fmt: skip
def strided(x: Operand, *, sizes: Ints, strides: Ints, offset: int) -> Array:
    """Take y[..., i, j] = x[..., offset + i * strides[0] + j * strides[1]], for any number of axes."""
    at = np.full(sizes, offset)
    for k, (n, s) in enumerate(zip(sizes, strides, strict=True)):
        at = at + (np.arange(n) * s).reshape([-1 if d == k else 1 for d in range(len(sizes))])
    return x[..., at]
