"""One neuron, as in micrograd: its graph, its backward pass step by step, and what a step of descent does.

Click through the steps: each node takes the gradient that comes to it and hands on its part.
"""

import tabgrad as tg
from tabgrad.utils import progress

rate = 0.05
steps = 20

# Two inputs, a weight for each, a bias, and a tanh.
x1, x2 = tg.tensor(2.0), tg.tensor(0.5)
w1 = tg.tensor(-0.4, requires_grad=True)
w2 = tg.tensor(1.0, requires_grad=True)
b = tg.tensor(0.1, requires_grad=True)
wanted = 0.8


def neuron() -> tg.Tensor:
    return tg.tanh(w1 * x1 + w2 * x2 + b)


def loss_of(out: tg.Tensor) -> tg.Tensor:
    return (out - wanted) ** 2


names = {"w1": w1, "w2": w2, "b": b}
passed = tg.viz.steps(loss_of(neuron()), names=names)
progress.show(passed, place="backward")

# The same by hand: the chain rule, from the loss back to w1.
out = neuron()
by_hand = 2 * (out - wanted) * (1 - out**2) * x1
(slope,) = tg.autograd.grad(loss_of(out), w1)
print(f"d loss / d w1: {slope.item():.4f} by autograd, {by_hand.item():.4f} by hand")

# Each step moves every weight a little against its gradient.
parameters = [w1, w2, b]
for k in range(steps + 1):
    loss = loss_of(neuron())
    gradients = tg.autograd.grad(loss, parameters)
    if k % 4 == 0:
        print(f"step {k:2}: out {neuron().item():+.3f}, loss {loss.item():.4f}")
    with tg.no_grad():
        for w, g in zip(parameters, gradients, strict=True):
            w -= rate * g

print(", ".join(f"{n} {w.item():+.3f}" for n, w in names.items()))
