import copy
from collections import OrderedDict

import torch
import torch.nn as nn


@torch.no_grad()
def update_ema(ema_model, model, decay=0.9):
    ema_params = OrderedDict(ema_model.named_parameters())
    model_params = OrderedDict(model.named_parameters())
    for name, param in model_params.items():
        ema_params[name].mul_(decay).add_(param.data, alpha=1 - decay)
    for b1, b2 in zip(ema_model.buffers(), model.buffers()):
        b1.copy_(b2)


def requires_grad(model, flag=True):
    for p in model.parameters():
        p.requires_grad = flag


model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.SiLU(), nn.Linear(4, 1))
for i, p in enumerate(model.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) + i).view(p.shape) * 0.5 + 0.1
ema = copy.deepcopy(model)
requires_grad(ema, False)
ema.eval()
opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, dampening=0.1)
x = torch.cos(torch.arange(30.0)).view(10, 3)
y = x.prod(1, keepdim=True)
for step in range(10):
    loss = (model(x) - y).pow(2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    update_ema(ema, model)
    if step % 3 == 0:
        print(step, f"{loss.item():.4f}", f"{(ema(x) - y).pow(2).mean():.4f}")
vec = torch.nn.utils.parameters_to_vector(ema.parameters())
print(vec.shape, vec.norm())
torch.nn.utils.vector_to_parameters(vec * 0, ema.parameters())
print(ema(x).abs().sum().item(), ema[1].num_batches_tracked.item())
