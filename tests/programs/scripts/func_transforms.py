import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import (
    functional_call,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)


def predict(weight, bias, x):
    return F.linear(x, weight, bias).tanh()


W = torch.sin(torch.arange(12.0)).view(3, 4)
b = torch.cos(torch.arange(3.0))
x = torch.linspace(-1, 1, 4)
J = jacrev(predict, argnums=2)(W, b, x)
print(torch.allclose(J, jacfwd(predict, argnums=2)(W, b, x), atol=1e-5), J)
H = hessian(lambda x: predict(W, b, x).square().sum())(x)
print(torch.allclose(H, H.T, atol=1e-5), H.diagonal())
out, tangent = jvp(lambda x: predict(W, b, x), (x,), (torch.ones(4),))
_, vjp_fn = vjp(lambda x: predict(W, b, x), x)
print(
    (tangent * torch.ones(3)).sum().item() - (vjp_fn(torch.ones(3))[0] * torch.ones(4)).sum().item()
    < 1e-5
)

net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
for i, p in enumerate(net.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) + i).view(p.shape) * 0.5
params = {k: v.detach() for k, v in net.named_parameters()}
data, targets = torch.cos(torch.arange(24.0)).view(6, 4), torch.arange(6) % 2


def compute_loss(params, sample, target):
    prediction = functional_call(net, params, (sample.unsqueeze(0),))
    return F.cross_entropy(prediction, target.unsqueeze(0))


per_sample = vmap(grad(compute_loss), in_dims=(None, 0, 0))(params, data, targets)
print({k: tuple(v.shape) for k, v in per_sample.items()})
F.cross_entropy(net(data), targets).backward()
print(torch.allclose(per_sample["0.weight"].mean(0), net[0].weight.grad, atol=1e-5))
norms = torch.stack([g.flatten(1).norm(dim=1) for g in per_sample.values()]).norm(dim=0)
print(norms)

models = [nn.Linear(4, 2) for _ in range(3)]
for k, m in enumerate(models):
    m.weight.data.fill_(0.1 * (k + 1))
    m.bias.data.fill_(k)
stacked, buffers = stack_module_state(models)
base = nn.Linear(4, 2)
print(
    vmap(lambda p, x: functional_call(base, p, (x,)), in_dims=(0, None))(stacked, data).mean((1, 2))
)
import torch.autograd.forward_ad as fwAD

with fwAD.dual_level():
    dual = fwAD.make_dual(x, torch.ones_like(x))
    print(fwAD.unpack_dual(torch.sin(dual) ** 2).tangent)
print(torch.autograd.functional.hvp(lambda x: (x**4).sum(), x, torch.ones(4))[1])
