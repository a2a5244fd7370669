import torch
import torch.nn as nn


class MatrixFactorization(torch.nn.Module):
    def __init__(self, n_users, n_items, n_factors=4):
        super().__init__()
        self.user_factors = torch.nn.Embedding(n_users, n_factors, sparse=False)
        self.item_factors = torch.nn.Embedding(n_items, n_factors)
        self.user_biases, self.item_biases = nn.Embedding(n_users, 1), nn.Embedding(n_items, 1)

    def forward(self, user, item):
        pred = self.user_biases(user) + self.item_biases(item)
        pred += (self.user_factors(user) * self.item_factors(item)).sum(1, keepdim=True)
        return pred.squeeze()


class NeuMF(nn.Module):
    def __init__(self, n_users, n_items):
        super().__init__()
        self.bag = nn.EmbeddingBag(n_items, 4, mode="mean")
        self.bilinear = nn.Bilinear(4, 4, 2)
        self.user = nn.Embedding.from_pretrained(torch.linspace(-1, 1, n_users * 4).view(n_users, 4), freeze=True)

    def forward(self, user, history, offsets):
        return self.bilinear(self.user(user), self.bag(history, offsets))


users, items = torch.arange(24) % 6, torch.arange(24) * 5 % 8
ratings = ((users * 3 + items) % 5 + 1).float()
model = MatrixFactorization(6, 8)
for i, p in enumerate(model.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) * 0.8 + i).view(p.shape) * 0.4
loss_fn = torch.nn.MSELoss()
optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=1e-2) if False else torch.optim.Adagrad(model.parameters(), lr=0.3)
for epoch in range(15):
    prediction = model(users, items)
    loss = loss_fn(prediction, ratings)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    if epoch % 5 == 4:
        print(f"Epoch {epoch}: rmse {loss.sqrt():.4f}")
scores = model.user_factors.weight @ model.item_factors.weight.T
top = scores.topk(3, dim=1)
print(top.values[0], top.indices.shape, scores.argsort(dim=1, descending=True).shape)
net = NeuMF(6, 8)
net.bag.weight.data = torch.cos(torch.arange(32.0)).view(8, 4)
net.bilinear.weight.data = torch.linspace(-1, 1, 32).view(2, 4, 4)
net.bilinear.bias.data.zero_()
out = net(torch.tensor([0, 3]), torch.tensor([1, 2, 4, 5, 7]), torch.tensor([0, 3]))
out.sum().backward()
print(out, net.user.weight.requires_grad, net.bag.weight.grad.abs().sum(1))
