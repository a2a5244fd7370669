"""tabgrad: PyTorch's API with every derivative, on the GPU of a browser tab and natively.

Every public name is listed here, by topic. `import tabgrad` loads neither NumPy nor a host.
"""

# ruff: noqa: I001 (by topic, and what is written with the names comes last)

import typing as _typing
from importlib import import_module as _import_module

# first: the function `tensor` then takes the place of the submodule's name
from tabgrad.tensor import Tensor as Tensor

from tabgrad.core.dtype import (
    DType as DType, bfloat16 as bfloat16, bool_ as _bool, complex64 as complex64,
    complex128 as complex128, float16 as float16, float32 as float32, float64 as float64,
    get_default_dtype as get_default_dtype, int8 as int8, int16 as int16, int32 as int32,
    int64 as int64, set_default_dtype as set_default_dtype, uint8 as uint8, uint16 as uint16,
    uint32 as uint32, uint64 as uint64,
)  # fmt: skip
from tabgrad.core.errors import (
    CaptureError as CaptureError, DeadlineError as DeadlineError, DeviceError as DeviceError,
    DeviceLostError as DeviceLostError, DTypeError as DTypeError,
    EscapedTensorError as EscapedTensorError, ExportError as ExportError,
    FileFormatError as FileFormatError, GradientError as GradientError,
    HostError as HostError, KernelError as KernelError,
    OutOfMemoryError as OutOfMemoryError, RegistryError as RegistryError,
    ShapeError as ShapeError, TabgradError as TabgradError,
    TransformError as TransformError, WouldBlockError as WouldBlockError,
)  # fmt: skip
from tabgrad.functions.arithmetic import (
    conj as conj, positive as positive, relu as relu, rsub as rsub,
)  # fmt: skip
from tabgrad.functions.comparison import (
    allclose as allclose, equal as equal, isclose as isclose, isfinite as isfinite, isinf as isinf,
    isnan as isnan, isreal as isreal, masked_fill as masked_fill,
)  # fmt: skip
from tabgrad.functions.conversion import (
    BoolTensor as BoolTensor, ByteTensor as ByteTensor, DoubleTensor as DoubleTensor,
    FloatTensor as FloatTensor, HalfTensor as HalfTensor, IntTensor as IntTensor,
    LongTensor as LongTensor, ShortTensor as ShortTensor, can_cast as can_cast,
    is_complex as is_complex, is_floating_point as is_floating_point, is_inference as is_inference,
    is_nonzero as is_nonzero, is_signed as is_signed, is_tensor as is_tensor, numel as numel,
    promote_types as promote_types, result_type as result_type,
)  # fmt: skip
from tabgrad.functions.creation import (
    as_tensor as as_tensor, asarray as asarray, empty_like as empty_like, from_numpy as from_numpy,
    frombuffer as frombuffer, full_like as full_like, ones_like as ones_like, tensor as tensor,
    zeros_like as zeros_like,
)  # fmt: skip
from tabgrad.functions.diagonals import (
    diag_embed as diag_embed, diagflat as diagflat, diagonal as diagonal, trace as trace,
)  # fmt: skip
from tabgrad.functions.distinct import (
    unique as unique, unique_consecutive as unique_consecutive,
)  # fmt: skip
from tabgrad.functions.einsum import (
    einsum as einsum,
)  # fmt: skip
from tabgrad.functions.generator import (
    Generator as Generator, default_generator as default_generator, fork_rng as fork_rng,
    get_rng_state as get_rng_state, initial_seed as initial_seed, manual_seed as manual_seed,
    seed as seed, set_rng_state as set_rng_state,
)  # fmt: skip
from tabgrad.functions.joining import (
    chunk as chunk, dsplit as dsplit, hsplit as hsplit, narrow as narrow,
    repeat_interleave as repeat_interleave, select as select, split as split,
    tensor_split as tensor_split, unbind as unbind, vsplit as vsplit,
)  # fmt: skip
from tabgrad.functions.layout import (
    channels_last as channels_last, channels_last_3d as channels_last_3d,
    contiguous_format as contiguous_format, memory_format as memory_format,
    preserve_format as preserve_format,
)  # fmt: skip
from tabgrad.functions.limits import (
    finfo as finfo, iinfo as iinfo,
)  # fmt: skip
from tabgrad.functions.linear import (
    cartesian_prod as cartesian_prod,
)  # fmt: skip
from tabgrad.functions.nonzero import (
    argwhere as argwhere,
)  # fmt: skip
from tabgrad.functions.ranges import (
    meshgrid as meshgrid, tril_indices as tril_indices, triu_indices as triu_indices,
    vander as vander,
)  # fmt: skip
from tabgrad.functions.outs import (
    abs as abs, absolute as absolute, acos as acos, acosh as acosh, add as add, addbmm as addbmm,
    addcdiv as addcdiv, addcmul as addcmul, addmm as addmm, addmv as addmv, addr as addr,
    all as all, amax as amax, amin as amin, aminmax as aminmax, any as any, arange as arange,
    arccos as arccos, arccosh as arccosh, arcsin as arcsin, arcsinh as arcsinh, arctan as arctan,
    arctan2 as arctan2, arctanh as arctanh, argmax as argmax, argmin as argmin, argsort as argsort,
    asin as asin, asinh as asinh, atan as atan, atan2 as atan2, atanh as atanh, baddbmm as baddbmm,
    bernoulli as bernoulli, bitwise_and as bitwise_and, bitwise_left_shift as bitwise_left_shift,
    bitwise_not as bitwise_not, bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift, bitwise_xor as bitwise_xor, bmm as bmm,
    bucketize as bucketize, cat as cat, ceil as ceil, chain_matmul as chain_matmul, clamp as clamp,
    clamp_max as clamp_max, clamp_min as clamp_min, clip as clip, column_stack as column_stack,
    concat as concat, concatenate as concatenate, copysign as copysign, cos as cos, cosh as cosh,
    cross as cross, cummax as cummax, cummin as cummin, cumprod as cumprod, cumsum as cumsum,
    deg2rad as deg2rad, diag as diag, diff as diff, digamma as digamma, div as div,
    divide as divide, dot as dot, dstack as dstack, empty as empty, eq as eq, erf as erf,
    erfc as erfc, erfinv as erfinv, exp as exp, exp2 as exp2, expm1 as expm1, eye as eye,
    fix as fix, float_power as float_power, floor as floor, floor_divide as floor_divide,
    fmax as fmax, fmin as fmin, fmod as fmod, frac as frac, full as full, gather as gather,
    ge as ge, ger as ger, greater as greater, greater_equal as greater_equal, gt as gt,
    heaviside as heaviside, histc as histc, histogram as histogram, hstack as hstack,
    hypot as hypot, index_add as index_add, index_copy as index_copy, index_select as index_select,
    inner as inner, isin as isin, isneginf as isneginf, isposinf as isposinf, kron as kron,
    kthvalue as kthvalue, ldexp as ldexp, le as le, lerp as lerp, less as less,
    less_equal as less_equal, lgamma as lgamma, linspace as linspace, log as log, log10 as log10,
    log1p as log1p, log2 as log2, log_softmax as log_softmax, logaddexp as logaddexp,
    logaddexp2 as logaddexp2, logcumsumexp as logcumsumexp, logical_and as logical_and,
    logical_not as logical_not, logical_or as logical_or, logical_xor as logical_xor,
    logit as logit, logspace as logspace, logsumexp as logsumexp, lt as lt,
    masked_select as masked_select, matmul as matmul, max as max, maximum as maximum, mean as mean,
    median as median, min as min, minimum as minimum, mm as mm, mode as mode, msort as msort,
    mul as mul, multinomial as multinomial, multiply as multiply, mv as mv,
    nan_to_num as nan_to_num, nanmean as nanmean, nanmedian as nanmedian,
    nanquantile as nanquantile, nansum as nansum, ne as ne, neg as neg, negative as negative,
    nonzero as nonzero, norm as norm, normal as normal, not_equal as not_equal, ones as ones,
    outer as outer, pow as pow, prod as prod, quantile as quantile, rad2deg as rad2deg,
    rand as rand, randint as randint, randn as randn, randperm as randperm,
    reciprocal as reciprocal, remainder as remainder, round as round, row_stack as row_stack,
    rsqrt as rsqrt, scatter as scatter, scatter_add as scatter_add,
    scatter_reduce as scatter_reduce, searchsorted as searchsorted, sgn as sgn, sigmoid as sigmoid,
    sign as sign, signbit as signbit, sin as sin, sinc as sinc, sinh as sinh, softmax as softmax,
    sort as sort, sqrt as sqrt, square as square, stack as stack, std as std, sub as sub,
    subtract as subtract, sum as sum, take as take, take_along_dim as take_along_dim, tan as tan,
    tanh as tanh, tensordot as tensordot, topk as topk, tril as tril, triu as triu,
    true_divide as true_divide, trunc as trunc, var as var, vdot as vdot, vstack as vstack,
    where as where, xlogy as xlogy, zeros as zeros,
)  # fmt: skip
from tabgrad.functions.reductions import (
    count_nonzero as count_nonzero, dist as dist, std_mean as std_mean, var_mean as var_mean,
)  # fmt: skip
from tabgrad.functions.sampling import (
    poisson as poisson, rand_like as rand_like, randint_like as randint_like,
    randn_like as randn_like,
)  # fmt: skip
from tabgrad.functions.selecting import (
    index_fill as index_fill, index_put as index_put, masked_scatter as masked_scatter, put as put,
    select_scatter as select_scatter, slice_scatter as slice_scatter,
)  # fmt: skip
from tabgrad.functions.settings import (
    are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled,
    get_deterministic_debug_mode as get_deterministic_debug_mode,
    get_float32_matmul_precision as get_float32_matmul_precision,
    is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled,
    set_deterministic_debug_mode as set_deterministic_debug_mode,
    set_float32_matmul_precision as set_float32_matmul_precision,
    use_deterministic_algorithms as use_deterministic_algorithms,
)  # fmt: skip
from tabgrad.functions.shaping import (
    adjoint as adjoint, atleast_1d as atleast_1d, atleast_2d as atleast_2d,
    atleast_3d as atleast_3d, broadcast_shapes as broadcast_shapes,
    broadcast_tensors as broadcast_tensors, broadcast_to as broadcast_to, clone as clone,
    flatten as flatten, flip as flip, fliplr as fliplr, flipud as flipud, movedim as movedim,
    moveaxis as moveaxis, permute as permute, ravel as ravel, reshape as reshape, roll as roll,
    rot90 as rot90, squeeze as squeeze, swapaxes as swapaxes, swapdims as swapdims, t as t,
    tile as tile, transpose as transpose, unflatten as unflatten, unsqueeze as unsqueeze,
)  # fmt: skip
from tabgrad.functions.size import (
    Size as Size,
)  # fmt: skip
from tabgrad.functions.statistics import (
    bincount as bincount, corrcoef as corrcoef, cov as cov,
)  # fmt: skip
from tabgrad.functions.storage import (
    as_strided as as_strided, as_strided_ as as_strided_, as_strided_scatter as as_strided_scatter,
    resize_as_ as resize_as_,
)  # fmt: skip
from tabgrad.hosts.devices import (
    Device as Device, device as device, get_default_device as get_default_device,
    set_default_device as set_default_device,
)  # fmt: skip
from tabgrad.printing import (
    get_printoptions as get_printoptions, printoptions as printoptions,
    set_printoptions as set_printoptions,
)  # fmt: skip
from tabgrad.autograd.grad_mode import (
    enable_grad as enable_grad, inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled, is_inference_mode_enabled as is_inference_mode_enabled,
    no_grad as no_grad, set_grad_enabled as set_grad_enabled,
)  # fmt: skip
from tabgrad.compiler import (
    compile as compile,
)  # fmt: skip
from tabgrad.transforms.vmap import (
    vmap as vmap,
)  # fmt: skip

