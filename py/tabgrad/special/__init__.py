"""Special functions; PyTorch's `special`."""

import typing as _typing

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.special.bessel import *  # noqa: F403 (they say which are public)
from tabgrad.special.functions import *  # noqa: F403 (they say which are public)
from tabgrad.special.gamma import *  # noqa: F403
from tabgrad.special.normal import *  # noqa: F403
from tabgrad.special.polynomials import *  # noqa: F403
from tabgrad.tensor.arithmetic import xlogy as xlogy
from tabgrad.tensor.elementary import (
    digamma as digamma,
    erf as erf,
    erfc as erfc,
    erfinv as erfinv,
    exp2 as exp2,
    expm1 as expm1,
    lgamma as _lgamma,
    log1p as log1p,
    logit as logit,
    round as round,
    sigmoid as _sigmoid,
    sinc as sinc,
)
from tabgrad.tensor.public import publish as _publish
from tabgrad.tensor.softmax import logsumexp as logsumexp

psi, gammaln, expit = digamma, _lgamma, _sigmoid

_publish(globals())

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
