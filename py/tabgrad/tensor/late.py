"""Functions and methods that are imported when one of them is first asked for.

A *late room* is a file like a topic: functions, a class `...Methods` if some are methods, and `__all__`. It may
stand above the tensor, in `linalg` or `special`. The tables here tell its names without importing it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tabgrad.tensor.public import as_method

FUNCTIONS = {
    "amp": "autocast get_autocast_dtype is_autocast_enabled set_autocast_dtype set_autocast_enabled",
    "exporting": "export",
    "fft.short_time": "istft stft",
    "linalg.rooted": (
        "chain_matmul cholesky cholesky_inverse cholesky_solve det eig frobenius_norm geqrf inverse "
        "logdet lstsq lu lu_solve lu_unpack matrix_exp matrix_power matrix_rank nuclear_norm orgqr "
        "ormqr pinverse qr slogdet solve svd symeig triangular_solve vander"
    ),
    "serialization": "load save save_async",
    "signal.rooted": "bartlett_window blackman_window hamming_window hann_window kaiser_window",
    "sparse.rooted": (
        "dsmm hsmm hspmm saddmm smm sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor "
        "sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor spmm sspaddmm"
    ),
    "special.rooted": "i0 igamma igammac mvlgamma polygamma",
    "tensor.complex_numbers": (
        "angle complex conj_physical conj_physical_ imag is_conj is_neg polar real resolve_conj resolve_neg "
        "view_as_complex view_as_real"
    ),
    "tensor.distinct": "unique unique_consecutive",
    "tensor.einsum": "einsum",
    "tensor.rooted": (
        "abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ "
        "asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ "
        "detach detach_ erf_ erfc_ exp2_ exp_ expm1_ fill fill_ fix_ floor_ frac_ gcd_ "
        "index_put_ lcm_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ "
        "rad2deg_ reciprocal_ relu_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ "
        "tanh_ trunc_ xlogy_ zero_"
    ),
}
"""The functions at the root of tabgrad, by the file that they are imported from."""

METHODS = {
    "fft.short_time.ShortTimeMethods": "istft stft",
    "linalg.rooted.MatrixMethods": (
        "cholesky cholesky_inverse cholesky_solve det eig geqrf inverse logdet lstsq lu lu_solve "
        "matrix_exp matrix_power orgqr ormqr pinverse qr slogdet solve svd symeig triangular_solve"
    ),
    "sparse.rooted.SparseMethods": (
        "ccol_indices coalesce col_indices crow_indices dense_dim indices is_coalesced is_sparse "
        "is_sparse_csr row_indices smm sparse_dim sparse_mask sspaddmm to_dense to_sparse "
        "to_sparse_bsc to_sparse_bsr to_sparse_coo to_sparse_csc to_sparse_csr values"
    ),
    "special.rooted.SpecialMethods": (
        "i0 i0_ igamma igamma_ igammac igammac_ mvlgamma mvlgamma_ polygamma polygamma_"
    ),
    "tensor.complex_numbers.ComplexMethods": (
        "angle chalf conj_physical conj_physical_ is_conj is_neg resolve_conj resolve_neg"
    ),
    "tensor.distinct.DistinctMethods": "unique unique_consecutive",
}
"""The methods of Tensor, by the class that they are imported from."""


class Late:
    """A method of Tensor before it is imported; the method itself then takes its place."""

    __slots__ = ("home", "name")

    def __init__(self, home: str, name: str) -> None:
        self.home = home
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        file, _, kind = self.home.rpartition(".")
        found = vars(getattr(import_module(f"tabgrad.{file}"), kind))[self.name]
        method = as_method(found, self.name)
        setattr(LateMethods, self.name, method)
        return method.__get__(instance, owner)


if TYPE_CHECKING:
    from tabgrad.fft.short_time import ShortTimeMethods
    from tabgrad.linalg.rooted import MatrixMethods
    from tabgrad.sparse.rooted import SparseMethods
    from tabgrad.special.rooted import SpecialMethods
    from tabgrad.tensor.complex_numbers import ComplexMethods
    from tabgrad.tensor.distinct import DistinctMethods

    class LateMethods(
        ComplexMethods, DistinctMethods, MatrixMethods, ShortTimeMethods, SparseMethods, SpecialMethods,
    ):  # fmt: skip
        """The methods as type checkers see them."""

        __slots__ = ()

else:

    class LateMethods:
        """The methods of Tensor that late rooms have."""

        __slots__ = ()

    for _home, _names in METHODS.items():
        for _name in _names.split():
            setattr(LateMethods, _name, Late(_home, _name))
