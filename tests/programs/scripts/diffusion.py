import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def linear_beta_schedule(timesteps):
    return torch.linspace(0.0001, 0.02, timesteps)


def cosine_beta_schedule(timesteps, s=0.008):
    x = torch.linspace(0, timesteps, timesteps + 1)
    alphas_cumprod = torch.cos(((x / timesteps) + s) / (1 + s) * torch.pi * 0.5) ** 2
    alphas_cumprod = alphas_cumprod / alphas_cumprod[0]
    return torch.clip(1 - (alphas_cumprod[1:] / alphas_cumprod[:-1]), 0.0001, 0.9999)


def extract(a, t, x_shape):
    out = a.gather(-1, t)
    return out.reshape(t.shape[0], *((1,) * (len(x_shape) - 1)))


class SinusoidalPositionEmbeddings(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half_dim = self.dim // 2
        embeddings = math.log(10000) / (half_dim - 1)
        embeddings = torch.exp(torch.arange(half_dim, device=time.device) * -embeddings)
        embeddings = time[:, None] * embeddings[None, :]
        return torch.cat((embeddings.sin(), embeddings.cos()), dim=-1)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(SinusoidalPositionEmbeddings(8), nn.Linear(8, 4), nn.SiLU())
        self.c1, self.c2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x, t):
        h = self.norm(self.c1(x)) + self.time(t)[:, :, None, None]
        return self.c2(F.silu(h))


T = 20
betas = linear_beta_schedule(T)
print(cosine_beta_schedule(5), betas[-1])
alphas = 1.0 - betas
alphas_cumprod = torch.cumprod(alphas, dim=0)
alphas_cumprod_prev = F.pad(alphas_cumprod[:-1], (1, 0), value=1.0)
posterior_variance = betas * (1.0 - alphas_cumprod_prev) / (1.0 - alphas_cumprod)
model = Denoiser()
for i, p in enumerate(model.parameters()):
    p.data = torch.cos(torch.arange(p.numel()) * 0.9 + i).view(p.shape) * 0.3
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
x0 = torch.sin(torch.arange(4 * 36) / 5).view(4, 1, 6, 6)
for step in range(8):
    t = (torch.arange(4) * 5 + step) % T
    noise = torch.sin(torch.arange(4 * 36) * (3.7 + step)).view(4, 1, 6, 6)
    x_noisy = extract(alphas_cumprod.sqrt(), t, x0.shape) * x0 + extract((1 - alphas_cumprod).sqrt(), t, x0.shape) * noise
    loss = F.smooth_l1_loss(noise, model(x_noisy, t))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 4 == 3:
        print(f"Loss: {loss.item():.4f}")


@torch.no_grad()
def p_sample(x, i):
    t = torch.full((x.shape[0],), i, dtype=torch.long)
    mean = extract(alphas.rsqrt(), t, x.shape) * (x - extract(betas, t, x.shape) * model(x, t) / extract((1 - alphas_cumprod).sqrt(), t, x.shape))
    return mean if i == 0 else mean + extract(posterior_variance.sqrt(), t, x.shape) * torch.cos(x * 9)


x = torch.cos(torch.arange(36.0)).view(1, 1, 6, 6)
for i in reversed(range(3)):
    x = p_sample(x, i)
print(x.mean(), x.std())
