import torch
import torch.nn as nn
import torch.nn.functional as F


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
        self.sigmoid = nn.Sigmoid()

    def forward_once(self, x):
        return self.net(x.view(x.size()[0], -1))

    def forward(self, a, b):
        return self.forward_once(a), self.forward_once(b)


class ContrastiveLoss(torch.nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, o1, o2, label):
        d = F.pairwise_distance(o1, o2, keepdim=True)
        return torch.mean(
            (1 - label) * torch.pow(d, 2)
            + label * torch.pow(torch.clamp(self.margin - d, min=0.0), 2)
        )


net = SiameseNetwork()
for p in net.parameters():
    p.data = torch.cos(torch.arange(p.numel()) * 2.1).view(p.shape) * 0.4
a = torch.sin(torch.arange(48) * 0.5).view(8, 2, 3)
b = torch.sin(torch.arange(48) * 0.5 + torch.arange(48) % 2).view(8, 2, 3)
label = (torch.arange(8) % 2).float().unsqueeze(1)
optimizer = torch.optim.RMSprop(net.parameters(), lr=0.005, alpha=0.9)
losses = {
    "contrastive": ContrastiveLoss(),
    "cosine": lambda x, y, t: nn.CosineEmbeddingLoss(margin=0.2)(x, y, 1 - 2 * t.squeeze(1)),
    "triplet": lambda x, y, t: nn.TripletMarginLoss(margin=1.0, p=2)(x, y, y.flip(0)),
    "info_nce": lambda x, y, t: F.cross_entropy(
        F.normalize(x) @ F.normalize(y).T / 0.1, torch.arange(8)
    ),
}
for name, criterion in losses.items():
    for step in range(4):
        optimizer.zero_grad()
        loss = criterion(*net(a, b), label)
        loss.backward()
        optimizer.step()
    print(f"{name:12s}{loss.item():9.4f}")
print(torch.cdist(*net(a[:2], b[:3])))
