"""In-place methods: `x.add_(y)` gives `x` the value of add(x, y).

Values never change; a tensor takes a new one, and its views and siblings follow (see aliasing).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, GradientError
from tabgrad.core.locks import WRITING
from tabgrad.core.number import NUMBER, fits, number
from tabgrad.core.trace import MODE, Box
from tabgrad.functions import (
    arithmetic,
    comparison,
    conversion,
    indexing,
    ordering,
    ranges,
    selecting,
    shaping,
    ternary,
)  # fmt: skip
from tabgrad.functions.aliasing import (
    View,
    check_castable,
    check_writable,
    fitting,
    own,
    refreshed,
    write,
)  # fmt: skip
from tabgrad.functions.creation import filled
from tabgrad.transforms.levels import check_written
from tabgrad.transforms.tape import is_leaf

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def in_place(fn: Callable[..., Any], name: str = "") -> Callable[..., Tensor]:
    """Return the method that gives its tensor the value of `fn`, and returns the tensor."""
    name = name or f"{fn.__name__.rstrip('_')}_"

    def method(self: Any, *args: Any, **params: Any) -> Any:
        with WRITING:
            check_writable(self)
            y = fn(self, *args, **params)
            if y.spec is not self.spec:
                check_castable(name, y.spec.dtype, self.spec.dtype)
            return write(self, y if y is not self else own(y), name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{fn.__name__}`: changes the tensor and returns it."
    return method


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Take the values of `src`, broadcast, cast and moved from its device; return self."""
    check_writable(self)
    if not isinstance(src, Box):
        from tabgrad.functions.creation import tensor

        src = tensor(src, device=self.device)
    if src.device is not self.device:
        src = conversion.convert(src, None, self.device, False)
    with WRITING:
        return write(self, own(refreshed(src)))


def fill_(self: Tensor, value: Any) -> Tensor:
    """Take `value`, a number or a 0-d tensor, in every element; return self."""
    check_writable(self)
    s = self.spec
    if isinstance(value, Box):
        if value.spec.shape:
            raise GradientError(
                f"fill_ only supports 0-dimension value tensor but got shape {value.spec.shape}"
            )
        return write(self, own(fitting(self, value, "fill_")), "fill_")
    value = fits("fill_", value if isinstance(value, NUMBER) else number("fill_", value), s.dtype)
    return write(self, filled(s.shape, value, s.dtype, self.device), "fill_")


