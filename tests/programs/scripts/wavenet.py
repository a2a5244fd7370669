# layers written from scratch, as in a lecture
import torch
import torch.nn.functional as F


class Linear:
    def __init__(self, fan_in, fan_out, bias=True):
        i = torch.arange(fan_in * fan_out, dtype=torch.float32).reshape(fan_in, fan_out)
        self.weight = torch.sin(i * 0.37 + fan_in) / fan_in**0.5
        self.bias = torch.zeros(fan_out) if bias else None

    def __call__(self, x):
        self.out = x @ self.weight
        if self.bias is not None:
            self.out += self.bias
        return self.out

    def parameters(self):
        return [self.weight] + ([] if self.bias is None else [self.bias])


class BatchNorm1d:
    def __init__(self, dim, eps=1e-5, momentum=0.1):
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

    def __call__(self, x):
        if self.training:
            dim = 0 if x.ndim == 2 else (0, 1)
            xmean, xvar = x.mean(dim, keepdim=True), x.var(dim, keepdim=True)
        else:
            xmean, xvar = self.running_mean, self.running_var
        self.out = self.gamma * (x - xmean) / torch.sqrt(xvar + self.eps) + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * xmean
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * xvar
        return self.out

    def parameters(self):
        return [self.gamma, self.beta]


class Tanh:
    def __call__(self, x):
        self.out = torch.tanh(x)
        return self.out

    def parameters(self):
        return []


class Embedding(Tanh):
    def __init__(self, n, dim):
        self.weight = torch.cos(torch.arange(n * dim).float()).view(n, dim)

    def __call__(self, ix):
        self.out = self.weight[ix]
        return self.out

    def parameters(self):
        return [self.weight]


class FlattenConsecutive(Tanh):
    def __init__(self, n):
        self.n = n

    def __call__(self, x):
        B, T, C = x.shape
        x = x.view(B, T // self.n, C * self.n)
        self.out = x.squeeze(1) if x.shape[1] == 1 else x
        return self.out


V = 5
layers = [
    Embedding(V, 3),
    FlattenConsecutive(2),
    Linear(6, 8, bias=False),
    BatchNorm1d(8),
    Tanh(),
    FlattenConsecutive(2),
    Linear(16, 8, bias=False),
    BatchNorm1d(8),
    Tanh(),
    Linear(8, V),
]
with torch.no_grad():
    layers[-1].weight *= 0.1
parameters = [p for layer in layers for p in layer.parameters()]
for p in parameters:
    p.requires_grad = True
X = torch.arange(48).view(12, 4) ** 2 % V
Y = X.sum(1) % V
for i in range(15):
    x = X
    for layer in layers:
        x = layer(x)
    loss = F.cross_entropy(x, Y)
    for p in parameters:
        p.grad = None
    loss.backward()
    lr = 0.1 if i < 10 else 0.01
    for p in parameters:
        p.data += -lr * p.grad
    if i % 5 == 0:
        print(f"{i:7d}/{15:7d}: {loss.item():.4f}")
for layer in layers:
    if isinstance(layer, BatchNorm1d):
        layer.training = False
x = X[:3]
for layer in layers:
    x = layer(x)
    print(layer.__class__.__name__, ":", tuple(layer.out.shape), f"{layer.out.mean():.4f}")