from math import e as e, inf as inf, nan as nan, pi as pi

newaxis = None

# PyTorch's other names of dtypes
dtype = DType
bool = _bool
cdouble, cfloat = complex128, complex64
double, float, half = float64, float32, float16
long, int, short = int64, int32, int16

__version__ = "0.1.0"

if _typing.TYPE_CHECKING:
    from tabgrad import (
        accelerator as accelerator, amp as amp, autograd as autograd, backends as backends, cuda as cuda,
        extend as extend, func as func, linalg as linalg, nn as nn, optim as optim,
        profiler as profiler, random as random, special as special, testing as testing, utils as utils,
    )  # fmt: skip
    from tabgrad.amp.autocast_mode import (
        autocast as autocast, get_autocast_dtype as get_autocast_dtype,
        is_autocast_enabled as is_autocast_enabled, set_autocast_dtype as set_autocast_dtype,
        set_autocast_enabled as set_autocast_enabled,
    )  # fmt: skip
    from tabgrad.exporting import export as export
    from tabgrad.serialization import load as load, save as save, save_async as save_async
else:
    _ON_DEMAND = (
        "accelerator", "amp", "autograd", "backends", "cuda", "extend", "func", "linalg", "nn", "optim",
        "profiler", "random", "special", "testing", "utils",
    )  # fmt: skip
    _OF_AMP = (
        "autocast", "get_autocast_dtype", "is_autocast_enabled", "set_autocast_dtype", "set_autocast_enabled",
    )  # fmt: skip

    def __getattr__(name: str) -> object:
        """Import a subpackage when it is first asked for: a page that needs no `nn` does not wait for it."""
        if name in _ON_DEMAND:
            return _import_module(f"tabgrad.{name}")
        if name in _OF_AMP:
            return getattr(_import_module("tabgrad.amp"), name)
        if name == "export":
            return _import_module("tabgrad.exporting").export
        if name in ("load", "save", "save_async"):
            return getattr(_import_module("tabgrad.serialization"), name)
        raise AttributeError(f"module 'tabgrad' has no attribute {name!r}")
