"""Special functions; PyTorch's `special`."""

from tabgrad.functions.out import with_out as _with_out
from tabgrad.ops import elementwise as _elementwise, rounding as _rounding, special as _special
from tabgrad.ops.composite import activations as _activations, rows as _rows, special as _composite
from tabgrad.ops.composite.rows import log_softmax as log_softmax, softmax as softmax

digamma = _with_out(_special.digamma, module=__name__)
entr = _with_out(_special.entr, module=__name__)
erf = _with_out(_special.erf, module=__name__)
erfc = _with_out(_special.erfc, module=__name__)
erfinv = _with_out(_special.erfinv, module=__name__)
exp2 = _with_out(_elementwise.exp2, module=__name__)
expit = _with_out(_special.sigmoid, module=__name__)
expm1 = _with_out(_elementwise.expm1, module=__name__)
gammaln = _with_out(_special.lgamma, module=__name__)
i0 = _with_out(_composite.i0, module=__name__)
i0e = _with_out(_composite.i0e, module=__name__)
i1 = _with_out(_composite.i1, module=__name__)
i1e = _with_out(_composite.i1e, module=__name__)
log1p = _with_out(_elementwise.log1p, module=__name__)
log_ndtr = _with_out(_composite.log_ndtr, module=__name__)
logit = _with_out(_activations.logit, module=__name__)
logsumexp = _with_out(_rows.logsumexp, module=__name__)
multigammaln = _with_out(_composite.multigammaln, module=__name__)
ndtr = _with_out(_composite.ndtr, module=__name__)
polygamma = _with_out(_special.polygamma, module=__name__)
psi = _with_out(_special.digamma, module=__name__)
round = _with_out(_rounding.round_, module=__name__)
sinc = _with_out(_special.sinc, module=__name__)
xlog1py = _with_out(_special.xlog1py, module=__name__)
xlogy = _with_out(_special.xlogy, module=__name__)
zeta = _with_out(_composite.zeta, module=__name__)

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "i0", "i0e", "i1", "i1e",
    "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "polygamma", "psi",
    "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip
