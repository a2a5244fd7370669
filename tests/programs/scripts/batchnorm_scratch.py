import torch
from torch import nn


def batch_norm(X, gamma, beta, moving_mean, moving_var, eps, momentum):
    if not torch.is_grad_enabled():
        X_hat = (X - moving_mean) / torch.sqrt(moving_var + eps)
    else:
        assert len(X.shape) in (2, 4)
        if len(X.shape) == 2:
            mean = X.mean(dim=0)
            var = ((X - mean) ** 2).mean(dim=0)
        else:
            mean = X.mean(dim=(0, 2, 3), keepdim=True)
            var = ((X - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        X_hat = (X - mean) / torch.sqrt(var + eps)
        moving_mean = (1.0 - momentum) * moving_mean + momentum * mean
        moving_var = (1.0 - momentum) * moving_var + momentum * var
    return gamma * X_hat + beta, moving_mean.data, moving_var.data


class BatchNorm(nn.Module):
    def __init__(self, num_features, num_dims):
        super().__init__()
        shape = (1, num_features) if num_dims == 2 else (1, num_features, 1, 1)
        self.gamma = nn.Parameter(torch.ones(shape))
        self.beta = nn.Parameter(torch.zeros(shape))
        self.moving_mean = torch.zeros(shape)
        self.moving_var = torch.ones(shape)

    def forward(self, X):
        if self.moving_mean.device != X.device:
            self.moving_mean = self.moving_mean.to(X.device)
            self.moving_var = self.moving_var.to(X.device)
        Y, self.moving_mean, self.moving_var = batch_norm(
            X, self.gamma, self.beta, self.moving_mean, self.moving_var, eps=1e-5, momentum=0.1
        )
        return Y


X = torch.sin(torch.arange(2 * 3 * 16.0)).reshape(2, 3, 4, 4) * torch.arange(1, 4).view(1, 3, 1, 1)
mine, theirs = BatchNorm(3, num_dims=4), nn.BatchNorm2d(3)
for _ in range(3):
    d = (mine(X) - theirs(X)).abs().max()
print(f"{d < 1e-5}", mine.moving_mean.view(-1), theirs.running_mean, theirs.num_batches_tracked)
theirs.eval()
with torch.no_grad():
    print(mine(X).mean((0, 2, 3)), theirs(X).std(dim=(0, 2, 3)))
for norm in (
    nn.LayerNorm([3, 4, 4]),
    nn.GroupNorm(3, 3),
    nn.InstanceNorm2d(3),
    nn.RMSNorm(4),
    nn.LocalResponseNorm(2),
):
    print(type(norm).__name__, norm(X).square().mean().item())
