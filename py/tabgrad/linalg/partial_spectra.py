"""Ends of the spectra of large symmetric matrices: locally optimal block preconditioned conjugate gradients.

Knyazev (2001), Toward the optimal preconditioned eigensolver; the basis of each step is made orthonormal by
eigenvectors of its Gram matrix, as Stathopoulos and Wu (2002) do, which drops directions that depend on others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import ArgumentError, GradientError, ShapeError
from tabgrad.linalg.spectra import eigh

Tensor = tg.Tensor
METHODS = ("basic", "ortho")
STEPS = 1000


class LOBPCG:
    """The state of an iteration, as trackers see it: `bvars["force_stop"] = True` ends it."""

    def __init__(self, A: Any, B: Any, iK: Any, X: Tensor, largest: bool) -> None:
        self.A, self.B, self.iK, self.X = A, B, iK, X
        self.E: Tensor = X[..., 0, :]
        self.R = self.S = X
        m, n = X.shape[-2:]
        self.iparams = {"m": m, "n": n}
        self.fparams: dict[str, float] = {}
        self.bparams = {"largest": largest}
        self.ivars = {"istep": 0, "converged_count": 0, "converged_end": 0}
        self.fvars: dict[str, float] = {}
        self.bvars = {"force_stop": False}
        self.tvars: dict[str, Tensor] = {}

    def start(self) -> None:
        """Make the first columns orthonormal, and turn them to the best vectors in their span."""
        scale = self.X.norm()
        self._norms = [(x @ self.X).norm() / scale for x in (self.A, self.B) if x is not None]
        self.X, valid = self.orthonormal(self.X)
        if not bool(valid.all()):
            raise ArgumentError("lobpcg: the columns of X must be linearly independent")
        self.S = self.X
        self.turn(valid)
        self.P: Tensor | None = None

    def inner(self, x: Tensor, y: Tensor) -> Tensor:
        """Return xᴴ B y."""
        return x.mH @ (y if self.B is None else self.B @ y)

    def orthonormal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return orthonormal columns with the span of `x`, and which they are: the others are zeros."""
        valid = x[..., 0, :] == x[..., 0, :]
        for _ in range(2):
            gram = self.inner(x, x)
            size = (
                gram.diagonal(dim1=-2, dim2=-1).real
                if gram.is_complex()
                else gram.diagonal(dim1=-2, dim2=-1)
            )
            scale = tg.where(size > 0, size.clamp(min=tg.finfo(size.dtype).tiny).rsqrt(), 0)
            values, turn = eigh(scale[..., :, None] * gram * scale[..., None, :])
            least = values[..., -1:] * (x.shape[-1] * tg.finfo(size.dtype).eps)
            valid = values > least
            length = tg.where(valid, tg.where(valid, values, 1).rsqrt(), 0)
            x = (x * scale[..., None, :]) @ (turn * length[..., None, :])
        return x, valid

    def turn(self, valid: Tensor) -> None:
        """Take the best vectors in the span of the orthonormal `S`."""
        n, largest = self.iparams["n"], self.bparams["largest"]
        inside = self.S.mH @ (self.A @ self.S)
        inside = (inside + inside.mH) / 2
        far = 2 * inside.abs().sum((-2, -1))[..., None] + 1
        away = tg.where(valid, 0, -far if largest else far)
        values, vectors = eigh(inside + tg.diag_embed(away.to(inside.dtype)))
        if largest:
            values, vectors = values.flip(-1), vectors.flip(-1)
        self.E, self.X = values[..., :n], self.S @ vectors[..., :n]

    def measure(self, tol: float) -> None:
        """Find the residuals, and how many of the first vectors have converged in all matrices."""
        x = self.X
        self.R = self.A @ x - (x if self.B is None else self.B @ x) * self.E[..., None, :]
        size, *other = self._norms
        bound = size + self.E.abs() * (other[0] if other else 1)
        error = self.R.norm(dim=-2) / (x.norm(dim=-2) * bound)
        self.tvars["rerr"] = error
        flat = (error < tol).reshape(-1, error.shape[-1]).all(0)
        self.ivars["converged_count"] = int(flat.int().cumprod(0).sum())

    def step(self) -> None:
        """Go on in the span of the vectors, the residuals and the last changes."""
        x = self.X
        new = self.R if self.iK is None else self.iK @ self.R
        rest = new if self.P is None else tg.cat([new, self.P], -1)
        for _ in range(2):
            rest = rest - x @ self.inner(x, rest)
        rest, valid = self.orthonormal(rest)
        rest = rest - x @ self.inner(x, rest)
        self.S = tg.cat([x, rest], -1)
        self.turn(tg.cat([valid[..., :1].expand(*valid.shape[:-1], x.shape[-1]) | True, valid], -1))
        self.P = self.X - x @ self.inner(x, self.X)
        self.ivars["istep"] += 1


