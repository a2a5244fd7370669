# expectation maximisation, k-means, PCA
import math

import torch

t = torch.arange(60).float()
X = torch.stack([torch.sin(t) + 3 * (t % 3), torch.cos(t * 1.3) - 2 * (t % 3)], dim=1)


def kmeans(X, k, iters=10):
    centers = X[:k].clone()
    for _ in range(iters):
        labels = torch.cdist(X, centers).argmin(dim=1)
        for j in range(k):
            if (labels == j).any():
                centers[j] = X[labels == j].mean(dim=0)
    return centers, labels


centers, labels = kmeans(X, 3)
order = centers[:, 0].argsort()
print(centers[order], torch.bincount(labels)[order])
mu, var, pi = centers.clone(), torch.ones(3, 2), torch.full((3,), 1 / 3)
for step in range(8):
    log_p = -0.5 * (((X[:, None] - mu) ** 2 / var) + var.log() + math.log(2 * math.pi)).sum(-1) + pi.log()
    ll = torch.logsumexp(log_p, dim=1, keepdim=True)
    r = (log_p - ll).exp()
    n = r.sum(0)
    mu = (r.t() @ X) / n[:, None]
    var = (r.t() @ X**2) / n[:, None] - mu**2 + 1e-3
    pi = n / n.sum()
    if step % 4 == 3:
        print(f"step {step} log likelihood {ll.mean():.4f}")
print(pi[order], var[order])
Xc = X - X.mean(dim=0, keepdim=True)
U, S, Vh = torch.linalg.svd(Xc, full_matrices=False)
explained = S**2 / (len(X) - 1)
print(explained, (explained / explained.sum()).cumsum(0))
C = torch.cov(X.T)
evals, evecs = torch.linalg.eigh(C)
print(evals.flip(0), torch.allclose(evecs.T @ C @ evecs, torch.diag(evals), atol=1e-4), torch.corrcoef(X.T)[0, 1])
Z = Xc @ Vh.T[:, :1]
print(((Z @ Vh[:1]) - Xc).pow(2).mean().item(), torch.quantile(X[:, 0], torch.tensor([0.1, 0.5, 0.9])))
