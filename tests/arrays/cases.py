"""Expressions of the array API's namespace `xp`, whose values `array-api-strict` has told.

`a` (2, 3), `b` (3,), `s` (2, 2) are float64, `i` (2, 3) and `k` (4,) int64, `u` uint8, `m` bool, `c`
complex128.
"""

from __future__ import annotations

from typing import Any

UNARY = (
    "abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor isfinite isinf isnan log log1p log2 "
    "log10 negative positive reciprocal round sign signbit sin sinh sqrt square tan tanh trunc"
).split()
BINARY = (
    "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp "
    "maximum minimum multiply nextafter not_equal pow remainder subtract"
).split()

CASES = [
    *[
        f"xp.{f}(xp.abs(a) / 3 + {1 if f == 'acosh' else 0.1})"
        if f in ("acos", "asin", "atanh", "acosh", "log", "log1p", "log2", "log10", "sqrt")
        else f"xp.{f}(a)"
        for f in UNARY
    ],
    *[f"xp.{f}(a, b)" for f in BINARY],
    *[
        f"xp.{f}(i, xp.abs(i) + 1)"
        for f in ("add", "floor_divide", "remainder", "multiply", "maximum", "subtract")
    ],
    *[f"xp.bitwise_{f}(i, i + 3)" for f in ("and", "or", "xor")],
    "xp.bitwise_invert(i)",
    "xp.bitwise_left_shift(k, k)",
    "xp.bitwise_right_shift(k * 9, k)",
    "xp.logical_and(m, xp.logical_not(m))",
    "xp.logical_or(m, m)",
    "xp.logical_xor(m, xp.logical_not(m))",
    "xp.ceil(i)",
    "xp.floor(i)",
    "xp.trunc(i)",
    "xp.round(i)",
    "xp.round(c * 1.5)",
    "xp.sign(c)",
    "xp.abs(c)",
    "xp.conj(c)",
    "xp.real(c)",
    "xp.imag(c)",
    "xp.clip(a, -0.5, 0.5)",
    "xp.clip(a, min=b)",
    "xp.clip(i, 0, 2)",
    "xp.clip(a, max=0.0)",
    "xp.square(c)",
    *[
        f"xp.{f}(a{o})"
        for f in ("sum", "prod", "max", "min", "mean", "std", "var")
        for o in ("", ", axis=0", ", axis=(0, 1), keepdims=True", ", axis=-1", ", axis=()")
    ],
    "xp.sum(u)",
    "xp.prod(u)",
    "xp.sum(i, axis=1, dtype=xp.float64)",
    "xp.std(a, correction=1)",
    "xp.var(a, axis=0, correction=1.0)",
    "xp.all(m)",
    "xp.any(m, axis=1)",
    "xp.all(a, axis=(0, 1))",
    "xp.any(i, axis=())",
    "xp.count_nonzero(i)",
    "xp.count_nonzero(i, axis=1, keepdims=True)",
    "xp.cumulative_sum(a, axis=1)",
    "xp.cumulative_sum(k, include_initial=True)",
    "xp.cumulative_prod(a, axis=0, include_initial=True)",
    "xp.cumulative_sum(u)",
    "xp.diff(a)",
    "xp.diff(a, axis=0, n=1)",
    "xp.diff(k, n=2, prepend=k, append=k[:1])",
    "xp.arange(5)",
    "xp.arange(1, 8, 3)",
    "xp.arange(5, 1, -2)",
    "xp.arange(3, 1)",
    "xp.eye(3, k=1, dtype=xp.int64)",
    "xp.eye(2, 4, k=-1, dtype=xp.float64)",
    "xp.linspace(0, 1, 5, dtype=xp.float64)",
    "xp.linspace(0, 1, 4, endpoint=False, dtype=xp.float64)",
    "xp.full((2,), 7)",
    "xp.full(3, True)",
    "xp.zeros(2, dtype=xp.int64)",
    "xp.ones((2, 1), dtype=xp.bool)",
    "xp.zeros_like(i)",
    "xp.ones_like(a)",
    "xp.full_like(i, 4)",
    "xp.tril(s, k=-1)",
    "xp.triu(s)",
    "xp.asarray([[1, 2], [3, 4]])",
    "xp.asarray(True)",
    "xp.astype(a, xp.int64)",
    "xp.astype(i, xp.complex128)",
    "xp.broadcast_to(b, (2, 3))",
    "xp.broadcast_arrays(a, b)[1]",
    "xp.concat((a, a), axis=1)",
    "xp.concat([k, k])",
    "xp.concat((a, b), axis=None)",
    "xp.stack((a, a), axis=1)",
    "xp.stack([b, b], axis=-1)",
    "xp.unstack(a)[1]",
    "xp.unstack(a, axis=1)[2]",
    "xp.expand_dims(a, axis=1)",
    "xp.expand_dims(a, axis=-1)",
    "xp.expand_dims(b, axis=(0, 2))",
    "xp.squeeze(xp.expand_dims(a, axis=0), axis=0)",
    "xp.flip(a)",
    "xp.flip(a, axis=0)",
    "xp.flip(a, axis=(0, 1))",
    "xp.roll(a, 1)",
    "xp.roll(a, (1, -1), axis=(0, 1))",
    "xp.matrix_transpose(a)",
    "xp.moveaxis(a, 0, 1)",
    "xp.permute_dims(a, (1, 0))",
    "xp.reshape(a, (3, 2))",
    "xp.reshape(a, (-1,), copy=True)",
    "xp.repeat(k, 2)",
    "xp.repeat(a, 2, axis=1)",
    "xp.repeat(b, xp.asarray([0, 1, 2]))",
    "xp.tile(a, (2, 1, 2))",
    "xp.tile(b, (2,))",
    "xp.argmax(a)",
    "xp.argmax(a, axis=1, keepdims=True)",
    "xp.argmin(a, axis=0)",
    "xp.nonzero(i)[1]",
    "xp.where(m, a, b)",
    "xp.where(m, a, 0.0)",
    "xp.searchsorted(xp.sort(b), a)",
    "xp.searchsorted(xp.sort(k), k, side='right')",
    "xp.take(a, xp.asarray([2, 0]), axis=1)",
    "xp.take(k, xp.asarray([-1, 1]))",
    "xp.take_along_axis(a, xp.argsort(a, axis=1), axis=1)",
    "xp.sort(a)",
    "xp.sort(a, axis=0, descending=True)",
    "xp.argsort(k)",
    "xp.argsort(xp.asarray([2, 1, 2, 1]), descending=True)",
    "xp.isin(k, xp.asarray([1, 3]))",
    *[f"xp.unique_all(xp.asarray([3, 1, 3, 2, 1]))[{n}]" for n in range(4)],
    "xp.unique_counts(i).counts",
    "xp.unique_inverse(i).inverse_indices",
    "xp.unique_values(i)",
    "a @ xp.matrix_transpose(a)",
    "xp.matmul(s, s)",
    "xp.tensordot(a, a, axes=2)",
    "xp.tensordot(a, a, axes=((0,), (0,)))",
    "xp.vecdot(a, b)",
    "xp.linalg.cholesky(s @ xp.matrix_transpose(s))",
    "xp.linalg.cholesky(s @ xp.matrix_transpose(s), upper=True)",
    "xp.linalg.cross(b, xp.flip(b))",
    "xp.linalg.det(s)",
    "xp.linalg.diagonal(s, offset=1)",
    "xp.linalg.eigvalsh(s + xp.matrix_transpose(s))",
    "xp.linalg.eigh(s + xp.matrix_transpose(s)).eigenvalues",
    "xp.linalg.inv(s)",
    "xp.linalg.matrix_norm(s)",
    "xp.linalg.matrix_norm(s, ord=1, keepdims=True)",
    "xp.linalg.matrix_norm(s, ord='nuc')",
    "xp.linalg.matrix_power(s, 3)",
    "xp.linalg.matrix_power(s, -1)",
    "xp.linalg.matrix_rank(s)",
    "xp.linalg.outer(b, b)",
    "xp.linalg.pinv(a)",
    "xp.abs(xp.linalg.qr(a).R)",
    "xp.linalg.slogdet(s).logabsdet",
    "xp.linalg.solve(s, s)",
    "xp.linalg.solve(s, s[0, :])",
    "xp.linalg.svdvals(a)",
    "xp.linalg.svd(a, full_matrices=False).S",
    "xp.linalg.svd(a).Vh.shape[0] + k",
    "xp.linalg.trace(s, offset=1)",
    "xp.linalg.trace(i)",
    "xp.linalg.vector_norm(a)",
    "xp.linalg.vector_norm(a, axis=1, ord=1)",
    "xp.linalg.vector_norm(a, axis=(0, 1), keepdims=True, ord=float('inf'))",
    "xp.fft.fft(c)",
    "xp.fft.ifft(c, n=5)",
    "xp.fft.fftn(c, axes=(0,))",
    "xp.fft.rfft(a, axis=0)",
    "xp.fft.irfft(c, n=4)",
    "xp.fft.rfftn(a)",
    "xp.fft.irfftn(c)",
    "xp.fft.hfft(c)",
    "xp.fft.ihfft(a)",
    "xp.fft.fftfreq(4, d=0.5, dtype=xp.float64)",
    "xp.fft.rfftfreq(5, dtype=xp.float64)",
    "xp.fft.fftshift(a)",
    "xp.fft.ifftn(c, s=(2, 2), axes=(0, 1), norm='ortho')",
    "a[m]",
    "a[0, ...]",
    "a[:, None, 1]",
    "k[xp.asarray([0, 2])]",
    "a + 1",
    "2 / (a + 3)",
    "i // 2",
    "i % 2",
    "-a",
    "a ** 2",
    "a > 0",
    "~m",
    "abs(a)",
    "xp.asarray(a.shape)",
    "a.mT",
    "a.T",
    "a.to_device(a.device)",
]
"""The expressions."""


def names(xp: Any, **where: Any) -> dict[str, Any]:
    """Return what the expressions name."""
    return {
        "xp": xp,
        "a": xp.asarray([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]], dtype=xp.float64, **where),
        "b": xp.asarray([1.0, -2.0, 0.5], dtype=xp.float64, **where),
        "s": xp.asarray([[2.0, 1.0], [0.5, 3.0]], dtype=xp.float64, **where),
        "i": xp.asarray([[3, 0, -2], [1, 3, 0]], dtype=xp.int64, **where),
        "k": xp.asarray([2, 0, 3, 1], dtype=xp.int64, **where),
        "u": xp.asarray([200, 100, 2], dtype=xp.uint8, **where),
        "m": xp.asarray([[True, False, True], [False, True, True]], dtype=xp.bool, **where),
        "c": xp.asarray([[1 + 2j, -1j, 0.5], [2.0, 1 - 1j, 3j]], dtype=xp.complex128, **where),
    }


def plain(values: Any) -> Any:
    """Return nested numbers with complex ones as pairs, and infinities and nan as text."""
    if isinstance(values, list | tuple):
        return [plain(v) for v in values]
    if isinstance(values, complex):
        return [values.real, values.imag]
    return values if values == values and abs(values) != float("inf") else str(values)
