import torch
from torch import nn


class CouplingLayer(nn.Module):
    def __init__(self, dim, hidden, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(dim // 2, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, x):
        a, b = x.chunk(2, dim=-1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).chunk(2, dim=-1)
        s = torch.tanh(s)
        b = b * s.exp() + t
        return torch.cat((b, a) if self.flip else (a, b), -1), s.sum(-1)

    def inverse(self, y):
        a, b = y.chunk(2, dim=-1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).chunk(2, dim=-1)
        b = (b - t) * (-torch.tanh(s)).exp()
        return torch.cat((b, a) if self.flip else (a, b), -1)


class RealNVP(nn.Module):
    def __init__(self, dim, depth):
        super().__init__()
        self.layers = nn.ModuleList([CouplingLayer(dim, 8, i % 2 == 1) for i in range(depth)])
        self.register_buffer("loc", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    @property
    def prior(self):
        return torch.distributions.Independent(torch.distributions.Normal(self.loc, self.scale), 1)

    def log_prob(self, x):
        log_det = x.new_zeros(x.shape[0])
        for layer in self.layers:
            x, ld = layer(x)
            log_det += ld
        return self.prior.log_prob(x) + log_det

    def sample(self, z):
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z


flow = RealNVP(2, 4)
for i, p in enumerate(flow.parameters()):
    p.data.copy_(torch.sin(torch.arange(p.numel()) * 1.1 + i).view_as(p) * 0.3)
t = torch.arange(40.0)
data = torch.stack([t.cos() * 2 + t.sin() * 0.1, t.sin() + (t * 2).cos()], 1)
optimizer = torch.optim.SGD(flow.parameters(), lr=0.02)
for epoch in range(12):
    loss = -flow.log_prob(data).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 4 == 3:
        print("epoch %d nll %.4f" % (epoch, loss))
with torch.no_grad():
    z = data
    for layer in flow.layers:
        z, _ = layer(z)
    print(torch.allclose(flow.sample(z), data, atol=1e-4), z.mean(0))
J = torch.autograd.functional.jacobian(lambda x: flow.layers[0](x[None])[0][0], data[0])
print(torch.logdet(J).item() - flow.layers[0](data[:1])[1].item() < 1e-5, len(flow.state_dict()))
