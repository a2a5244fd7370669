"""Functions with derivatives of the user's own; PyTorch's `autograd.function`."""

from tabgrad.transforms.contexts import FunctionCtx as FunctionCtx
from tabgrad.transforms.function import (
    Function as Function,
    once_differentiable as once_differentiable,
)


class InplaceFunction(Function):
    """A Function whose instances remember whether they are to work in place; PyTorch's old base class."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace
