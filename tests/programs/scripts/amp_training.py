import torch
import torch.nn as nn
from torch.cuda.amp import GradScaler, autocast

use_amp = True
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.backends.cudnn.benchmark = True
torch.set_float32_matmul_precision("high")
net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)).to(
    device, memory_format=torch.contiguous_format
)
for i, p in enumerate(net.parameters()):
    p.data.copy_((torch.sin(torch.arange(p.numel()) * 0.7 + i) * 0.3).view_as(p))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
scaler = GradScaler(init_scale=16.0, enabled=use_amp and torch.cuda.is_available())
x = torch.cos(torch.arange(64.0)).view(8, 8).to(device)
y = x.sum(1, keepdim=True)
for epoch in range(6):
    with autocast(enabled=use_amp and device != "cpu"):
        output = net(x)
        loss = nn.functional.mse_loss(output.float(), y)
    scaler.scale(loss).backward()
    scaler.unscale_(opt)
    torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=10.0)
    scaler.step(opt)
    scaler.update()
    opt.zero_grad(set_to_none=True)
print(f"{loss.item():.1f}", scaler.is_enabled() == torch.cuda.is_available())
with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
    z = torch.ones(2, 3, device="cpu") @ torch.ones(3, 2, device="cpu")
    print(z.dtype, (z + 1.0).sum().item(), torch.is_autocast_enabled("cpu"))
model = net.half().float()
print(model[0].weight.dtype, next(model.parameters()).is_cuda == torch.cuda.is_available())