def zero_(self: Tensor) -> Tensor:
    """Take 0 in every element; return self."""
    return fill_(self, 0)


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Take `fill_value` on the main diagonal; return self."""
    from tabgrad.functions.diagonals import diagonal

    fill_(diagonal(self), fill_value)
    return self


def index_put_(self: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """Write, or add, `values` at the places that a tuple of index tensors names; return self."""
    if not accumulate:
        indexing.setitem(self, tuple(indices), values, "index_put_")
        return self
    check_writable(self)
    return write(
        self, indexing.put_indices(self, indices, values, True, "index_put_"), "index_put_"
    )


def detach_(self: Tensor) -> Tensor:
    """Forget the history: the tensor becomes a leaf; return self. A view can't be."""
    if self.alias.__class__ is View and not self.alias.detached:
        raise GradientError("Can't detach views in-place. Use detach() instead.")
    self.node = None
    self.tracked = False
    return self


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Say whether gradients of this leaf are wanted; return self."""
    self.requires_grad = requires_grad
    return self


def set_data(self: Tensor, new: Tensor) -> None:
    """Share the values of `new` from now on, its shape, dtype and device included; the history stays."""
    if not isinstance(new, Box):
        raise TypeError(f"data: expected a tensor, got {type(new).__name__}")
    given: Any = new
    if self.requires_grad and given.spec.dtype.category < dt.FLOAT:
        raise DTypeError(
            "data set to a tensor that requires gradients must be floating point or complex dtype, got "
            f"{given.spec.dtype!r}"
        )
    source = given.detach()
    if source.owner is not None and source.owner is not self.owner:
        check_written(self, source, "assignment to .data")
    if source.spec is not self.spec and self.node is not None and is_leaf(self):
        self.node = None
    mode = MODE.get()
    if mode.capture is not None:
        mode.capture.note_write(self)
    self.value, self.owner, self.spec, self.device = (
        source.value,
        source.owner,
        source.spec,
        source.device,
    )
    self.alias = source.alias
    self.born = source.born
    self._version = source._version


def _shaped(fn: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    def method(self: Any, *args: Any) -> Any:
        y = fn(self, *args)
        if y is self:
            return self
        if MODE.get().grad and self.tracked and is_leaf(self):
            raise GradientError(
                "a leaf Variable that requires grad is being used in an in-place operation. "
                "Do it under no_grad(), or on a clone()"
            )
        # siblings keep the old shape, so nothing is shared with them from here on
        self.alias = y.alias if self.alias.__class__ is View else None
        self.value, self.spec = y.value, y.spec
        if MODE.get().grad:
            self.tracked, self.node = y.tracked, y.node
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = (
        f"In-place version of `{fn.__name__}`: changes the tensor's shape and returns it."
    )
    return method


squeeze_ = _shaped(shaping.squeeze, "squeeze_")
unsqueeze_ = _shaped(shaping.unsqueeze, "unsqueeze_")
t_ = _shaped(shaping.t, "t_")
transpose_ = _shaped(shaping.transpose, "transpose_")
swapaxes_ = _shaped(shaping.transpose, "swapaxes_")


class InPlaceMethods:
    """The in-place methods of Tensor."""

    __slots__ = ()

    abs_ = in_place(arithmetic.abs, "abs_")
    absolute_ = in_place(arithmetic.absolute, "absolute_")
    acos_ = in_place(arithmetic.acos, "acos_")
    arccos_ = in_place(arithmetic.arccos, "arccos_")
    acosh_ = in_place(arithmetic.acosh, "acosh_")
    arccosh_ = in_place(arithmetic.arccosh, "arccosh_")
    add_ = in_place(arithmetic.add, "add_")
    addcdiv_ = in_place(ternary.addcdiv, "addcdiv_")
    addcmul_ = in_place(ternary.addcmul, "addcmul_")
    asin_ = in_place(arithmetic.asin, "asin_")
    arcsin_ = in_place(arithmetic.arcsin, "arcsin_")
    asinh_ = in_place(arithmetic.asinh, "asinh_")
    arcsinh_ = in_place(arithmetic.arcsinh, "arcsinh_")
    atan_ = in_place(arithmetic.atan, "atan_")
    arctan_ = in_place(arithmetic.arctan, "arctan_")
    atan2_ = in_place(arithmetic.atan2, "atan2_")
    arctan2_ = in_place(arithmetic.arctan2, "arctan2_")
    atanh_ = in_place(arithmetic.atanh, "atanh_")
    arctanh_ = in_place(arithmetic.arctanh, "arctanh_")
    bitwise_and_ = in_place(arithmetic.bitwise_and, "bitwise_and_")
    bitwise_left_shift_ = in_place(arithmetic.bitwise_left_shift, "bitwise_left_shift_")
    bitwise_not_ = in_place(arithmetic.bitwise_not, "bitwise_not_")
    bitwise_or_ = in_place(arithmetic.bitwise_or, "bitwise_or_")
    bitwise_right_shift_ = in_place(arithmetic.bitwise_right_shift, "bitwise_right_shift_")
    bitwise_xor_ = in_place(arithmetic.bitwise_xor, "bitwise_xor_")
    ceil_ = in_place(arithmetic.ceil, "ceil_")
    clamp_ = in_place(ternary.clamp, "clamp_")
    clamp_max_ = in_place(ternary.clamp_max, "clamp_max_")
    clamp_min_ = in_place(ternary.clamp_min, "clamp_min_")
    clip_ = in_place(ternary.clip, "clip_")
    copysign_ = in_place(arithmetic.copysign, "copysign_")
    cos_ = in_place(arithmetic.cos, "cos_")
    cosh_ = in_place(arithmetic.cosh, "cosh_")
    deg2rad_ = in_place(arithmetic.deg2rad, "deg2rad_")
    digamma_ = in_place(arithmetic.digamma, "digamma_")
    div_ = in_place(arithmetic.div, "div_")
    divide_ = in_place(arithmetic.divide, "divide_")
    erf_ = in_place(arithmetic.erf, "erf_")
    erfc_ = in_place(arithmetic.erfc, "erfc_")
    erfinv_ = in_place(arithmetic.erfinv, "erfinv_")
    exp_ = in_place(arithmetic.exp, "exp_")
    exp2_ = in_place(arithmetic.exp2, "exp2_")
    expm1_ = in_place(arithmetic.expm1, "expm1_")
    fix_ = in_place(arithmetic.fix, "fix_")
    float_power_ = in_place(arithmetic.float_power, "float_power_")
    floor_ = in_place(arithmetic.floor, "floor_")
    floor_divide_ = in_place(arithmetic.floor_divide, "floor_divide_")
    fmod_ = in_place(arithmetic.fmod, "fmod_")
    frac_ = in_place(arithmetic.frac, "frac_")
    heaviside_ = in_place(arithmetic.heaviside, "heaviside_")
    hypot_ = in_place(arithmetic.hypot, "hypot_")
    ldexp_ = in_place(arithmetic.ldexp, "ldexp_")
    lerp_ = in_place(ternary.lerp, "lerp_")
    lgamma_ = in_place(arithmetic.lgamma, "lgamma_")
    log_ = in_place(arithmetic.log, "log_")
    log10_ = in_place(arithmetic.log10, "log10_")
    log1p_ = in_place(arithmetic.log1p, "log1p_")
    log2_ = in_place(arithmetic.log2, "log2_")
    logit_ = in_place(arithmetic.logit, "logit_")
    mul_ = in_place(arithmetic.mul, "mul_")
    multiply_ = in_place(arithmetic.multiply, "multiply_")
    nan_to_num_ = in_place(arithmetic.nan_to_num, "nan_to_num_")
    neg_ = in_place(arithmetic.neg, "neg_")
    negative_ = in_place(arithmetic.negative, "negative_")
    pow_ = in_place(arithmetic.pow, "pow_")
    rad2deg_ = in_place(arithmetic.rad2deg, "rad2deg_")
    reciprocal_ = in_place(arithmetic.reciprocal, "reciprocal_")
    relu_ = in_place(arithmetic.relu, "relu_")
    remainder_ = in_place(arithmetic.remainder, "remainder_")
    round_ = in_place(arithmetic.round, "round_")
    rsqrt_ = in_place(arithmetic.rsqrt, "rsqrt_")
    sgn_ = in_place(arithmetic.sgn, "sgn_")
    sigmoid_ = in_place(arithmetic.sigmoid, "sigmoid_")
    sign_ = in_place(arithmetic.sign, "sign_")
    sin_ = in_place(arithmetic.sin, "sin_")
    sinc_ = in_place(arithmetic.sinc, "sinc_")
    sinh_ = in_place(arithmetic.sinh, "sinh_")
    sqrt_ = in_place(arithmetic.sqrt, "sqrt_")
    square_ = in_place(arithmetic.square, "square_")
    sub_ = in_place(arithmetic.sub, "sub_")
    subtract_ = in_place(arithmetic.subtract, "subtract_")
    tan_ = in_place(arithmetic.tan, "tan_")
    tanh_ = in_place(arithmetic.tanh, "tanh_")
    true_divide_ = in_place(arithmetic.true_divide, "true_divide_")
    trunc_ = in_place(arithmetic.trunc, "trunc_")
    xlogy_ = in_place(arithmetic.xlogy, "xlogy_")

    eq_ = in_place(comparison.eq, "eq_")
    ne_ = in_place(comparison.ne, "ne_")
    not_equal_ = in_place(comparison.not_equal, "not_equal_")
    lt_ = in_place(comparison.lt, "lt_")
    less_ = in_place(comparison.less, "less_")
    le_ = in_place(comparison.le, "le_")
    less_equal_ = in_place(comparison.less_equal, "less_equal_")
    gt_ = in_place(comparison.gt, "gt_")
    greater_ = in_place(comparison.greater, "greater_")
    ge_ = in_place(comparison.ge, "ge_")
    greater_equal_ = in_place(comparison.greater_equal, "greater_equal_")
    logical_and_ = in_place(comparison.logical_and, "logical_and_")
    logical_not_ = in_place(comparison.logical_not, "logical_not_")
    logical_or_ = in_place(comparison.logical_or, "logical_or_")
    logical_xor_ = in_place(comparison.logical_xor, "logical_xor_")
    masked_fill_ = in_place(comparison.masked_fill, "masked_fill_")

    cumprod_ = in_place(ordering.cumprod, "cumprod_")
    cumsum_ = in_place(ordering.cumsum, "cumsum_")

    tril_ = in_place(ranges.tril, "tril_")
    triu_ = in_place(ranges.triu, "triu_")

    index_add_ = in_place(selecting.index_add, "index_add_")
    index_copy_ = in_place(selecting.index_copy, "index_copy_")
    index_fill_ = in_place(selecting.index_fill, "index_fill_")
    masked_scatter_ = in_place(selecting.masked_scatter, "masked_scatter_")
    put_ = in_place(selecting.put, "put_")
    scatter_ = in_place(selecting.scatter, "scatter_")
    scatter_add_ = in_place(selecting.scatter_add, "scatter_add_")
    scatter_reduce_ = in_place(selecting.scatter_reduce, "scatter_reduce_")

    copy_ = copy_
    detach_ = detach_
    fill_ = fill_
    fill_diagonal_ = fill_diagonal_
    index_put_ = index_put_
    requires_grad_ = requires_grad_
    squeeze_ = squeeze_
    swapaxes_ = swapaxes_
    t_ = t_
    transpose_ = transpose_
    unsqueeze_ = unsqueeze_
    zero_ = zero_
