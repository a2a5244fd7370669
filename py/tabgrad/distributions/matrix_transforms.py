"""Transforms of vectors and matrices: to probabilities, and to triangular and definite matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.transforms import Transform

Tensor = tg.Tensor
Size = tg.Size


class SoftmaxTransform(Transform):
    """Numbers to probabilities by softmax, which is not one-to-one; the inverse is ln y.

    >>> import tabgrad as tg
    >>> tg.distributions.SoftmaxTransform()(tg.zeros(2))
    tensor([0.5000, 0.5000])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def forward_shape(self, shape: Sequence[int]) -> Any:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(Transform):
    """n - 1 numbers to n probabilities: each takes its share of what the earlier ones have left.

    >>> import tabgrad as tg
    >>> tg.distributions.StickBreakingTransform()(tg.zeros(2))
    tensor([0.3333, 0.3333, 0.3333])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _offset(self, x: Tensor) -> Tensor:
        n = x.shape[-1]
        return tg.arange(n, 0, -1, dtype=x.dtype, device=x.device).log()

    def _call(self, x: Tensor) -> Tensor:
        t = x - self._offset(x)
        info = tg.finfo(x.dtype)
        share = t.sigmoid().clamp(min=info.tiny, max=1 - info.eps / 2)
        one = tg.ones_like(share[..., :1])
        left = tg.cat((one, (1 - share).cumprod(-1)), -1)
        return tg.cat((share, one), -1) * left

    def _inverse(self, y: Tensor) -> Tensor:
        head = y[..., :-1]
        left = (1 - head.cumsum(-1)).clamp(min=tg.finfo(y.dtype).tiny)
        return head.log() - left.log() + self._offset(head)

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        t = x - self._offset(x)
        return (-t + tg.nn.functional.logsigmoid(t) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> Any:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Sequence[int]) -> Any:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] - 1))


class LowerCholeskyTransform(Transform):
    """Matrices to lower triangular ones with a positive diagonal, exp of the given one.

    >>> import tabgrad as tg
    >>> tg.distributions.LowerCholeskyTransform()(tg.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """Matrices to positive definite ones: L L' of what `LowerCholeskyTransform` gives.

    >>> import tabgrad as tg
    >>> tg.distributions.PositiveDefiniteTransform()(tg.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(tg.linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """n (n - 1) / 2 numbers to the Cholesky factor of a correlation matrix of n rows.

    tanh of each number is a partial correlation: its share of what is left of the length 1 of its row.

    >>> import tabgrad as tg
    >>> tg.distributions.CorrCholeskyTransform()(tg.zeros(1))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _rows(self, count: int) -> int:
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return n

    def _call(self, x: Tensor) -> Tensor:
        eps = tg.finfo(x.dtype).eps
        n = self._rows(x.shape[-1])
        r = _lower(x.tanh().clamp(min=-1 + eps, max=1 - eps), n)
        left = (1 - r.square()).sqrt().cumprod(-1)
        before = tg.cat((tg.ones_like(left[..., :1]), left[..., :-1]), -1)
        return (r + tg.eye(n, dtype=x.dtype, device=x.device)) * before

    def _inverse(self, y: Tensor) -> Tensor:
        n = y.shape[-1]
        left = 1 - y.square().cumsum(-1)
        before = tg.cat((tg.ones_like(left[..., :1]), left[..., :-1]), -1)
        place = tg.tril_indices(n, n, -1, device=y.device)
        share = y[..., place[0], place[1]] / before[..., place[0], place[1]].sqrt()
        return share.atanh()

    def _log_stretch(self, x: Tensor, y: Tensor) -> Tensor:
        n = y.shape[-1]
        left = 1 - y.square().cumsum(-1)
        place = tg.tril_indices(n - 1, n - 1, -1, device=y.device)
        rows = left[..., place[0] + 1, place[1]] if n > 2 else left[..., :0, 0]
        fall = x + tg.nn.functional.softplus(-2 * x) - math.log(2)
        return 0.5 * rows.log().sum(-1) - 2 * fall.sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> Any:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        n = self._rows(shape[-1])
        return Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Sequence[int]) -> Any:
        if len(shape) < 2:
            raise ValueError("Too few dimensions on input")
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        n = shape[-1]
        return Size((*shape[:-2], n * (n - 1) // 2))


def _lower(x: Tensor, n: int) -> Tensor:
    """Return vectors as strictly lower triangular matrices, row by row."""
    place = tg.tril_indices(n, n, -1, device=x.device)
    flat = tg.zeros((*x.shape[:-1], n * n), dtype=x.dtype, device=x.device)
    index = (place[0] * n + place[1]).expand(*x.shape)
    return flat.scatter(-1, index, x).unflatten(-1, (n, n))
