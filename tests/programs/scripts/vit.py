import torch
from torch import nn


def pair(t):
    return t if isinstance(t, tuple) else (t, t)


class FeedForward(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, dim),
        )

    def forward(self, x):
        return self.net(x)


class Attention(nn.Module):
    def __init__(self, dim, heads=2, dim_head=4):
        super().__init__()
        inner = dim_head * heads
        self.heads, self.scale = heads, dim_head**-0.5
        self.norm = nn.LayerNorm(dim)
        self.attend = nn.Softmax(dim=-1)
        self.to_qkv = nn.Linear(dim, inner * 3, bias=False)
        self.to_out = (
            nn.Linear(inner, dim) if not (heads == 1 and dim_head == dim) else nn.Identity()
        )

    def forward(self, x):
        x = self.norm(x)
        b, n, _ = x.shape
        q, k, v = (
            t.reshape(b, n, self.heads, -1).transpose(1, 2) for t in self.to_qkv(x).chunk(3, dim=-1)
        )
        attn = self.attend(torch.matmul(q, k.transpose(-1, -2)) * self.scale)
        return self.to_out(torch.matmul(attn, v).transpose(1, 2).flatten(2))


class ViT(nn.Module):
    def __init__(self, image_size, patch_size, num_classes, dim, depth):
        super().__init__()
        (H, W), (ph, pw) = pair(image_size), pair(patch_size)
        assert H % ph == 0 and W % pw == 0
        self.unfold = nn.Unfold((ph, pw), stride=(ph, pw))
        self.embed = nn.Linear(3 * ph * pw, dim)
        self.pos_embedding = nn.Parameter(torch.randn(1, (H // ph) * (W // pw) + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.layers = nn.ModuleList([])
        for _ in range(depth):
            self.layers.append(nn.ModuleList([Attention(dim), FeedForward(dim, dim * 2)]))
        self.head = nn.Linear(dim, num_classes)

    def forward(self, img):
        x = self.embed(self.unfold(img).transpose(1, 2))
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        x += self.pos_embedding[:, : x.shape[1]]
        for attn, ff in self.layers:
            x = attn(x) + x
            x = ff(x) + x
        return self.head(x[:, 0])


v = ViT(image_size=8, patch_size=4, num_classes=5, dim=8, depth=2)
for i, (name, p) in enumerate(v.named_parameters()):
    p.data = torch.sin(torch.arange(p.numel()) * 0.7 + i).view(p.shape) * 0.3 + ("norm" in name)
img = torch.cos(torch.arange(2 * 3 * 64) * 0.05).view(2, 3, 8, 8)
preds = v(img)
print(preds.shape, preds)
loss = nn.CrossEntropyLoss()(preds, torch.tensor([1, 3]))
loss.backward()
print(loss.item(), v.cls_token.grad.norm().item())
