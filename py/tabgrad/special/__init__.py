"""Special functions; PyTorch's `special`."""

from tabgrad.ops.composite.activations import logit as logit
from tabgrad.ops.composite.rows import (
    log_softmax as log_softmax,
    logsumexp as logsumexp,
    softmax as softmax,
)  # fmt: skip
from tabgrad.ops.composite.special import (
    i0 as i0,
    i0e as i0e,
    i1 as i1,
    i1e as i1e,
    log_ndtr as log_ndtr,
    multigammaln as multigammaln,
    ndtr as ndtr,
    zeta as zeta,
)  # fmt: skip
from tabgrad.ops.elementwise import exp2 as exp2, expm1 as expm1, log1p as log1p
from tabgrad.ops.rounding import round_ as round
from tabgrad.ops.special import (
    digamma as digamma,
    digamma as psi,
    entr as entr,
    erf as erf,
    erfc as erfc,
    erfinv as erfinv,
    lgamma as gammaln,
    polygamma as polygamma,
    sigmoid as expit,
    sinc as sinc,
    xlog1py as xlog1py,
    xlogy as xlogy,
)  # fmt: skip

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "i0", "i0e", "i1", "i1e",
    "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "polygamma", "psi",
    "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip
