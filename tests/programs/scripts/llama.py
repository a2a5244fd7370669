from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class ModelArgs:
    dim: int = 16
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int | None = 2
    vocab_size: int = 12
    norm_eps: float = 1e-5
    max_seq_len: int = 10


class RMSNorm(torch.nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        return self._norm(x.float()).type_as(x) * self.weight


def precompute_freqs_cis(dim: int, end: int, theta: float = 10000.0):
    freqs = 1.0 / (theta ** (torch.arange(0, dim, 2)[: (dim // 2)].float() / dim))
    t = torch.arange(end, device=freqs.device)
    freqs = torch.outer(t, freqs).float()
    return torch.polar(torch.ones_like(freqs), freqs)


def apply_rotary_emb(xq, xk, freqs_cis) -> tuple[torch.Tensor, torch.Tensor]:
    xq_ = torch.view_as_complex(xq.float().reshape(*xq.shape[:-1], -1, 2))
    xk_ = torch.view_as_complex(xk.float().reshape(*xk.shape[:-1], -1, 2))
    freqs_cis = freqs_cis.view(1, xq_.shape[1], 1, xq_.shape[-1])
    return torch.view_as_real(xq_ * freqs_cis).flatten(3), torch.view_as_real(
        xk_ * freqs_cis
    ).flatten(3)


def repeat_kv(x: torch.Tensor, n_rep: int) -> torch.Tensor:
    bs, slen, n_kv_heads, head_dim = x.shape
    return (
        x[:, :, :, None, :]
        .expand(bs, slen, n_kv_heads, n_rep, head_dim)
        .reshape(bs, slen, n_kv_heads * n_rep, head_dim)
    )


class Attention(nn.Module):
    def __init__(self, args: ModelArgs):
        super().__init__()
        self.n_rep, self.head_dim = args.n_heads // args.n_kv_heads, args.dim // args.n_heads
        self.wq = nn.Linear(args.dim, args.n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(args.dim, args.n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(args.dim, args.n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(args.dim, args.dim, bias=False)
        self.cache_k = torch.zeros((1, args.max_seq_len, args.n_kv_heads, self.head_dim))
        self.cache_v = torch.zeros((1, args.max_seq_len, args.n_kv_heads, self.head_dim))

    def forward(self, x, start_pos, freqs_cis, mask):
        bsz, seqlen, _ = x.shape
        xq, xk, xv = self.wq(x), self.wk(x), self.wv(x)
        xq = xq.view(bsz, seqlen, -1, self.head_dim)
        xk, xv = xk.view(bsz, seqlen, -1, self.head_dim), xv.view(bsz, seqlen, -1, self.head_dim)
        xq, xk = apply_rotary_emb(xq, xk, freqs_cis=freqs_cis)
        self.cache_k = self.cache_k.to(xq)
        self.cache_v = self.cache_v.to(xq)
        self.cache_k[:bsz, start_pos : start_pos + seqlen] = xk
        self.cache_v[:bsz, start_pos : start_pos + seqlen] = xv
        keys = repeat_kv(self.cache_k[:bsz, : start_pos + seqlen], self.n_rep).transpose(1, 2)
        values = repeat_kv(self.cache_v[:bsz, : start_pos + seqlen], self.n_rep).transpose(1, 2)
        scores = torch.matmul(xq.transpose(1, 2), keys.transpose(2, 3)) / self.head_dim**0.5
        if mask is not None:
            scores = scores + mask
        scores = F.softmax(scores.float(), dim=-1).type_as(xq)
        return self.wo(
            torch.matmul(scores, values).transpose(1, 2).contiguous().view(bsz, seqlen, -1)
        )


class Transformer(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.tok_embeddings = nn.Embedding(a.vocab_size, a.dim)
        self.layers = torch.nn.ModuleList()
        for _ in range(a.n_layers):
            self.layers.append(
                nn.ModuleDict(
                    {
                        "n1": RMSNorm(a.dim, a.norm_eps),
                        "attn": Attention(a),
                        "n2": RMSNorm(a.dim),
                        "w1": nn.Linear(a.dim, 24, bias=False),
                        "w2": nn.Linear(24, a.dim, bias=False),
                        "w3": nn.Linear(a.dim, 24, bias=False),
                    }
                )
            )
        self.norm, self.output = RMSNorm(a.dim), nn.Linear(a.dim, a.vocab_size, bias=False)
        self.freqs_cis = precompute_freqs_cis(a.dim // a.n_heads, a.max_seq_len * 2)

    @torch.inference_mode()
    def forward(self, tokens: torch.Tensor, start_pos: int):
        _, seqlen = tokens.shape
        h = self.tok_embeddings(tokens)
        freqs_cis = self.freqs_cis.to(h.device)[start_pos : start_pos + seqlen]
        mask = None
        if seqlen > 1:
            mask = torch.triu(
                torch.full((seqlen, seqlen), float("-inf"), device=tokens.device), diagonal=1
            )
            mask = torch.hstack(
                [torch.zeros((seqlen, start_pos), device=tokens.device), mask]
            ).type_as(h)
        for layer in self.layers:
            h = h + layer["attn"](layer["n1"](h), start_pos, freqs_cis, mask)
            n = layer["n2"](h)
            h = h + layer["w2"](F.silu(layer["w1"](n)) * layer["w3"](n))
        return self.output(self.norm(h)).float()


model = Transformer(ModelArgs())
for i, p in enumerate(model.parameters()):
    if p.dim() > 1:
        p.data = torch.sin(torch.arange(p.numel()) * 0.9 + i).view(p.shape) * 0.25
prompt = torch.tensor([[1, 7, 3, 5]])
logits = model(prompt, 0)
whole = model(torch.tensor([[1, 7, 3, 5, 2]]), 0)
model(prompt, 0)
step = model(torch.tensor([[2]]), 4)
print(torch.allclose(whole[:, -1], step[:, -1], atol=1e-5), logits[0, -1, :4])
