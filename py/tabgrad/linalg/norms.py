"""Norms of vectors and matrices."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core.dtype import FLOAT, as_dtype
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError
from tabgrad.linalg.formulas import formula
from tabgrad.linalg.spectra import svd_of, values_of
from tabgrad.tensor.arguments import axis
from tabgrad.tensor.chained import chained
from tabgrad.tensor.public import takes_out

Tensor = tg.Tensor


@takes_out
@chained
def vector_norm(
    input: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the p-norm of the elements over `dim`, p being `ord`; inf is the largest absolute value.

    >>> import tabgrad as tg
    >>> tg.linalg.vector_norm(tg.tensor([3.0, 4.0], device="cpu"))
    tensor(5.)
    """
    if isinstance(ord, str):
        raise TypeError(
            "linalg.vector_norm(): argument 'ord' must be Number, not str; linalg.matrix_norm takes names"
        )
    return tg.norm(_typed("vector_norm", input, dtype), ord, dim, keepdim)


def _typed(name: str, x: Tensor, dtype: Any) -> Tensor:
    """Return `x` in the dtype that a norm is computed in, or raise for one that is no floating-point dtype."""
    own = x.spec.dtype
    if own.category < FLOAT:
        raise DTypeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got {own.title}; "
            "cast it with .float()"
        )
    if dtype is None:
        return x
    wanted = as_dtype(dtype)
    if wanted.category < FLOAT or wanted.is_complex != own.is_complex:
        raise DTypeError(
            f"linalg.{name}: dtype should be floating point, complex for a complex input, but got "
            f"{wanted!r} for {own!r}"
        )
    return x.to(wanted)


@takes_out
def matrix_norm(
    input: Tensor,
    ord: Any = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """Return the norm of matrices: "fro", or 1, -1, inf, -inf (largest or smallest sum of a column or row).

    2 and -2 are the largest and the smallest singular value, "nuc" is the sum of all.

    >>> import tabgrad as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu"), 1)
    tensor(6.)
    """
    x = _typed("matrix_norm", input, dtype)
    if x.ndim < 2:
        raise ShapeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions, got shape "
            f"{tuple(x.shape)}"
        )
    if isinstance(dim, int) or len(dim) != 2:
        raise ShapeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}")
    rows, columns = (axis("linalg.matrix_norm", d, x.ndim) for d in dim)
    if rows == columns:
        raise ShapeError(f"linalg.matrix_norm: dims must be different. Got {tuple(dim)}")
    if ord == "fro":
        return tg.norm(x, 2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        return _spectral(x, ord, rows, columns, keepdim)
    if ord not in (1, -1, tg.inf, -tg.inf):
        raise ArgumentError(
            f"linalg.matrix_norm: Order {ord} not supported; expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = x.abs().sum(first, keepdim=True)
    if ord > 0 and not x.shape[second]:
        # the largest sum of none
        best = sums.sum(second, keepdim=True)
    else:
        best = sums.amax(second, keepdim=True) if ord > 0 else sums.amin(second, keepdim=True)
    return best if keepdim else best.squeeze((rows, columns))


def _spectral(x: Tensor, ord: Any, rows: int, columns: int, keepdim: bool) -> Tensor:
    """Return the largest, the smallest or the sum of the singular values."""
    shape = [1 if i in (rows, columns) else n for i, n in enumerate(x.shape)]
    lead = [i for i in range(x.ndim) if i not in (rows, columns)]
    x = x.permute((*lead, rows, columns))
    if ord == "nuc" and (x.tracked or x.owner is not None):
        found = _nuclear(x, *svd_of(x))
        return found.reshape(shape) if keepdim else found
    s = values_of("linalg.matrix_norm", x)
    if ord == "nuc":
        found = s.sum(-1)
    elif not s.shape[-1] and ord == 2:
        # the largest of none
        found = s.sum(-1)
    else:
        found = s.amax(-1) if ord == 2 else s.amin(-1)
    if not keepdim:
        return found
    return found.reshape(shape)


def _nuclear_derivative(primals: Any, tangents: Any, ys: Any) -> Any:
    (_, u, _, vh), da = primals, tangents[0]
    if da is None:
        return [None]
    change = (u @ vh).conj() * da
    return [(change.real if change.is_complex() else change).sum((-2, -1))]


def _nuclear_pull(cts: Any, primals: Any, ys: Any) -> Any:
    _, u, _, vh = primals
    return cts[0].unsqueeze(-1).unsqueeze(-1) * (u @ vh), None, None, None


@formula(derivative=_nuclear_derivative, pull=_nuclear_pull)
def _nuclear(x: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Any:
    """Return the sum of the singular values of `x`, whose derivative is U Vᴴ: no single value is in it."""
    return s.sum(-1)


@takes_out
def nuclear_norm(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Return the sums of the singular values of the matrices in two dims, by default the last.

    >>> import tabgrad as tg
    >>> tg.nuclear_norm(tg.eye(3, device="cpu"))
    tensor(3.)
    """
    if isinstance(dim, bool):
        dim, keepdim = None, dim
    return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim)


@takes_out
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Return the square root of the sum of squares over one or two dims; an empty tuple stands for all.

    >>> import tabgrad as tg
    >>> tg.frobenius_norm(tg.tensor([[3.0, 4.0]], device="cpu"), (0, 1))
    tensor(5.)
    """
    return vector_norm(input, 2, dim, keepdim)


@takes_out
def norm(
    input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return a vector norm for one dim (or none given with no `ord`), a matrix norm for two.

    >>> import tabgrad as tg
    >>> tg.linalg.norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]], device="cpu"))
    tensor(5.)
    """
    if dim is not None:
        over = (dim,) if isinstance(dim, int) else tuple(dim)
        if len(over) not in (1, 2):
            raise ShapeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(over)}"
            )
        if isinstance(ord, str) or (ord is not None and len(over) == 2):
            return matrix_norm(input, ord, over, keepdim, dtype=dtype)
    elif ord is not None:
        if len(input.spec.shape) not in (1, 2):
            raise ShapeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{input.ndim}D."
            )
        if isinstance(ord, str) or input.ndim == 2:
            return matrix_norm(input, ord, keepdim=keepdim, dtype=dtype)
    return vector_norm(input, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
