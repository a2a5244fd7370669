# tensors, autograd, nn, optim: one fit, five ways
import math

import numpy as np
import torch

x = torch.linspace(-math.pi, math.pi, 50, dtype=torch.float)
y = torch.sin(x)


class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


a, b, c, d = (torch.full((), v, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3))
P3 = LegendrePolynomial3.apply
for t in range(50):
    y_pred = a + b * P3(c + d * x)
    loss = (y_pred - y).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        for p in (a, b, c, d):
            p -= 5e-5 * p.grad
            p.grad = None
print(f"Result: y = {a.item():.4f} + {b.item():.4f} * P3({c.item():.4f} + {d.item():.4f} x)")

p = torch.tensor([1, 2, 3])
xx = x.unsqueeze(-1).pow(p)
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
model[0].weight.data = torch.tensor([[0.1, 0.2, -0.1]])
model[0].bias.data.zero_()
loss_fn = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
for t in range(40):
    loss = loss_fn(model(xx), y)
    if t % 20 == 19:
        print(t, round(loss.item(), 3))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
linear_layer = model[0]
print(
    "Result:", *[f"{v:.3f}" for v in (linear_layer.bias.item(), *linear_layer.weight[0].tolist())]
)

# the same by numpy
xn, yn = np.linspace(-math.pi, math.pi, 50), np.sin(np.linspace(-math.pi, math.pi, 50))
coef = np.polyfit(xn, yn, 3)
sol = torch.linalg.lstsq(torch.stack([x**k for k in (3, 2, 1, 0)], 1), y.unsqueeze(1)).solution
print(np.abs(sol.squeeze().cpu().numpy() - coef).max() < 1e-4)
