"""Optimizers, with PyTorch's names, arguments and state dicts."""

import typing as _typing
from importlib import import_module as _import_module

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.optim import lr_scheduler as lr_scheduler
from tabgrad.optim.adafactor import Adafactor as Adafactor
from tabgrad.optim.adagrad import Adadelta as Adadelta, Adagrad as Adagrad, RMSprop as RMSprop
from tabgrad.optim.adam import (
    Adam as Adam,
    Adamax as Adamax,
    AdamW as AdamW,
    NAdam as NAdam,
    RAdam as RAdam,
)  # fmt: skip
from tabgrad.optim.lbfgs import LBFGS as LBFGS
from tabgrad.optim.muon import Muon as Muon
from tabgrad.optim.optimizer import Optimizer as Optimizer
from tabgrad.optim.rprop import ASGD as ASGD, Rprop as Rprop
from tabgrad.optim.sgd import SGD as SGD
from tabgrad.optim.sparse_adam import SparseAdam as SparseAdam

if _typing.TYPE_CHECKING:
    from tabgrad.optim import swa_utils as swa_utils
else:
    _missing = _missing_from(__name__)

    def __getattr__(name: str) -> object:
        """Import a module that few programs need when it is first asked for."""
        if name == "swa_utils":
            return _import_module(f"{__name__}.{name}")
        return _missing(name)
