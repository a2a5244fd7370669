import torch
from torch import nn
from torch.nn import functional as F


def softmax(X):
    X_exp = torch.exp(X)
    partition = X_exp.sum(1, keepdims=True)
    return X_exp / partition


def cross_entropy(y_hat, y):
    return -torch.log(y_hat[list(range(len(y_hat))), y]).mean()


def dropout_layer(X, mask, dropout):
    if dropout == 1:
        return torch.zeros_like(X)
    return mask * X / (1.0 - dropout)


def init_cnn(module):
    if type(module) == nn.Linear or type(module) == nn.Conv2d:
        nn.init.xavier_uniform_(module.weight)


def accuracy(Y_hat, Y, averaged=True):
    Y_hat = Y_hat.reshape((-1, Y_hat.shape[-1]))
    preds = Y_hat.argmax(axis=1).type(Y.dtype)
    compare = (preds == Y.reshape(-1)).type(torch.float32)
    return compare.mean() if averaged else compare


X = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print(X.sum(0, keepdims=True), X.sum(1, keepdims=True), softmax(X).sum(1))
y = torch.tensor([0, 2])
y_hat = torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
print(y_hat[[0, 1], y], cross_entropy(y_hat, y))
W1, b1 = nn.Parameter(torch.sin(torch.arange(24.0)).view(4, 6) * 0.3), nn.Parameter(torch.zeros(6))
W2, b2 = nn.Parameter(torch.cos(torch.arange(18.0)).view(6, 3) * 0.3), nn.Parameter(torch.zeros(3))
features = torch.sin(torch.arange(80.0) * 0.9).view(20, 4)
labels = (features[:, 0] > 0).long() + (features[:, 1] > 0).long()
params = [W1, b1, W2, b2]
trainer = torch.optim.SGD(
    [{"params": [W1, W2], "weight_decay": 0.01}, {"params": [b1, b2]}], lr=0.5
)
mask = (torch.arange(6) % 3 > 0).float()
for epoch in range(20):
    H = dropout_layer(F.relu(features @ W1 + b1), mask, 0.3)
    loss = F.cross_entropy(H @ W2 + b2, labels)
    trainer.zero_grad()
    loss.backward()
    trainer.step()
print(f"loss {float(loss):.4f}, acc {accuracy(H @ W2 + b2, labels):.2f}")
print("L2 norm of weights:", torch.norm(W1).item() ** 2 / 2 + torch.norm(W2).item() ** 2 / 2)
net = nn.Sequential(
    nn.LazyConv2d(6, kernel_size=5, padding=2),
    nn.Sigmoid(),
    nn.AvgPool2d(kernel_size=2, stride=2),
    nn.Flatten(),
    nn.LazyLinear(10),
)
Z = torch.ones(1, 1, 8, 8)
for layer in net:
    Z = layer(Z)
    print(layer.__class__.__name__, "output shape:\t", Z.shape)
net.apply(init_cnn)
