"""Laws of vectors and matrices: normal with a covariance, Wishart, correlations."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import HALF_LOG_TAU, Given, Sizes, cached_property, normals
from tabgrad.distributions.distribution import Distribution, ExponentialFamily
from tabgrad.distributions.gammas import Beta, gamma

Tensor = tg.Tensor
Size = tg.Size
SCALES = {
    "covariance_matrix": constraints.positive_definite,
    "precision_matrix": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


def factor_of_inverse(precision: Tensor) -> Tensor:
    """Return the lower Cholesky factor of the inverse."""
    flipped = tg.linalg.cholesky(precision.flip((-2, -1)))
    upper = flipped.flip((-2, -1)).mT
    eye = tg.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return tg.linalg.solve_triangular(upper, eye.expand(*precision.shape), upper=False)


def squared_length(factor: Tensor, x: Tensor) -> Tensor:
    """Return |L⁻¹ x|² for vectors and a lower factor L, over all batch dims."""
    shape = tg.broadcast_shapes(factor.shape[:-2], x.shape[:-1])
    n = factor.shape[-1]
    column = x.expand(*shape, n).unsqueeze(-1)
    solved = tg.linalg.solve_triangular(factor.expand(*shape, n, n), column, upper=False)
    return solved.square().sum((-2, -1))


def half_log_det(factor: Tensor) -> Tensor:
    """Return the sum of the logarithms of the diagonal."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def chosen(given: dict[str, Tensor | None], least: int) -> tuple[str, Tensor]:
    """Return the one matrix that was given, and its name."""
    there = [(name, value) for name, value in given.items() if value is not None]
    if len(there) != 1:
        raise ValueError(
            "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
        )
    name, value = there[0]
    if value.dim() < least:
        raise ValueError(
            f"{name} must be at least two-dimensional, with optional leading batch dimensions"
        )
    return name, value


