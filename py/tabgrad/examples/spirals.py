"""Two spirals: a small network learns to tell them apart, and you see where it draws the line.

Try fewer hidden units, more noise, another rate: when does the line follow the noise?
"""

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
from tabgrad.utils import progress

hidden = 32
noise = 0.02
rate = 0.02
steps = 400
drawn = ""  # points of your own, if you want: "0.5 0.2 0, -0.3 0.1 1"

tg.manual_seed(0)

# Two arms of 100 points, each half a turn from the other.
turn = tg.linspace(0.3, 3 * tg.pi, 100)
radius = turn / (3 * tg.pi)
arm = tg.stack([radius * turn.cos(), radius * turn.sin()], dim=1)
points = tg.cat([arm, -arm]) + noise * tg.randn(200, 2)
labels = tg.cat([tg.ones(100), tg.zeros(100)])
if drawn:
    own = tg.tensor([[float(number) for number in point.split()] for point in drawn.split(",")])
    points, labels = own[:, :2], 1 - own[:, 2]

model = nn.Sequential(
    nn.Linear(2, hidden), nn.Tanh(),
    nn.Linear(hidden, hidden), nn.Tanh(),
    nn.Linear(hidden, 1), nn.Flatten(0),
)  # fmt: skip
optimizer = optim.Adam(model.parameters(), lr=rate)


@tg.compile
def step() -> tg.Tensor:
    loss = F.binary_cross_entropy_with_logits(model(points), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


SIDE = 1.15
across = tg.linspace(-SIDE, SIDE, 40)
y, x = tg.meshgrid(across, across, indexing="ij")
grid = tg.stack([x.flatten(), y.flatten()], dim=1)
arms = {"one kind": points[labels > 0.5], "the other": points[labels < 0.5]}


@tg.no_grad()
def picture() -> tg.viz.Plane:
    """The plane as the network sees it: strong colours where it is sure."""
    sure = 2 * model(grid).sigmoid() - 1
    return tg.viz.plane((-SIDE, SIDE), (-SIDE, SIDE), field=sure.reshape(40, 40), points=arms)


with progress.bar(total=steps, desc="training") as bar:
    for _ in range(steps):
        loss = step()
        bar.update()
        if bar.n % 40 == 0:
            bar.log(loss=loss.item())
            progress.show(picture(), place="plane")

with tg.no_grad():
    right = ((model(points) > 0) == (labels > 0.5)).float().mean().item()
print(f"{right:.1%} of the points lie on their own side")
