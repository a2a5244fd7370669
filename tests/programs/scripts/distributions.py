import math

import torch
from torch.distributions import (
    Beta, Bernoulli, Categorical, Dirichlet, Exponential, Gamma, Independent, Laplace, MixtureSameFamily,
    MultivariateNormal, Normal, Poisson, TransformedDistribution, Uniform, kl_divergence,
)
from torch.distributions.binomial import Binomial
from torch.distributions.multinomial import Multinomial
from torch.distributions.transforms import AffineTransform, ExpTransform, SigmoidTransform, TanhTransform

x = torch.tensor([0.2, 0.5, 0.7])
for d in (
    Normal(torch.tensor([0.0, 1.0, 2.0]), 0.5), Uniform(0.0, 1.0), Beta(2.0, 3.0), Exponential(1.5), Gamma(2.0, 3.0),
    Laplace(0.0, 1.0), Bernoulli(0.3),
):
    v = (x > 0.4).float() if isinstance(d, Bernoulli) else x
    print(type(d).__name__, d.log_prob(v), d.entropy().sum().item(), d.mean.sum().item(), d.batch_shape)
print(Categorical(logits=x).log_prob(torch.tensor([0, 2])), Poisson(3.0).log_prob(torch.tensor(2.0)).exp())
print(Multinomial(5, probs=x).log_prob(torch.tensor([1.0, 2.0, 2.0])), Binomial(4, 0.5).log_prob(torch.tensor(2.0)))
print(Dirichlet(torch.tensor([1.0, 2.0, 3.0])).log_prob(x / x.sum()))
mu, log_std = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(3))
prior = Independent(Normal(torch.ones(3), torch.full((3,), 2.0)), 1)
opt = torch.optim.Adam([mu, log_std], lr=0.1)
for step in range(30):
    opt.zero_grad()
    q = Independent(Normal(mu, log_std.exp()), 1)
    loss = kl_divergence(q, prior)
    loss.backward()
    opt.step()
print(f"{loss.item():.4f}", mu.data, log_std.data)
gmm = MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), Normal(torch.tensor([-1.0, 2.0]), torch.tensor([0.5, 1.0])))
print(gmm.log_prob(x), gmm.mean, gmm.variance)
cov = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
mvn = MultivariateNormal(torch.zeros(2), covariance_matrix=cov)
print(mvn.log_prob(torch.tensor([0.3, -0.2])), mvn.entropy(), mvn.scale_tril)
squashed = TransformedDistribution(Normal(torch.zeros(1), torch.ones(1)), [TanhTransform(cache_size=1), AffineTransform(1.0, 2.0)])
print(squashed.log_prob(torch.tensor([1.5])), TransformedDistribution(Normal(0.0, 1.0), ExpTransform()).log_prob(x))
s = Normal(mu, 1.0).rsample((2000,))
print(s.shape, s.requires_grad, bool((s.mean(0) - mu).abs().max() < 0.2), kl_divergence(Bernoulli(0.3), Bernoulli(0.6)))
