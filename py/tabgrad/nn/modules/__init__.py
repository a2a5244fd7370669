"""PyTorch's place for layers: `nn.modules.Linear` is `nn.Linear`, `nn.modules.conv` has convolutions."""

import sys as _sys
import typing as _typing

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.nn.module import Module as Module
from tabgrad.nn.modules import module as module, utils as utils

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return the layer of this name from `nn`, or the module of layers."""
        found = vars(_sys.modules["tabgrad.nn"]).get(name)
        if isinstance(found, type):
            return found
        return _missing_from(__name__)(name)