def lobpcg(
    A: Tensor, k: int | None = None, B: Tensor | None = None, X: Tensor | None = None,
    n: int | None = None, iK: Tensor | None = None, niter: int | None = None,
    tol: float | None = None, largest: bool | None = None, method: str | None = None,
    tracker: Callable[[LOBPCG], None] | None = None, ortho_iparams: dict[str, int] | None = None,
    ortho_fparams: dict[str, float] | None = None, ortho_bparams: dict[str, bool] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the `k` largest (or smallest) eigenvalues of symmetric A x = λ B x, and vectors as columns.

    `A`, `B` (positive definite, else the identity) and the preconditioner `iK` are [..., m, m], dense or
    sparse; `X` [..., m, n] is where it begins, else random; m must be at least 3 n. It ends when the relative
    residuals are below `tol`, the square root of the dtype's precision, or after `niter` steps (1,000; -1 for
    no end), each of which waits for them. Both methods are the same here, and the ortho_... parameters change
    nothing.

    Where a gradient of a dense `A` is wanted, the whole spectrum is found by `linalg.eigh`, so that derivatives
    of any order are right; there is none with `B`, as in PyTorch.

    >>> import tabgrad as tg
    >>> A = tg.diag(tg.arange(1.0, 31, device="cpu"))
    >>> E, X = tg.lobpcg(A, k=2, niter=-1)
    >>> tg.allclose(E, tg.tensor([30.0, 29.0], device="cpu"), rtol=1e-4)
    True
    """
    m = A.shape[-1]
    if len(A.shape) < 2 or A.shape[-2] != m:
        raise ShapeError(f"lobpcg: expected square matrices, got A of shape {tuple(A.shape)}")
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = (k if n is None else n) if X is None else X.shape[-1]
    largest = True if largest is None else largest
    if not 1 <= k <= n or 3 * n > m:
        raise ArgumentError(
            f"LPBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the "
            f"number of requested eigenpairs (={n}), or k (={k}) is not from 1 to that; use linalg.eigh"
        )
    if method not in (None, *METHODS):
        raise ArgumentError(f"lobpcg: method must be one of {', '.join(METHODS)}, got {method!r}")
    if tg.is_grad_enabled() and any(y is not None and y.requires_grad for y in (A, B)):
        return _dense(A, B, k, largest)
    with tg.no_grad():
        if X is None:
            X = tg.randn(*A.shape[:-1], n, dtype=A.dtype, device=A.device)
        state = LOBPCG(A, B, iK, X, largest)
        precision = tg.finfo(A.dtype).eps ** 0.5 if tol is None else tol
        state.fparams["tol"] = precision
        _run(state, k, STEPS if niter is None else niter, precision, tracker)
        return state.E[..., :k], state.X[..., :k]


def _run(state: LOBPCG, k: int, steps: int, tol: float, tracker: Any) -> None:
    state.start()
    while True:
        state.measure(tol)
        if tracker is not None:
            tracker(state)
        ended = state.bvars["force_stop"] or state.ivars["converged_count"] >= k
        if ended or 0 <= steps <= state.ivars["istep"]:
            return
        state.step()


def _dense(A: Tensor, B: Tensor | None, k: int, largest: bool) -> tuple[Tensor, Tensor]:
    if B is not None or A.layout != tg.strided:
        raise GradientError(
            "lobpcg.backward: derivatives are of dense A alone, without B; detach what needs none"
        )
    values, vectors = eigh((A + A.mH) / 2)
    if largest:
        values, vectors = values.flip(-1), vectors.flip(-1)
    return values[..., :k], vectors[..., :k]


__all__ = ["lobpcg"]
