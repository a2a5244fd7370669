"""What type checkers see of functions with derivatives of their own, and of transforms."""

from __future__ import annotations

from typing import Any, assert_type

import tabgrad as tg
from tabgrad import Tensor


class Square(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * x * 2


def loss(x: Tensor) -> Tensor:
    y: Tensor = Square.apply(x)
    return y.sum()


@tg.no_grad()
def evaluate(x: Tensor) -> Tensor:
    return loss(x)


x = tg.ones(3, requires_grad=True)
assert_type(loss(x), Tensor)
assert_type(evaluate(x), Tensor)
(grad,) = tg.autograd.grad(loss(x), x)
slope: Tensor = tg.func.grad(loss)(x)
rows: Tensor = tg.vmap(loss)(tg.ones(2, 3))
assert_type(x.grad_fn is None, bool)
