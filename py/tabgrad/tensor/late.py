"""Functions and methods that are imported when one of them is first asked for.

A *late room* is a file like a topic: functions, a class `...Methods` if some are methods, and `__all__`. It may
stand above the tensor, in `linalg` or `special`. The tables here tell its names without importing it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tabgrad.tensor.public import as_method, findable

FUNCTIONS = {
    "amp.older": (
        "get_autocast_cpu_dtype get_autocast_gpu_dtype is_autocast_cache_enabled is_autocast_cpu_enabled "
        "set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_gpu_dtype"
    ),
    "core.narrow_floats": (
        "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu"
    ),
    "cuda.streams": "Event Stream",
    "tensor.defaults": (
        "get_device get_device_module is_warn_always_enabled legacy_contiguous_format "
        "set_default_tensor_type set_warn_always"
    ),
    "amp": "GradScaler autocast get_autocast_dtype is_autocast_enabled set_autocast_dtype set_autocast_enabled",
    "autograd.anomaly_mode": "is_anomaly_check_nan_enabled is_anomaly_enabled set_anomaly_enabled",
    "distributions.rooted": "binomial",
    "exporting": "export",
    "fft.short_time": "istft stft",
    "func.control": "cond",
    "linalg.partial_spectra": "lobpcg",
    "linalg.rooted": (
        "chain_matmul cholesky cholesky_inverse cholesky_solve det eig frobenius_norm geqrf inverse "
        "logdet lstsq lu lu_solve lu_unpack matrix_exp matrix_power matrix_rank nuclear_norm orgqr "
        "ormqr pca_lowrank pinverse qr slogdet solve svd svd_lowrank symeig triangular_solve vander"
    ),
    "nn.functional.rooted": (
        "adaptive_avg_pool1d adaptive_max_pool1d affine_grid_generator alpha_dropout "
        "alpha_dropout_ avg_pool1d batch_norm bilinear binary_cross_entropy_with_logits celu "
        "celu_ channel_shuffle constant_pad_nd conv1d conv2d conv3d conv_tbc conv_transpose1d "
        "conv_transpose2d conv_transpose3d convolution cosine_embedding_loss cosine_similarity "
        "ctc_loss dropout dropout_ embedding embedding_bag embedding_renorm_ feature_alpha_dropout "
        "feature_alpha_dropout_ feature_dropout feature_dropout_ grid_sampler grid_sampler_2d "
        "grid_sampler_3d group_norm hardshrink hinge_embedding_loss instance_norm kl_div "
        "layer_norm margin_ranking_loss max_pool1d max_pool1d_with_indices max_pool2d "
        "max_pool3d pairwise_distance pixel_shuffle pixel_unshuffle poisson_nll_loss prelu "
        "rms_norm rrelu rrelu_ selu selu_ threshold threshold_ triplet_margin_loss"
    ),
    "nn.rooted": "gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell",
    "printing": "get_printoptions printoptions set_printoptions",
    "pytorch": "as_torch",
    "pytorch.internals": (
        "_assert _check _check_index _check_not_implemented _check_tensor_all _check_tensor_all_with "
        "_check_type _check_value _check_with _softmax_backward_data"
    ),
    "serialization": "load save save_async",
    "signal.rooted": "bartlett_window blackman_window hamming_window hann_window kaiser_window",
    "sparse.rooted": (
        "dsmm hsmm hspmm saddmm smm sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor "
        "sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor spmm sspaddmm"
    ),
    "special.rooted": "i0 i0_ igamma igammac mvlgamma polygamma",
    "tensor.asking": (
        "get_num_interop_threads get_num_threads is_same_size set_flush_denormal "
        "set_num_interop_threads set_num_threads typename"
    ),
    "tensor.blocks": (
        "block_diag combinations diagonal_scatter nonzero_static split_with_sizes unravel_index "
        "unsafe_chunk unsafe_split unsafe_split_with_sizes"
    ),
    "tensor.complex_numbers": (
        "angle complex conj_physical conj_physical_ imag is_conj is_neg polar real resolve_conj resolve_neg "
        "view_as_complex view_as_real"
    ),
    "tensor.combining": "index_reduce scatter scatter_reduce",
    "tensor.distinct": "isin unique unique_consecutive",
    "tensor.einsum": "einsum",
    "tensor.exchange": "from_dlpack to_dlpack",
    "tensor.float_bits": "frexp nextafter",
    "tensor.memory": "TypedStorage UntypedStorage",
    "tensor.points": "cdist histogramdd norm_except_dim pdist renorm",
    "tensor.rare_creation": (
        "alias_copy as_strided_copy detach_copy diagonal_copy empty_permuted empty_strided "
        "expand_copy logspace narrow_copy permute_copy range scalar_tensor select_copy slice_copy "
        "split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy "
        "unfold_copy unsqueeze_copy view_copy"
    ),
    "tensor.rooted": (
        "abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ "
        "asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ "
        "detach detach_ erf_ erfc_ exp2_ exp_ expm1_ fill fill_ fix_ floor_ frac_ gcd_ "
        "index_put_ lcm_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ "
        "rad2deg_ reciprocal_ relu_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ "
        "tanh_ trunc_ xlogy_ zero_"
    ),
    "tensor.sampling": (
        "bernoulli multinomial normal poisson rand rand_like randint randint_like randn randn_like randperm"
    ),
    "tensor.sampled": "cumulative_trapezoid gradient trapezoid trapz",
    "tensor.statistics": "bincount corrcoef cov histc histogram mode nanquantile quantile",
    "tensor.storage": "as_strided as_strided_ as_strided_scatter resize_as_",
    "tensor.type_info": "finfo iinfo",
}
"""The functions at the root of tabgrad, by the file that they are imported from."""

METHODS = {
    "fft.short_time.ShortTimeMethods": "istft stft",
    "linalg.rooted.MatrixMethods": (
        "cholesky cholesky_inverse cholesky_solve det eig geqrf inverse logdet lstsq lu lu_solve "
        "matrix_exp matrix_power orgqr ormqr pinverse qr slogdet solve svd symeig triangular_solve"
    ),
    "nn.functional.rooted.RootedMethods": "hardshrink prelu",
    "sparse.rooted.SparseMethods": (
        "ccol_indices coalesce col_indices crow_indices dense_dim indices is_coalesced is_sparse "
        "is_sparse_csr row_indices smm sparse_dim sparse_mask sparse_resize_ sparse_resize_and_clear_ sspaddmm "
        "to_dense to_sparse "
        "to_sparse_bsc to_sparse_bsr to_sparse_coo to_sparse_csc to_sparse_csr values"
    ),
    "special.rooted.SpecialMethods": (
        "i0 i0_ igamma igamma_ igammac igammac_ mvlgamma mvlgamma_ polygamma polygamma_"
    ),
    "tensor.asking.AskingMethods": (
        "as_subclass const_data_ptr dim_order is_meta is_nested is_pinned is_quantized is_same_size "
        "is_set_to new"
    ),
    "tensor.blocks.BlocksMethods": (
        "diagonal_scatter nonzero_static split_with_sizes sum_to_size unsafe_chunk unsafe_split "
        "unsafe_split_with_sizes"
    ),
    "tensor.complex_numbers.ComplexMethods": (
        "angle chalf conj_physical conj_physical_ is_conj is_neg resolve_conj resolve_neg"
    ),
    "tensor.combining.CombiningMethods": (
        "index_reduce index_reduce_ scatter scatter_ scatter_reduce scatter_reduce_"
    ),
    "tensor.distinct.DistinctMethods": "isin unique unique_consecutive",
    "tensor.element_calls.ElementCallMethods": "apply_ map2_ map_",
    "tensor.exchange.ExchangeMethods": (
        "__array_namespace__ __dlpack__ __dlpack_device__ to_device"
    ),
    "tensor.filling.FillingMethods": (
        "bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_"
    ),
    "tensor.float_bits.FloatBitsMethods": "frexp nextafter nextafter_",
    "tensor.memory.MemoryMethods": "data_ptr storage untyped_storage",
    "tensor.points.PointsMethods": "renorm renorm_",
    "tensor.rare_creation.RareCreationMethods": "narrow_copy new_empty_strided",
    "tensor.sampling.SamplingMethods": "bernoulli multinomial",
    "tensor.sharing.SharingMethods": "is_shared share_memory_",
    "tensor.statistics.StatisticsMethods": (
        "bincount corrcoef cov histc histogram mode nanquantile quantile"
    ),
    "tensor.storage.StorageMethods": "as_strided as_strided_ as_strided_scatter resize_ resize_as_ set_",
    "viz.showing.ShownMethods": "_repr_html_",
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
        findable(method, self.name)
        return method.__get__(instance, owner)


if TYPE_CHECKING:
    from tabgrad.fft.short_time import ShortTimeMethods
    from tabgrad.linalg.rooted import MatrixMethods
    from tabgrad.nn.functional.rooted import RootedMethods
    from tabgrad.sparse.rooted import SparseMethods
    from tabgrad.special.rooted import SpecialMethods
    from tabgrad.tensor.asking import AskingMethods
    from tabgrad.tensor.blocks import BlocksMethods
    from tabgrad.tensor.combining import CombiningMethods
    from tabgrad.tensor.complex_numbers import ComplexMethods
    from tabgrad.tensor.distinct import DistinctMethods
    from tabgrad.tensor.element_calls import ElementCallMethods
    from tabgrad.tensor.exchange import ExchangeMethods
    from tabgrad.tensor.filling import FillingMethods
    from tabgrad.tensor.float_bits import FloatBitsMethods
    from tabgrad.tensor.memory import MemoryMethods
    from tabgrad.tensor.points import PointsMethods
    from tabgrad.tensor.rare_creation import RareCreationMethods
    from tabgrad.tensor.sampling import SamplingMethods
    from tabgrad.tensor.sharing import SharingMethods
    from tabgrad.tensor.statistics import StatisticsMethods
    from tabgrad.tensor.storage import StorageMethods

    class LateMethods(
        AskingMethods, BlocksMethods, CombiningMethods, ComplexMethods, DistinctMethods,
        ElementCallMethods, ExchangeMethods, FillingMethods, FloatBitsMethods, MatrixMethods,
        MemoryMethods, PointsMethods, RareCreationMethods, RootedMethods, SamplingMethods,
        SharingMethods, ShortTimeMethods, SparseMethods, SpecialMethods, StatisticsMethods, StorageMethods,
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
