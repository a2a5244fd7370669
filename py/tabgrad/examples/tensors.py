"""Tensors and derivatives: the first steps, in the way of PyTorch.

Runs in the page of tabgrad, and natively: python -m tabgrad.examples.tensors
"""

import tabgrad as tg
from tabgrad import func

print("device:", tg.get_default_device())

# Tensors broadcast, and every operation runs on the device.
x = tg.linspace(0, 1, 5)
grid = x[:, None] * x
print(grid)
print("sum", grid.sum().item(), "of", tuple(grid.shape))

# Reverse mode: backward() puts the derivative of a number into .grad.
w = tg.tensor([1.0, -2.0, 0.5], requires_grad=True)
loss = (w**2).sum() + w.prod()
loss.backward()
print("gradient", w.grad)


# The same as functions of functions, to any order, and in one batch.
def wave(t: tg.Tensor) -> tg.Tensor:
    return tg.sin(3 * t) * tg.exp(-t)


slope = func.grad(wave)
bend = func.grad(slope)
at = tg.linspace(0, 2, 5)
print("slope ", func.vmap(slope)(at))
print("bend  ", func.vmap(bend)(at))

# A Hessian: the second derivatives of a function of several variables.
print("hessian")
print(func.hessian(lambda v: (v**3).sum() + v.prod())(tg.tensor([1.0, 2.0, 3.0])))