class _Scaled(Distribution):
    """The base of laws with a covariance, its inverse, or its Cholesky factor, which the others follow from."""

    _factor: Tensor

    def _set(self, name: str, value: Tensor) -> None:
        setattr(self, name, value)
        if name == "scale_tril":
            self._factor = value
        elif name == "covariance_matrix":
            self._factor = tg.linalg.cholesky(value)
        else:
            self._factor = factor_of_inverse(value)

    @cached_property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factor of the covariance."""
        return self._factor

    @cached_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        return self._factor @ self._factor.mT

    @cached_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return tg.cholesky_inverse(self._factor)

    def expand(self, batch_shape: Sizes, _instance: Any = None) -> Any:
        """Return this distribution with its parameters expanded to `batch_shape`."""
        new = super().expand(batch_shape, _instance)
        new._factor = self._factor.expand(*batch_shape, *self._factor.shape[-2:])
        return new


class MultivariateNormal(_Scaled):
    """Normal vectors of mean `loc`, and one of covariance, precision matrix and Cholesky factor.

    >>> import tabgrad as tg
    >>> d = tg.distributions.MultivariateNormal(tg.zeros(2), tg.eye(2))
    >>> d.log_prob(tg.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {"loc": constraints.real_vector, **SCALES}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Tensor, covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None, scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, value = chosen({
            "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }, 2)  # fmt: skip
        shape = tg.broadcast_shapes(value.shape[:-2], loc.shape[:-1])
        n = loc.shape[-1]
        self.loc = loc.expand(*shape, n)
        value = value.expand(*shape, *value.shape[-2:])
        checks = Distribution._validate_args if validate_args is None else validate_args
        if checks:
            # a matrix without a factor is refused by its constraint first
            self.__dict__[name] = value
            self._batch_shape = self._event_shape = Size(())
            self._check_parameter(name, SCALES[name])
        self._set(name, value)
        super().__init__(shape, (n,), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._factor.square().sum(-1)

    def _rsample(self, shape: Sizes) -> Tensor:
        z = normals(shape, self.loc)
        return self.loc + (self._factor @ z.unsqueeze(-1)).squeeze(-1)

    def _log_prob(self, value: Tensor) -> Tensor:
        square = squared_length(self._factor, value - self.loc)
        n = self._event_shape[0]
        return -0.5 * square - n * HALF_LOG_TAU - half_log_det(self._factor)

    def _entropy(self) -> Tensor:
        return self._event_shape[0] * (0.5 + HALF_LOG_TAU) + half_log_det(self._factor)


class LowRankMultivariateNormal(Distribution):
    """Normal vectors with the covariance W W' + D of a narrow `cov_factor` W and a diagonal `cov_diag`.

    >>> import tabgrad as tg
    >>> d = tg.distributions.LowRankMultivariateNormal(tg.zeros(2), tg.ones(2, 1), tg.ones(2))
    >>> d.covariance_matrix
    tensor([[2., 1.],
            [1., 2.]])
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }  # fmt: skip
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        n = loc.shape[-1]
        if cov_factor.dim() < 2:
            raise ValueError(
                "cov_factor must be at least two-dimensional, with optional leading batch dimensions"
            )
        if cov_factor.shape[-2] != n:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {n} x m")
        if cov_diag.shape[-1] != n:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {(n,)}")
        shape = tg.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        self.loc, self.cov_diag = loc.expand(*shape, n), cov_diag.expand(*shape, n)
        self.cov_factor = cov_factor.expand(*shape, *cov_factor.shape[-2:])
        super().__init__(shape, (n,), validate_args=validate_args)

    @property
    def _capacity(self) -> Tensor:
        """The Cholesky factor of I + W' D⁻¹ W."""
        w = self.cov_factor
        eye = tg.eye(w.shape[-1], dtype=w.dtype, device=w.device)
        return tg.linalg.cholesky(eye + (w / self.cov_diag.unsqueeze(-1)).mT @ w)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.cov_factor.square().sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factor of the covariance."""
        return tg.linalg.cholesky(self.covariance_matrix)

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        scaled = (self.cov_factor / self.cov_diag.unsqueeze(-1)).mT
        half = tg.linalg.solve_triangular(self._capacity, scaled, upper=False)
        return (1 / self.cov_diag).diag_embed() - half.mT @ half

    def _rsample(self, shape: Sizes) -> Tensor:
        narrow = normals((*shape[:-1], self.cov_factor.shape[-1]), self.loc)
        wide = normals(shape, self.loc)
        moved = (self.cov_factor @ narrow.unsqueeze(-1)).squeeze(-1)
        return self.loc + moved + self.cov_diag.sqrt() * wide

    def _square(self, diff: Tensor) -> Tensor:
        """Return the squared length of vectors in the metric of the precision."""
        inner = (self.cov_factor.mT @ (diff / self.cov_diag).unsqueeze(-1)).squeeze(-1)
        straight = (diff.square() / self.cov_diag).sum(-1)
        return straight - squared_length(self._capacity, inner)

    def _log_det(self) -> Tensor:
        return 2 * half_log_det(self._capacity) + self.cov_diag.log().sum(-1)

    def _log_prob(self, value: Tensor) -> Tensor:
        square = self._square(value - self.loc)
        return -0.5 * (square + self._log_det()) - self._event_shape[0] * HALF_LOG_TAU

    def _entropy(self) -> Tensor:
        return self._event_shape[0] * (0.5 + HALF_LOG_TAU) + 0.5 * self._log_det()


class Wishart(ExponentialFamily, _Scaled):
    """Positive definite matrices: the sum of x x' over `df` normal vectors x of a covariance.

    >>> import tabgrad as tg
    >>> tg.distributions.Wishart(tg.tensor(3.0), tg.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self, df: Given, covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None, scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name, value = chosen({
            "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }, 2)  # fmt: skip
        n = value.shape[-1]
        if not isinstance(df, Tensor):
            df = tg.tensor(float(df), dtype=value.dtype, device=value.device)
        shape = tg.broadcast_shapes(value.shape[:-2], df.shape)
        if bool((df <= n - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        self.df = df.expand(*shape)
        self._set(name, value.expand(*shape, n, n))
        super().__init__(shape, (n, n), validate_args=validate_args)

    @property
    def arg_constraints(self) -> Any:
        """The constraint of each parameter by its name."""
        return {**SCALES, "df": constraints.greater_than(self._factor.shape[-1] - 1)}

    @property
    def mean(self) -> Tensor:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self._event_shape[0] - 1
        factor = tg.where(factor > 0, factor, math.nan)
        return factor[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        d = v.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (v.square() + d.unsqueeze(-1) * d.unsqueeze(-2))

    def _steps(self) -> Tensor:
        """Return 0, 1, ..., n - 1."""
        n = self._event_shape[0]
        return tg.arange(n, dtype=self.df.dtype, device=self.df.device)

    def _rsample(self, shape: Sizes) -> Tensor:
        half = 0.5 * (self.df.unsqueeze(-1) - self._steps())
        diagonal = (2 * gamma(half.expand(*shape[:-1]))).sqrt()
        lower = normals(shape, self.df).tril(-1) + diagonal.diag_embed()
        root = self._factor @ lower
        return root @ root.mT

    def _log_norm(self) -> Tensor:
        n = self._event_shape[0]
        nu = 0.5 * self.df
        return n * nu * math.log(2) + 2 * nu * half_log_det(self._factor) + tg.mvlgamma(nu, n)

    def _log_prob(self, value: Tensor) -> Tensor:
        n = self._event_shape[0]
        root = tg.linalg.cholesky(value)
        factor, root = (
            m.expand(*tg.broadcast_shapes(self._factor.shape, root.shape))
            for m in (self._factor, root)
        )
        trace = tg.linalg.solve_triangular(factor, root, upper=False).square().sum((-2, -1))
        return (self.df - n - 1) * half_log_det(root) - 0.5 * trace - self._log_norm()

    def _mean_log_det(self) -> Tensor:
        digammas = (0.5 * (self.df.unsqueeze(-1) - self._steps())).digamma().sum(-1)
        return digammas + self._event_shape[0] * math.log(2) + 2 * half_log_det(self._factor)

    def _entropy(self) -> Tensor:
        n = self._event_shape[0]
        power = 0.5 * (self.df - n - 1)
        return self._log_norm() - power * self._mean_log_det() + 0.5 * self.df * n


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices, with a density that is det^(concentration - 1) of the matrix.

    >>> import tabgrad as tg
    >>> tg.distributions.LKJCholesky(3, 0.5).sample().shape
    tabgrad.Size([3, 3])
    """

    arg_constraints = {"concentration": constraints.positive}  # noqa: RUF012
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Given = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        given = concentration
        self.concentration = given if isinstance(given, Tensor) else tg.tensor(float(given))
        super().__init__(self.concentration.shape, (dim, dim), validate_args=validate_args)

    def _sample(self, shape: Sizes) -> Tensor:
        eta = self.concentration.detach()
        n = self.dim
        step = tg.arange(n - 1, dtype=eta.dtype, device=eta.device)
        # the squared length of row k + 1 below the diagonal, and a direction for it (the onion method)
        other = eta.unsqueeze(-1) + 0.5 * (n - 2) - 0.5 * step
        lengths = Beta((step + 1) / 2, other, validate_args=False).sample(
            shape[: len(shape) - 2 - eta.dim()]
        )
        lengths = tg.cat((tg.zeros_like(lengths[..., :1]), lengths), -1)
        raw = normals(shape, eta).tril(-1)
        size = tg.linalg.vector_norm(raw, dim=-1, keepdim=True)
        direction = raw / tg.where(size > 0, size, 1)
        tiny = tg.finfo(eta.dtype).tiny
        rest = (1 - lengths).clamp(min=tiny).sqrt().diag_embed()
        return direction * lengths.sqrt().unsqueeze(-1) + rest

    def _log_prob(self, value: Tensor) -> Tensor:
        eta, n = self.concentration, self.dim
        diagonal = value.diagonal(dim1=-2, dim2=-1)[..., 1:]
        order = tg.arange(2, n + 1, dtype=value.dtype, device=value.device)
        power = 2 * (eta - 1).unsqueeze(-1) + n - order
        alpha = eta + 0.5 * (n - 1)
        bottom = alpha.lgamma() * (n - 1)
        top = tg.mvlgamma(alpha - 0.5, n - 1)
        pi = 0.5 * (n - 1) * math.log(math.pi)
        return (power * diagonal.log()).sum(-1) - (pi + top - bottom)
