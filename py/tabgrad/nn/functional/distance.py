"""Distances and angles between vectors, and unit vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tabgrad.core.promotion import needs_float, needs_real, widened
from tabgrad.core.shape import axes_tuple, axis_index, with_ones
from tabgrad.ops.elementwise import add, div, maximum, mul, sub
from tabgrad.ops.reduction import keep, reduce_sum
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor import Tensor
from tabgrad.tensor.chained import chained
from tabgrad.tensor.norms import vector_norm
from tabgrad.tensor.points import pdist as pdist
from tabgrad.tensor.public import takes_out, with_out

if TYPE_CHECKING:
    from tabgrad.tensor.types import Dims


def normalize(
    input: Tensor, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Divide `input` by its p-norm over `dim`, which counts as at least `eps`.

    >>> import tabgrad as tg
    >>> tg.nn.functional.normalize(tg.tensor([3.0, 4.0], device="cpu"), dim=0)
    tensor([0.6000, 0.8000])
    """
    if out is not None:
        return cast("Tensor", with_out(_normalized)(input, p, dim, eps, out=out))
    return _normalized(input, p, dim, eps)


@takes_out
@chained
@widened(autocast=True)
def _normalized(input: Tensor, p: float, dim: Dims, eps: float) -> Tensor:
    needs_float("normalize: linalg.vector_norm", input)
    axes = axes_tuple("normalize", dim, len(input.spec.shape))
    return div(input, keep(maximum(vector_norm(input, p, axes), eps), input, axes))


@chained
@widened(autocast=True)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Compute the cosine of the angle between the vectors along `dim`; norms count as at least `eps`."""
    needs_real("cosine_similarity", x1, x2, any_of=True)
    product = mul(x1, x2)
    at = axis_index("cosine_similarity", dim, len(product.spec.shape))
    axes = (at,) if product.spec.shape else ()
    shape = product.spec.shape
    x1, x2 = (x if x.spec.shape == shape else expand.bind(x, shape=shape) for x in (x1, x2))
    norms = [maximum(vector_norm(x, 2, axes), eps) for x in (x1, x2)]
    return div(reduce_sum.bind(product, axes=axes), mul(*norms))


@chained
@widened(autocast=True)
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Compute the p-norm of x1 - x2 + eps over the last axis."""
    d = add(sub(x1, x2), eps)
    axes = (len(d.spec.shape) - 1,) if d.spec.shape else ()
    y = vector_norm(d, p, axes)
    return reshape.bind(y, shape=with_ones(d.spec.shape, axes)) if keepdim else y


__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]
