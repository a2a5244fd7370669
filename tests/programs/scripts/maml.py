# model-agnostic meta-learning of sine waves, by functional_call and by second derivatives
import torch, torch.nn as nn, torch.nn.functional as F
from torch.func import functional_call, grad, vmap

net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_(torch.sin(torch.arange(p.numel(), dtype=torch.float32) + i).view_as(p) * 0.5)
params = dict(net.named_parameters())
amp, phase = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.0, 1.0, 2.0])
x = torch.linspace(-3, 3, 10).unsqueeze(1)


def task(a, p):
    return a * torch.sin(x + p)


def loss(params, y, x=x):
    return F.mse_loss(functional_call(net, params, (x,)), y)


def adapted(params, y, lr=0.05):
    g = grad(loss)(params, y)
    return {k: v - lr * g[k] for k, v in params.items()}


opt = torch.optim.Adam(params.values(), lr=0.02)
for it in range(8):
    ys = torch.stack([task(a, p) for a, p in zip(amp, phase)])
    outer = vmap(lambda y: loss(adapted(params, y), y))(ys).mean()
    opt.zero_grad()
    outer.backward()
    opt.step()
    if it % 2 == 0:
        print(
            it, f"{outer.item():.5f}", f"{sum(p.grad.norm() for p in params.values()).item():.4f}"
        )
fast = {k: v.clone() for k, v in params.items()}
for _ in range(3):
    gs = torch.autograd.grad(loss(fast, ys[1]), list(fast.values()), create_graph=True)
    fast = {k: v - 0.05 * g for (k, v), g in zip(fast.items(), gs)}
print(f"{loss(fast, ys[1]).item():.5f}")
J = torch.func.jacrev(lambda x: functional_call(net, params, (x,)).squeeze(-1))(x[:2])
print(J.shape, f"{J.abs().sum().item():.5f}")
per = vmap(grad(lambda p, x, y: loss(p, y, x)), in_dims=(None, 0, 0))(params, x, ys[0])
print({k: tuple(v.shape) for k, v in list(per.items())[:2]})
