"""Compositions of ops that `cpu` computes by one function of arrays, where nothing is to be recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core.op import Op
from tabgrad.core.spec import NO_PARAMS, Spec, intern_params
from tabgrad.core.trace import formed

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class Undone(Exception):
    """The function of a form leaves these operands to the ops."""


class Form(Op):
    """A composition of ops that `cpu` computes by one function of arrays, where nothing is to be recorded.

    `compute` gives its result, of the spec of the operand number `like`, or None where the ops must do it: also
    where the function raises Undone. It has no derivative and no kernel, and no program can name it.
    """

    family = "form"

    def __init__(self, fn: Callable[..., Any], like: int) -> None:
        self.fn, self.name, self.like = fn, fn.__name__.lower(), like
        self.specs, self.runs = {}, {}

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Take the spec of one operand."""
        return specs[self.like]

    def compute(self, *args: Tensor, **params: Any) -> Any:
        """Return the result for these tensors, or None."""
        try:
            return formed(self, args, intern_params(params) if params else NO_PARAMS)
        except Undone:
            return None


def form(like: int = 0) -> Callable[[Callable[..., Any]], Form]:
    """Declare a form; see Form."""
    return lambda fn: Form(fn, like)
