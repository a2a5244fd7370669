"""Which functions are methods of Tensor."""

from __future__ import annotations

from tabgrad.functions import (
    arithmetic,
    comparison,
    conversion,
    creation,
    diagonals,
    distinct,
    joining,
    linear,
    nonzero,
    ordering,
    ranges,
    reading,
    reductions,
    sampling,
    selecting,
    shaping,
    statistics,
    storage,
    ternary,
)  # fmt: skip


class Methods:
    """The methods of Tensor that are functions of `tabgrad` too, or at home in one of their topics."""

    __slots__ = ()

    abs = arithmetic.abs
    absolute = arithmetic.absolute
    acos = arithmetic.acos
    arccos = arithmetic.arccos
    acosh = arithmetic.acosh
    arccosh = arithmetic.arccosh
    add = arithmetic.add
    addcdiv = ternary.addcdiv
    addcmul = ternary.addcmul
    asin = arithmetic.asin
    arcsin = arithmetic.arcsin
    asinh = arithmetic.asinh
    arcsinh = arithmetic.arcsinh
    atan = arithmetic.atan
    arctan = arithmetic.arctan
    atan2 = arithmetic.atan2
    arctan2 = arithmetic.arctan2
    atanh = arithmetic.atanh
    arctanh = arithmetic.arctanh
    bitwise_and = arithmetic.bitwise_and
    bitwise_left_shift = arithmetic.bitwise_left_shift
    bitwise_not = arithmetic.bitwise_not
    bitwise_or = arithmetic.bitwise_or
    bitwise_right_shift = arithmetic.bitwise_right_shift
    bitwise_xor = arithmetic.bitwise_xor
    ceil = arithmetic.ceil
    clamp = ternary.clamp
    clamp_max = ternary.clamp_max
    clamp_min = ternary.clamp_min
    clip = ternary.clip
    conj = arithmetic.conj
    copysign = arithmetic.copysign
    cos = arithmetic.cos
    cosh = arithmetic.cosh
    deg2rad = arithmetic.deg2rad
    digamma = arithmetic.digamma
    div = arithmetic.div
    divide = arithmetic.divide
    erf = arithmetic.erf
    erfc = arithmetic.erfc
    erfinv = arithmetic.erfinv
    exp = arithmetic.exp
    exp2 = arithmetic.exp2
    expm1 = arithmetic.expm1
    fix = arithmetic.fix
    float_power = arithmetic.float_power
    floor = arithmetic.floor
    floor_divide = arithmetic.floor_divide
    fmax = arithmetic.fmax
    fmin = arithmetic.fmin
    fmod = arithmetic.fmod
    frac = arithmetic.frac
    heaviside = arithmetic.heaviside
    hypot = arithmetic.hypot
    ldexp = arithmetic.ldexp
    lerp = ternary.lerp
    lgamma = arithmetic.lgamma
    log = arithmetic.log
    log10 = arithmetic.log10
    log1p = arithmetic.log1p
    log2 = arithmetic.log2
    logaddexp = arithmetic.logaddexp
    logaddexp2 = arithmetic.logaddexp2
    logit = arithmetic.logit
    maximum = arithmetic.maximum
    minimum = arithmetic.minimum
    mul = arithmetic.mul
    multiply = arithmetic.multiply
    nan_to_num = arithmetic.nan_to_num
    neg = arithmetic.neg
    negative = arithmetic.negative
    positive = arithmetic.positive
    pow = arithmetic.pow
    rad2deg = arithmetic.rad2deg
    reciprocal = arithmetic.reciprocal
    relu = arithmetic.relu
    remainder = arithmetic.remainder
    round = arithmetic.round
    rsqrt = arithmetic.rsqrt
    rsub = arithmetic.rsub
    sgn = arithmetic.sgn
    sigmoid = arithmetic.sigmoid
    sign = arithmetic.sign
    signbit = arithmetic.signbit
    sin = arithmetic.sin
    sinc = arithmetic.sinc
    sinh = arithmetic.sinh
    sqrt = arithmetic.sqrt
    square = arithmetic.square
    sub = arithmetic.sub
    subtract = arithmetic.subtract
    tan = arithmetic.tan
    tanh = arithmetic.tanh
    true_divide = arithmetic.true_divide
    trunc = arithmetic.trunc
    xlogy = arithmetic.xlogy

    allclose = comparison.allclose
    eq = comparison.eq
    equal = comparison.equal
    ge = comparison.ge
    greater = comparison.greater
    greater_equal = comparison.greater_equal
    gt = comparison.gt
    isclose = comparison.isclose
    isfinite = comparison.isfinite
    isin = comparison.isin
    isinf = comparison.isinf
    isnan = comparison.isnan
    isneginf = comparison.isneginf
    isposinf = comparison.isposinf
    isreal = comparison.isreal
    le = comparison.le
    less = comparison.less
    less_equal = comparison.less_equal
    logical_and = comparison.logical_and
    logical_not = comparison.logical_not
    logical_or = comparison.logical_or
    logical_xor = comparison.logical_xor
    lt = comparison.lt
    masked_fill = comparison.masked_fill
    ne = comparison.ne
    not_equal = comparison.not_equal
    where = comparison.where_method

    bfloat16 = conversion.bfloat16
    bool = conversion.bool_
    byte = conversion.byte
    cdouble = conversion.cdouble
    cfloat = conversion.cfloat
    char = conversion.char
    cpu = conversion.cpu
    cuda = conversion.cuda
    double = conversion.double
    float = conversion.float_
    half = conversion.half
    int = conversion.int_
    is_complex = conversion.is_complex
    is_inference = conversion.is_inference
    is_floating_point = conversion.is_floating_point
    is_nonzero = conversion.is_nonzero
    is_signed = conversion.is_signed
    long = conversion.long
    pin_memory = conversion.pin_memory
    short = conversion.short
    to = conversion.to
    type = conversion.type_
    type_as = conversion.type_as

    new_empty = creation.new_empty
    new_full = creation.new_full
    new_ones = creation.new_ones
    new_tensor = creation.new_tensor
    new_zeros = creation.new_zeros

    diag = diagonals.diag
    diag_embed = diagonals.diag_embed
    diagflat = diagonals.diagflat
    diagonal = diagonals.diagonal
    trace = diagonals.trace

    chunk = joining.chunk
    dsplit = joining.dsplit
    hsplit = joining.hsplit
    narrow = joining.narrow
    repeat_interleave = joining.repeat_interleave
    select = joining.select
    split = joining.split
    tensor_split = joining.tensor_split
    unbind = joining.unbind
    vsplit = joining.vsplit

    addbmm = linear.addbmm
    addmm = linear.addmm
    addmv = linear.addmv
    addr = linear.addr
    baddbmm = linear.baddbmm
    bmm = linear.bmm
    cross = linear.cross
    dot = linear.dot
    ger = linear.ger
    inner = linear.inner
    kron = linear.kron
    matmul = linear.matmul
    mm = linear.mm
    mv = linear.mv
    outer = linear.outer
    vdot = linear.vdot

    argwhere = nonzero.argwhere
    masked_select = nonzero.masked_select
    nonzero = nonzero.nonzero

    argsort = ordering.argsort
    bincount = statistics.bincount
    corrcoef = statistics.corrcoef
    cov = statistics.cov
    cummax = ordering.cummax
    cummin = ordering.cummin
    cumprod = ordering.cumprod
    cumsum = ordering.cumsum
    diff = ordering.diff
    histc = statistics.histc
    histogram = statistics.histogram
    kthvalue = ordering.kthvalue
    logcumsumexp = ordering.logcumsumexp
    median = ordering.median
    mode = statistics.mode
    msort = ordering.msort
    nanmedian = ordering.nanmedian
    nanquantile = statistics.nanquantile
    quantile = statistics.quantile
    sort = ordering.sort
    topk = ordering.topk
    unique = distinct.unique
    unique_consecutive = distinct.unique_consecutive

    tril = ranges.tril
    triu = ranges.triu

    item = reading.item
    item_async = reading.item_async
    numpy = reading.numpy
    numpy_async = reading.numpy_async
    tolist = reading.tolist
    tolist_async = reading.tolist_async

    all = reductions.all
    amax = reductions.amax
    amin = reductions.amin
    aminmax = reductions.aminmax
    any = reductions.any
    argmax = reductions.argmax
    argmin = reductions.argmin
    count_nonzero = reductions.count_nonzero
    dist = reductions.dist
    log_softmax = reductions.log_softmax
    logsumexp = reductions.logsumexp
    max = reductions.max
    mean = reductions.mean
    min = reductions.min
    nanmean = reductions.nanmean
    nansum = reductions.nansum
    norm = reductions.norm
    prod = reductions.prod
    softmax = reductions.softmax
    std = reductions.std
    sum = reductions.sum
    var = reductions.var

    bernoulli = sampling.bernoulli
    bernoulli_ = sampling.bernoulli_
    cauchy_ = sampling.cauchy_
    exponential_ = sampling.exponential_
    geometric_ = sampling.geometric_
    log_normal_ = sampling.log_normal_
    multinomial = sampling.multinomial
    normal_ = sampling.normal_
    random_ = sampling.random_
    uniform_ = sampling.uniform_

    gather = selecting.gather
    index_add = selecting.index_add
    index_copy = selecting.index_copy
    index_fill = selecting.index_fill
    index_put = selecting.index_put
    index_select = selecting.index_select
    masked_scatter = selecting.masked_scatter
    put = selecting.put
    scatter = selecting.scatter
    scatter_add = selecting.scatter_add
    scatter_reduce = selecting.scatter_reduce
    select_scatter = selecting.select_scatter
    slice_scatter = selecting.slice_scatter
    take = selecting.take
    take_along_dim = selecting.take_along_dim

    adjoint = shaping.adjoint
    broadcast_to = shaping.broadcast_to
    clone = shaping.clone
    contiguous = shaping.contiguous
    expand = shaping.expand
    expand_as = shaping.expand_as
    flatten = shaping.flatten
    flip = shaping.flip
    fliplr = shaping.fliplr
    flipud = shaping.flipud
    is_contiguous = shaping.is_contiguous
    movedim = shaping.movedim
    moveaxis = shaping.moveaxis
    permute = shaping.permute
    ravel = shaping.ravel
    repeat = shaping.repeat
    reshape = shaping.reshape
    reshape_as = shaping.reshape_as
    roll = shaping.roll
    rot90 = shaping.rot90
    squeeze = shaping.squeeze
    storage_offset = shaping.storage_offset
    stride = shaping.stride
    swapaxes = shaping.swapaxes
    swapdims = shaping.swapdims
    t = shaping.t
    tile = shaping.tile
    transpose = shaping.transpose
    unflatten = shaping.unflatten
    unfold = shaping.unfold
    unsqueeze = shaping.unsqueeze
    as_strided = storage.as_strided
    as_strided_ = storage.as_strided_
    as_strided_scatter = storage.as_strided_scatter
    resize_ = storage.resize_
    resize_as_ = storage.resize_as_
    set_ = storage.set_
    view = shaping.view_
    view_as = shaping.view_as
