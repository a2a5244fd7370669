"""Weights that are orthogonal, of spectral norm 1, or a length times a direction."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from tabgrad.nn.module import Module
from tabgrad.nn.utils.parametrize import register_parametrization

Tensor = tg.Tensor
MAPS = ("matrix_exp", "cayley", "householder")
FIRST_STEPS = 15
"""The steps of the power method that find the first singular vectors of the initial weight."""


def _is_orthogonal(q: Tensor) -> bool:
    n = q.shape[-1]
    eps = 10 * n * tg.finfo(q.dtype).eps
    unit = tg.eye(n, dtype=q.dtype, device=q.device)
    return bool(tg.allclose(q.mH @ q, unit, atol=eps))


def _nearest(a: Tensor) -> Tensor:
    """Return the orthogonal factor of `a` = QR with a positive diagonal of R."""
    packed, tau = tg.geqrf(a)
    q = tg.linalg.householder_product(packed, tau)
    return q * packed.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _Orthogonal(Module):
    """Makes an orthogonal matrix of any: by a map of its skew part, or by reflections."""

    base: Tensor | None

    def __init__(self, weight: Tensor, kind: str, use_trivialization: bool) -> None:
        super().__init__()
        if weight.is_complex() and kind == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.kind = kind
        self.trivialized = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        n, k = X.shape[-2:]
        turned = n < k
        if turned:
            X, n, k = X.mT, k, n
        q = self._reflected(X) if self.kind == "householder" else self._rotated(X, n, k)
        if self.trivialized and self.base is not None:
            q = self.base @ q
        return q.mT if turned else q

    def _rotated(self, x: Tensor, n: int, k: int) -> Tensor:
        x = x.tril()
        if n != k:
            x = tg.cat([x, x.new_zeros(*x.shape[:-2], n, n - k)], dim=-1)
        skew = x - x.mH
        if self.kind == "matrix_exp":
            q = tg.matrix_exp(skew)
        else:
            unit = tg.eye(n, dtype=skew.dtype, device=skew.device)
            q = tg.linalg.solve(unit - skew / 2, unit + skew / 2)
        return q[..., :k] if n != k else q

    @staticmethod
    def _reflected(x: Tensor) -> Tensor:
        below = x.tril(diagonal=-1)
        tau = 2 / (1 + (below * below).sum(dim=-2))
        q = tg.linalg.householder_product(below, tau)
        # the signs are no function that is differentiated: they stay as they are
        return q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    def right_inverse(self, Q: Tensor) -> Tensor:
        """Return what `forward` makes `Q` of, or the orthogonal matrix nearest to it."""
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of "
                f"shape {Q.shape}."
            )
        given = Q
        n, k = Q.shape[-2:]
        turned = n < k
        if turned:
            Q, n, k = Q.mT, k, n
        if not self.trivialized:
            if self.kind != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations "
                    "when use_trivialization=False."
                )
            packed, tau = tg.geqrf(Q)
            diagonal = packed.diagonal(dim1=-2, dim2=-1)
            signs = diagonal.sgn()
            signs = tg.where(tau == 0, -signs, signs)
            packed = packed - tg.diag_embed(diagonal) if n == k else packed.tril(-1)
            packed = packed + F.pad(tg.diag_embed(signs), (0, 0, 0, n - k))
            return packed.mT if turned else packed
        if n == k:
            base = Q.clone() if _is_orthogonal(Q) else _nearest(Q)
        else:
            more = tg.randn(*Q.shape[:-2], n, n - k, dtype=Q.dtype, device=Q.device)
            base = _nearest(tg.cat([Q, more], dim=-1))
        self.base = base
        # what the identity is made of, by each of the maps
        zero = tg.zeros_like(given)
        zero.diagonal(dim1=-2, dim2=-1).fill_(-1)
        return zero


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *,
    use_trivialization: bool = True,
) -> Module:  # fmt: skip
    """Make a weight orthogonal: its columns orthonormal, or its rows where they are fewer; return the module.

    `orthogonal_map` is "matrix_exp", "cayley" or "householder"; None means matrix_exp for square or complex
    weights, else householder. With `use_trivialization` the matrix is a product with a fixed one, which is set
    when a value is assigned (Lezcano-Casado 2019).

    >>> import tabgrad as tg
    >>> layer = tg.nn.utils.parametrizations.orthogonal(tg.nn.Linear(3, 2, device="cpu"))
    >>> q = layer.weight
    >>> tg.allclose(q @ q.T, tg.eye(2, device="cpu"), atol=1e-5)
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)


class _WeightNorm(Module):
    """Makes a weight of lengths and directions."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / tg.norm_except_dim(weight_v, 2, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return lengths and directions."""
        return tg.norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Make a weight a product of lengths and directions; return the module.

    There is a length, in `original0`, for each index of `dim`, or one for None; the directions are `original1`
    (Salimans and Kingma 2016). State dicts of the older `nn.utils.weight_norm` are loaded too.

    >>> import tabgrad as tg
    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(20, 40, device="cpu"))
    >>> layer.parametrizations.weight.original0.shape
    tabgrad.Size([40, 1])
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def renamed(module: Module, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        old, new = f"{prefix}{name}", f"{prefix}parametrizations.{name}.original"
        if f"{old}_g" in state_dict and f"{old}_v" in state_dict:
            state_dict[f"{new}0"] = state_dict.pop(f"{old}_g")
            state_dict[f"{new}1"] = state_dict.pop(f"{old}_v")

    module.register_load_state_dict_pre_hook(renamed)
    return module


class _SpectralNorm(Module):
    """Divides a weight by its largest singular value, which a step of the power method follows."""

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}] but "
                f"got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            rows = self._rows(weight.detach())
            u, v = (F.normalize(tg.randn_like(x), dim=0, eps=eps) for x in (rows[:, 0], rows[0]))
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            self._iterate(rows, FIRST_STEPS)

    def _rows(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, rows: Tensor, steps: int) -> None:
        with tg.no_grad():
            u, v = self._u, self._v
            for _ in range(steps):
                u = F.normalize(rows @ v, dim=0, eps=self.eps)
                v = F.normalize(rows.mH @ u, dim=0, eps=self.eps)
            self._u.copy_(u)
            self._v.copy_(v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        rows = self._rows(weight)
        if self.training:
            self._iterate(rows.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / tg.vdot(u, rows @ v)

    def right_inverse(self, value: Tensor) -> Tensor:
        """Return the value: of spectral norm 1 it may be, or not."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> Module:  # fmt: skip
    """Divide a weight by its largest singular value; return the module.

    Each use in training mode makes `n_power_iterations` steps of the power method. `dim` says what the rows of
    the matrix are: 0, or 1 for transposed convolutions, if None. A vector is divided by its length. (Miyato et
    al. 2018.)

    >>> import tabgrad as tg
    >>> _ = tg.manual_seed(0)
    >>> layer = tg.nn.utils.parametrizations.spectral_norm(tg.nn.Linear(4, 4, device="cpu"))
    >>> round(tg.linalg.matrix_norm(layer.weight, 2).item(), 2)
    1.0
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        transposed = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
        dim = 1 if isinstance(module, transposed) else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


__all__ = ["orthogonal", "spectral_norm", "weight_norm"]
