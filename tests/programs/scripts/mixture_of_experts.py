import torch
import torch.nn as nn
import torch.nn.functional as F


class Expert(nn.Module):
    def __init__(self, n_embed):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(n_embed, 2 * n_embed), nn.ReLU(), nn.Linear(2 * n_embed, n_embed)
        )

    def forward(self, x):
        return self.net(x)


class TopkRouter(nn.Module):
    def __init__(self, n_embed, num_experts, top_k):
        super().__init__()
        self.top_k = top_k
        self.linear = nn.Linear(n_embed, num_experts)

    def forward(self, x):
        logits = self.linear(x)
        top_k_logits, indices = logits.topk(self.top_k, dim=-1)
        zeros = torch.full_like(logits, float("-inf"))
        sparse_logits = zeros.scatter(-1, indices, top_k_logits)
        return F.softmax(sparse_logits, dim=-1), indices


class SparseMoE(nn.Module):
    def __init__(self, n_embed, num_experts, top_k):
        super().__init__()
        self.router = TopkRouter(n_embed, num_experts, top_k)
        self.experts = nn.ModuleList([Expert(n_embed) for _ in range(num_experts)])

    def forward(self, x):
        gating_output, indices = self.router(x)
        final_output = torch.zeros_like(x)
        flat_x = x.view(-1, x.size(-1))
        flat_gating = gating_output.view(-1, gating_output.size(-1))
        for i, expert in enumerate(self.experts):
            expert_mask = (indices == i).any(dim=-1)
            flat_mask = expert_mask.view(-1)
            if flat_mask.any():
                out = expert(flat_x[flat_mask])
                scores = flat_gating[flat_mask, i].unsqueeze(1)
                final_output[expert_mask] += (out * scores).squeeze(1)
        return final_output, gating_output


moe = SparseMoE(4, 3, 2)
for i, p in enumerate(moe.parameters()):
    p.data = torch.cos(torch.arange(p.numel()) * 1.3 + i).view(p.shape) * 0.5
x = torch.sin(torch.arange(24.0)).view(2, 3, 4)
out, gates = moe(x)
print(out.shape, out.sum().item(), (gates > 0).sum(-1).flatten().tolist())
opt = torch.optim.SGD(moe.parameters(), lr=0.1)
for _ in range(5):
    opt.zero_grad()
    out, gates = moe(x)
    load = gates.mean((0, 1))
    loss = F.mse_loss(out, x.flip(-1)) + 0.01 * 3 * (load * load).sum()
    loss.backward()
    opt.step()
print(f"{loss.item():.5f}", load)
counts = torch.bincount(gates.argmax(-1).flatten(), minlength=3)
print(counts, counts.sum().item())
