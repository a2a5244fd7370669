import copy
import math

import torch
import torch.nn as nn


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, r: int = 2, alpha: int = 4):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.linspace(-1, 1, r * base.in_features).view(r, -1))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))
        self.scaling = alpha / r

    def forward(self, x):
        return self.base(x) + (x @ self.lora_A.T @ self.lora_B.T) * self.scaling

    @torch.no_grad()
    def merge(self):
        self.base.weight += self.lora_B @ self.lora_A * self.scaling
        return self.base


def replace_linear(module, target):
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and name in target:
            setattr(module, name, LoRALinear(child))
        else:
            replace_linear(child, target)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return torch.softmax(q @ k.mT / math.sqrt(6), -1) @ v


model = nn.Sequential(Block(), nn.ReLU(), Block())
for i, p in enumerate(model.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) * 1.1 + i).view(p.shape) * 0.4
frozen = copy.deepcopy(model)
replace_linear(model, {"q_proj", "v_proj"})
trainable = [n for n, p in model.named_parameters() if p.requires_grad]
print(len(trainable), trainable[0], sum(p.numel() for p in model.parameters() if p.requires_grad))
x = torch.cos(torch.arange(48.0)).view(2, 4, 6)
print(torch.equal(model(x), frozen(x)))
opt = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=0.05)
for _ in range(8):
    opt.zero_grad()
    loss = (model(x) - torch.sin(x)).square().mean()
    loss.backward()
    opt.step()
print(f"{loss:.4f}", model[0].q_proj.base.weight.grad)
y = model(x)
for block in (model[0], model[2]):
    block.q_proj, block.v_proj = block.q_proj.merge(), block.v_proj.merge()
print(torch.allclose(model(x), y, atol=1e-5), list(model.state_dict()) == list(frozen.state_dict()))
