"""Diagonals of matrices: reading them, and building matrices from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.errors import ShapeError
from tabgrad.core.promotion import refuse_bool, widened
from tabgrad.ops import view as v
from tabgrad.tensor import reductions
from tabgrad.tensor.aliasing import reshaped, view_with
from tabgrad.tensor.arguments import axis
from tabgrad.tensor.joining import cut
from tabgrad.tensor.public import takes_out
from tabgrad.tensor.shaping import movedim

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the view of a diagonal of the matrices in two dims, as the last dim.

    `offset` counts diagonals above the main one.

    >>> import tabgrad as tg
    >>> tg.diagonal(tg.tensor([[1, 2], [3, 4]], device="cpu"))
    tensor([1, 4])
    """
    rank, offset = len(input.spec.shape), offset.__index__()
    a, b = axis("diagonal", dim1, rank), axis("diagonal", dim2, rank)
    if a == b:
        raise ShapeError(f"diagonal: dimensions cannot be identical {dim1}, {dim2}")
    x = input if (a, b) == (rank - 2, rank - 1) else movedim(input, (a, b), (-2, -1))
    *lead, n, m = x.spec.shape
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    flat = reshaped(x, (*lead, n * m))
    start = offset if offset >= 0 else -offset * m
    if not length:
        return cut(flat, len(lead), 0, 0)
    starts = (0,) * len(lead) + (start,)
    stops = (*lead, start + (length - 1) * (m + 1) + 1)
    return view_with(v.slice_, flat, starts=starts, stops=stops, steps=(1,) * len(lead) + (m + 1,))


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return matrices with the last dim of `input` on a diagonal and zeros elsewhere."""
    if not input.spec.shape:
        raise IndexError("diag_embed: Dimension out of range: expected a tensor of 1 or more dims")
    *lead, length = input.spec.shape
    rank = len(lead) + 2
    a, b = axis("diag_embed", dim1, rank), axis("diag_embed", dim2, rank)
    if a == b:
        raise ShapeError(f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}")
    shift = abs(offset)
    n = length + shift
    # the diagonal lies n + 1 apart in a row of n * n elements
    start = offset if offset >= 0 else shift * n
    high = n * n - start - ((length - 1) * (n + 1) + 1 if length else 0)
    flat = v.pad.bind(
        input, low=(0,) * len(lead) + (start,), high=(0,) * len(lead) + (high,),
        interior=(0,) * len(lead) + (n,),
    )  # fmt: skip
    out = v.reshape.bind(flat, shape=(*lead, n, n))
    return out if (a, b) == (rank - 2, rank - 1) else movedim(out, (-2, -1), (a, b))


@takes_out
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the matrix with a vector on its diagonal, or the diagonal of a matrix.

    >>> import tabgrad as tg
    >>> tg.diag(tg.tensor([1, 2], device="cpu"))
    tensor([[1, 0],
            [0, 2]])
    """
    rank = len(input.spec.shape)
    if rank == 1:
        return diag_embed(input, diagonal)
    if rank == 2:
        return _diagonal(input, diagonal)
    raise ShapeError(f"diag(): Supports 1D or 2D tensors. Got {rank}D")


_diagonal = diagonal


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Return the matrix with the flattened input on its diagonal."""
    return diag_embed(reshaped(input, (input.spec.size,)), offset)


@widened(cpu=True)
def trace(input: Tensor) -> Tensor:
    """Return the sum of the diagonal of a matrix."""
    if len(input.spec.shape) != 2:
        raise ShapeError(
            f"trace: expected a matrix, but got tensor with dim {len(input.spec.shape)}"
        )
    refuse_bool("trace", input)
    return reductions.sum(diagonal(input))


class DiagonalsMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    diag = diag
    diag_embed = diag_embed
    diagflat = diagflat
    diagonal = diagonal
    trace = trace


__all__ = ["diag", "diag_embed", "diagflat", "diagonal", "trace"]
