import torch
import torch.nn as nn
import torch.nn.functional as F


class BERT(nn.Module):
    def __init__(self, vocab, dim, heads, layers, max_len):
        super().__init__()
        self.tok, self.pos, self.seg = (
            nn.Embedding(vocab, dim, padding_idx=0),
            nn.Embedding(max_len, dim),
            nn.Embedding(2, dim),
        )
        layer = nn.TransformerEncoderLayer(
            dim, heads, dim * 2, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.mlm = nn.Sequential(
            nn.Linear(dim, dim),
            nn.GELU(approximate="tanh"),
            nn.LayerNorm(dim),
            nn.Linear(dim, vocab),
        )
        self.nsp = nn.Linear(dim, 2)

    def forward(self, x, segments):
        mask = x.eq(0)
        pos = torch.arange(x.size(1), device=x.device).expand_as(x)
        h = self.encoder(
            self.tok(x) + self.pos(pos) + self.seg(segments), src_key_padding_mask=mask
        )
        return self.mlm(h), self.nsp(h[:, 0])


model = BERT(13, 8, 2, 2, 9)
with torch.no_grad():
    for i, (name, p) in enumerate(model.named_parameters()):
        if p.ndim > 1:
            p.copy_(
                torch.cos(torch.arange(p.numel(), dtype=torch.float) * (1 + i / 7)).reshape(p.shape)
                * 0.3
            )
        else:
            p.fill_(1.0 if "norm" in name and "weight" in name else 0.0)
    model.tok.weight[0].fill_(0)
x = torch.arange(36).reshape(4, 9) * 7 % 11 + 2
x[1, 6:] = 0
x[3, 4:] = 0
masked = x.clone()
masked[:, 2] = 1
labels = torch.where(masked == 1, x, -100)
segments = (torch.arange(9) > 4).long().repeat(4, 1)
opt = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / 3, 1.0))
for step in range(6):
    mlm, nsp = model(masked, segments)
    loss = F.cross_entropy(mlm.transpose(1, 2), labels) + F.cross_entropy(
        nsp, torch.tensor([0, 1, 0, 1]), label_smoothing=0.1
    )
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    sched.step()
    if step % 2:
        print(step, f"{loss.item():.3f}", f"{sched.get_last_lr()[0]:.5f}")
print(model.tok.weight.grad[0].abs().sum().item(), list(model.state_dict())[3:6])
