"""Diffusion in the plane: a network learns to take noise away, and noise becomes a shape.

Trained on points of a heart with noise added, it tells from any place which way the shape lies.
"""

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.utils import progress

rate = 0.004
steps = 600
levels = 30  # of noise

BATCH, COUNT = 256, 400
tg.manual_seed(0)


def heart(count: int) -> tg.Tensor:
    """Points on the outline of a heart."""
    t = 2 * tg.pi * tg.rand(count)
    x = 16 * t.sin() ** 3
    y = 13 * t.cos() - 5 * (2 * t).cos() - 2 * (3 * t).cos() - (4 * t).cos()
    return tg.stack([x, y + 2.5], dim=1) / 11


# Noise grows from level to level, by equal factors.
sigmas = tg.logspace(1.7, -3.5, levels, base=tg.e)
model = nn.Sequential(
    nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(),
    nn.Linear(64, 2),
)  # fmt: skip
optimizer = optim.Adam(model.parameters(), lr=rate)


def clean(points: tg.Tensor, sigma: tg.Tensor) -> tg.Tensor:
    """Return where the points would be without noise, as the network thinks."""
    far = (1 + sigma**2).sqrt()
    seen = tg.cat([points / far, sigma.log() / 4], dim=1)
    return points / far**2 + sigma / far * model(seen)


@tg.compile
def step() -> tg.Tensor:
    points = heart(BATCH)
    sigma = (5.2 * tg.rand(BATCH, 1) - 3.5).exp()
    found = clean(points + sigma * tg.randn(BATCH, 2), sigma)
    loss = ((found - points) ** 2 * (1 + 1 / sigma**2)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


with progress.bar(total=steps, desc="training") as bar:
    for _ in range(steps):
        loss = step()
        bar.update()
        if bar.n % 50 == 0:
            bar.log(loss=loss.item())


@tg.compile
@tg.no_grad()
def calm(points: tg.Tensor, sigma: tg.Tensor, less: tg.Tensor) -> tg.Tensor:
    """Go from one level of noise to a lower one: towards where the points would be without any."""
    found = clean(points, sigma.expand(COUNT, 1))
    return found + less / sigma * (points - found)


points = sigmas[0] * tg.randn(COUNT, 2)
for k in range(len(sigmas) - 1):
    points = calm(points, sigmas[k], sigmas[k + 1])
    if k % 4 == 0 or k == len(sigmas) - 2:
        progress.show(tg.viz.plane((-2, 2), (-2, 2), points={"": points}), place="points")

# How far is each point from the nearest of many on the true outline?
away = tg.cdist(points, heart(2000)).min(dim=1).values
print(f"half of the points lie within {away.median().item():.3f} of the outline")
