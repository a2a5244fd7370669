import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1)
        self.conv3 = (
            nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        )
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()

    def forward(self, X):
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        Y += X
        return F.relu(Y)


def try_gpu(i=0):
    if torch.cuda.device_count() >= i + 1:
        return torch.device(f"cuda:{i}")
    return torch.device("cpu")


net = nn.Sequential(
    nn.Sequential(Residual(4, True), Residual(4)),
    Residual(6, True, 2),
    nn.AdaptiveAvgPool2d((1, 1)),
    nn.Flatten(),
    nn.LazyLinear(3),
)
device = try_gpu()
net.to(device)
X = torch.sin(torch.arange(4 * 2 * 64.0) / 5).view(4, 2, 8, 8).to(device)
net(X)
with torch.no_grad():
    for n, (name, p) in enumerate(net.named_parameters()):
        if "bn" not in name:
            p.copy_(
                torch.cos(torch.arange(p.numel(), dtype=torch.float32) * 1.9 + n).view(p.shape)
                * 0.15
            )
y = torch.tensor([0, 1, 2, 1]).to(device)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for epoch in range(5):
    optimizer.zero_grad()
    loss = F.cross_entropy(net(X), y)
    loss.backward()
    optimizer.step()
    print(f"{epoch} {loss.item():.3f}")
print(sum(p.numel() for p in net.parameters() if p.requires_grad), net[1].conv3.stride)
print([k for k in net.state_dict() if "num_batches" in k][:2])
