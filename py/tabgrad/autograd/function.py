"""Functions with derivatives of the user's own; PyTorch's `autograd.function`."""

from tabgrad.transforms.function import (
    Function as Function,
    FunctionCtx as FunctionCtx,
    once_differentiable as once_differentiable,
)
