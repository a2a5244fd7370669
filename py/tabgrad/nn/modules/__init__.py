"""PyTorch's place for functions that concern all modules: `nn.modules.module`."""

from tabgrad.nn.module import Module as Module
from tabgrad.nn.modules import module as module
