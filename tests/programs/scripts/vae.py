import torch
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(20, 12)
        self.fc21 = nn.Linear(12, 3)
        self.fc22 = nn.Linear(12, 3)
        self.fc3 = nn.Linear(3, 12)
        self.fc4 = nn.Linear(12, 20)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar, eps):
        std = torch.exp(0.5 * logvar)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x, eps):
        mu, logvar = self.encode(x.view(-1, 20))
        return self.decode(self.reparameterize(mu, logvar, eps)), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 20), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = VAE().to(device)
for i, p in enumerate(model.parameters()):
    p.data.copy_(torch.sin(torch.arange(p.numel()) * (0.5 + i)).view_as(p) * 0.3)
optimizer = optim.Adam(model.parameters(), lr=1e-2)
x = (torch.sin(torch.arange(16 * 20) * 0.31).view(16, 4, 5) > 0).float().to(device)
for epoch in range(1, 9):
    eps = torch.cos(torch.arange(48) * epoch * 1.1).view(16, 3).to(device)
    optimizer.zero_grad()
    recon, mu, logvar = model(x, eps)
    loss = loss_function(recon, x, mu, logvar)
    loss.backward()
    optimizer.step()
    if epoch % 4 == 0:
        print(f"Epoch: {epoch} \tLoss: {loss.item() / len(x):.4f}")
with torch.no_grad():
    sample = model.decode(torch.linspace(-1, 1, 6).view(2, 3).to(device)).cpu()
print(sample[:, :5])
