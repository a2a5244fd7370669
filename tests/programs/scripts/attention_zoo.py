import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

B, H, T, D = 2, 2, 5, 4
q, k, v = (torch.sin(torch.arange(B * H * T * D) * s).view(B, H, T, D) for s in (0.3, 0.7, 1.1))


def manual(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / D**0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


causal = torch.ones(T, T, dtype=torch.bool).tril()
print(torch.allclose(manual(q, k, v, causal), F.scaled_dot_product_attention(q, k, v, is_causal=True), atol=1e-5))
with sdpa_kernel(SDPBackend.MATH):
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=causal, dropout_p=0.0)
print(out.sum().item(), F.scaled_dot_product_attention(q, k, v, scale=1.0).mean().item())
mha = nn.MultiheadAttention(8, 2, batch_first=True)
for i, p in enumerate(mha.parameters()):
    p.data = torch.cos(torch.arange(p.numel()) * 0.9 + i).view(p.shape) * 0.3
x = torch.sin(torch.arange(B * T * 8.0)).view(B, T, 8)
pad = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
y, w = mha(x, x, x, key_padding_mask=pad, average_attn_weights=False)
print(y.shape, w.shape, w[1, :, :, 3:].abs().max().item(), y[0, 0, :3])
y, w = mha(x, x, x, attn_mask=nn.Transformer.generate_square_subsequent_mask(T), is_causal=True)
print(y[1].norm(), w[0, 0])
pos, dist = torch.arange(T), (torch.arange(T)[None] - torch.arange(T)[:, None])
alibi = -0.5 * dist.abs()
window = (dist <= 0) & (dist > -3)
print(F.scaled_dot_product_attention(q, k, v, attn_mask=alibi.float()).std(), manual(q, k, v, window)[0, 0, -1])
bias = nn.Embedding(2 * T - 1, H)
bias.weight.data = torch.linspace(-1, 1, (2 * T - 1) * H).view(-1, H)
rel = bias(dist + T - 1).permute(2, 0, 1)
print(F.scaled_dot_product_attention(q, k, v, attn_mask=rel)[1, 1].sum(0))
cross = F.scaled_dot_product_attention(q, k[:, :, :3], v[:, :, :3])
linear = (F.elu(q) + 1) @ ((F.elu(k) + 1).transpose(-2, -1) @ v)
print(cross.shape, linear.norm())
