"""Factors of symmetric and Hermitian matrices that need not be positive definite."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.linalg import return_types
from tabgrad.linalg.arguments import equal_batches, matrices, one_dtype, verified
from tabgrad.linalg.factoring import unsaid
from tabgrad.linalg.on_host import moved, on_host
from tabgrad.ops import decompositions as ops, view as v
from tabgrad.ops.decomposition_rules import column
from tabgrad.tensor import Tensor
from tabgrad.tensor.public import takes_out

ZERO_BLOCK = (
    "torch.linalg.ldl_factor: {element}The diagonal block {info} of D is zero, so that the factors solve no "
    "equation; linalg.ldl_factor_ex returns them all the same"
)


def _factors(x: Tensor, *, hermitian: bool) -> Any:
    return moved(ops.ldl.bind, x, hermitian=hermitian)


def _solved(ld: Tensor, pivots: Tensor, b: Tensor, *, hermitian: bool) -> Any:
    return moved(ops.ldl_solve.bind, ld, pivots, b, hermitian=hermitian)


_WHY = "it has no derivative; use linalg.solve, or linalg.eigh"
_factored = unsaid("linalg.ldl_factor", _WHY, _factors)
_solve = unsaid("linalg.ldl_solve", _WHY, _solved)


@takes_out
def ldl_factor_ex(
    input: Tensor, *, hermitian: bool = False, check_errors: bool = False
) -> return_types.linalg_ldl_factor_ex:
    """Return what `ldl_factor` returns, and info: the first block of D that is zero, counted from 1, else 0.

    >>> import tabgrad as tg
    >>> tg.linalg.ldl_factor_ex(tg.zeros(2, 2, device="cpu")).info
    tensor(1, dtype=tabgrad.int32)
    """
    matrices("torch.linalg.ldl_factor_ex", input, square=True)
    found = on_host(
        "linalg.ldl_factor", _factored, input, hermitian=hermitian and input.is_complex()
    )
    packed, pivots, info = found
    if check_errors:
        packed = verified(ZERO_BLOCK, info, packed)
    return return_types.linalg_ldl_factor_ex(packed, pivots, info)


@takes_out
def ldl_factor(input: Tensor, *, hermitian: bool = False) -> return_types.linalg_ldl_factor:
    """Return L and D of symmetric matrices in one lower triangle, and the pivots, for `ldl_solve`.

    Complex matrices are symmetric, or Hermitian with `hermitian`. The lower triangle is read. LinAlgError says
    that a block of D is zero. It has no derivative, and runs on `cpu` for tensors of any device.

    >>> import tabgrad as tg
    >>> A = tg.tensor([[0.0, 1.0], [1.0, 0.0]], device="cpu")
    >>> tg.linalg.ldl_solve(*tg.linalg.ldl_factor(A), tg.tensor([[2.0], [3.0]], device="cpu"))
    tensor([[3.],
            [2.]])
    """
    packed, pivots, _ = ldl_factor_ex(input, hermitian=hermitian, check_errors=True)
    return return_types.linalg_ldl_factor(packed, pivots)


@takes_out
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """Return X with A X = B for what `ldl_factor` returned for A. It has no derivative.

    >>> import tabgrad as tg
    >>> A = 2 * tg.eye(2, device="cpu")
    >>> tg.linalg.ldl_solve(*tg.linalg.ldl_factor(A), tg.ones(2, 1, device="cpu"))
    tensor([[0.5000],
            [0.5000]])
    """
    name = "torch.linalg.ldl_solve"
    matrices(name, LD, square=True)
    if pivots.spec.dtype.category != dt.INT:
        raise DTypeError(f"{name}: Expected pivots to be integers. Got {pivots.spec.dtype.title}")
    one_dtype(name, LD, B, ("LD", "B"))
    shape = LD.spec.shape
    if len(B.spec.shape) < 2 or B.spec.shape[-2] != shape[-1] or pivots.spec.shape != shape[:-1]:
        raise ShapeError(
            f"{name}: LD {shape}, pivots {pivots.spec.shape} and B {B.spec.shape} do not fit: expected pivots "
            "of LD.shape[:-1], and matrices B with as many rows"
        )
    packed, order, b = equal_batches(name, LD, column(pivots), B)
    order = v.reshape.bind(order, shape=order.spec.shape[:-1])
    hermitian = hermitian and LD.is_complex()
    found: Tensor = on_host("linalg.ldl_solve", _solve, packed, order, b, hermitian=hermitian)
    return found


__all__ = ["ldl_factor", "ldl_factor_ex", "ldl_solve"]
