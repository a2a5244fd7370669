# int8 by hand, pruning masks, bits
import torch
import torch.nn as nn


def quantize(x, bits=8):
    scale = x.abs().amax(dim=-1, keepdim=True) / (2 ** (bits - 1) - 1)
    q = torch.clamp(torch.round(x / scale), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)
    return q, scale


W = torch.sin(torch.arange(24.0)).view(4, 6)
q, scale = quantize(W)
back = q.float() * scale
print(q.dtype, q[0], scale.flatten(), (back - W).abs().max() <= scale.max() / 2 + 1e-6)
x = torch.cos(torch.arange(6.0))
xq, xs = quantize(x)
acc = torch.mv(q.int().float(), xq.float()) * scale.flatten() * xs
print((acc - W @ x).abs().max() < 0.05, q.element_size() * q.nelement())
packed = (q[:, ::2].to(torch.int16) + 128 << 8) | (q[:, 1::2].to(torch.int16) + 128) & 255
print(packed.dtype, torch.tensor([5, 12]) ^ 3, torch.tensor([5]) << 2, torch.bitwise_and(torch.tensor(6), 3))
model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
for i, p in enumerate(model.parameters()):
    p.data = torch.cos(torch.arange(p.numel()) * 0.7 + i).view(p.shape)
masks = {}
for name, p in model.named_parameters():
    if p.dim() > 1:
        threshold = p.detach().abs().flatten().kthvalue(int(0.5 * p.numel())).values
        masks[name] = (p.detach().abs() > threshold).float()
        p.data.mul_(masks[name])
        p.register_hook(lambda grad, m=masks[name]: grad * m)
opt = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
for _ in range(5):
    opt.zero_grad()
    loss = model(W).pow(2).mean()
    loss.backward()
    opt.step()
print(f"{loss.item():.5f}", {n: int((p == 0).sum()) for n, p in model.named_parameters() if p.dim() > 1})
print(sum(int(m.sum()) for m in masks.values()), torch.count_nonzero(model[0].weight).item())
h = torch.tensor([1.0, 1e-3, 65504.0])
print(h.half(), h.bfloat16().float(), torch.finfo(torch.bfloat16).eps, torch.iinfo(torch.int8).max, h.half().dtype.itemsize)
