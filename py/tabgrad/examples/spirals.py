"""Train a small network to tell two spirals apart, and print where it draws the line.

Runs in the page of tabgrad, and natively: python -m tabgrad.examples.spirals
"""

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
from tabgrad.utils import progress

STEPS = 600
LOG_EVERY = 20
COLUMNS, ROWS = 42, 20

tg.manual_seed(0)

# Two arms of 100 points, each half a turn from the other.
turn = tg.linspace(0.3, 3 * tg.pi, 100)
radius = turn / (3 * tg.pi)
arm = tg.stack([radius * turn.cos(), radius * turn.sin()], dim=1)
points = tg.cat([arm, -arm]) + 0.02 * tg.randn(200, 2)
labels = tg.cat([tg.zeros(100), tg.ones(100)])

model = nn.Sequential(
    nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0)
)
optimizer = optim.Adam(model.parameters(), lr=0.02)


@tg.compile
def step() -> tg.Tensor:
    loss = F.binary_cross_entropy_with_logits(model(points), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


with progress.bar(total=STEPS, desc="training") as bar:
    for _ in range(STEPS):
        loss = step()
        bar.update()
        if bar.n % LOG_EVERY == 0:
            bar.log(loss=loss.item())

with tg.no_grad():
    right = ((model(points) > 0) == (labels > 0.5)).float().mean().item()
    y, x = tg.meshgrid(tg.linspace(1.1, -1.1, ROWS), tg.linspace(-1.1, 1.1, COLUMNS), indexing="ij")
    plane = (model(tg.stack([x.flatten(), y.flatten()], dim=1)) > 0).tolist()

# The plane as the network sees it, and the points of both arms on it.
picture = [["·" if side else " " for side in plane[r * COLUMNS :][:COLUMNS]] for r in range(ROWS)]
for (px, py), label in zip(points.tolist(), labels.tolist(), strict=True):
    column = round((px + 1.1) / 2.2 * (COLUMNS - 1))
    row = round((1.1 - py) / 2.2 * (ROWS - 1))
    picture[row][column] = "×" if label else "o"
print("\n".join("".join(line) for line in picture))
print(f"{right:.1%} of the points lie on their own side")
