# recomputation, hooks of saved tensors, anomaly mode
import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


class Deep(nn.Module):
    def __init__(self, use):
        super().__init__()
        self.use = use
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(4)])

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.use and self.training else layer(x)
        return x


grads = []
for use in (False, True):
    net = Deep(use)
    for i, p in enumerate(net.parameters()):
        p.data = torch.sin(torch.arange(p.numel()) + i).view(p.shape) * 0.5
    x = torch.linspace(-1, 1, 8).view(2, 4).requires_grad_()
    net(x).pow(2).sum().backward()
    grads.append([x.grad] + [p.grad for p in net.parameters()])
print(all(torch.allclose(a, b) for a, b in zip(*grads)), grads[0][0])
seq = nn.Sequential(*[layer for layer in net.layers])
x = torch.ones(1, 4, requires_grad=True)
checkpoint_sequential(seq, 2, x, use_reentrant=False).sum().backward()
print(x.grad)
sizes = []
with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t * 1, lambda t: t):
    y = (x.exp() * x).sum()
y.backward()
print(len(sizes) > 0, x.grad.isfinite().all().item())
try:
    with torch.autograd.detect_anomaly():
        z = torch.tensor([-1.0], requires_grad=True)
        torch.sqrt(z).sum().backward()
except RuntimeError as error:
    print("anomaly", "nan" in str(error).lower())
try:
    w = torch.ones(2, requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    loss.backward()
except RuntimeError as error:
    print("second time" in str(error))
try:
    torch.ones(3) @ torch.ones(4)
except RuntimeError as error:
    print("mat" in str(error) or "size" in str(error))
with torch.set_grad_enabled(False):
    print((w * 2).requires_grad)
print(torch.is_grad_enabled(), torch.autograd.grad((w**3).sum(), w, create_graph=True)[0].requires_grad)
