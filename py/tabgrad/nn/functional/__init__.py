"""torch.nn.functional's functions, with its signatures; `__all__` of each topic says which are public."""

# ruff: noqa: F403

import typing as _typing

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.nn.functional.activation import *
from tabgrad.nn.functional.adaptive import *
from tabgrad.nn.functional.attention import *
from tabgrad.nn.functional.classifying import *
from tabgrad.nn.functional.convolution import *
from tabgrad.nn.functional.ctc import *
from tabgrad.nn.functional.distance import *
from tabgrad.nn.functional.dropout import *
from tabgrad.nn.functional.embedding import *
from tabgrad.nn.functional.fractional import *
from tabgrad.nn.functional.linear import *
from tabgrad.nn.functional.loss import *
from tabgrad.nn.functional.margin import *
from tabgrad.nn.functional.multi_head import *
from tabgrad.nn.functional.normalization import *
from tabgrad.nn.functional.padding import *
from tabgrad.nn.functional.pooling import *
from tabgrad.nn.functional.shuffling import *
from tabgrad.nn.functional.vision import *
from tabgrad.nn.functional.windows import *
from tabgrad.tensor.elementary import sigmoid as sigmoid, tanh as tanh

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
