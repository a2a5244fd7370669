"""A neural ODE: a network learns the law of a pendulum from having seen it swing.

It sees angle and speed at some times, with noise, and learns how they change; then it swings on its own.
"""

from collections.abc import Callable

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.utils import progress

rate = 0.02
steps = 200
noise = 0.02

DT, AHEAD, LENGTH = 0.1, 4, 60
tg.manual_seed(0)


def law(p: tg.Tensor) -> tg.Tensor:
    """How angle and speed of a pendulum change, with some friction: what is to be found."""
    angle, speed = p[..., 0], p[..., 1]
    return tg.stack([speed, -2.0 * angle.sin() - 0.15 * speed], dim=-1)


def advance(speed: Callable[[tg.Tensor], tg.Tensor], p: tg.Tensor) -> tg.Tensor:
    """Take a step by the midpoint method: go as it goes half a step ahead."""
    return p + DT * speed(p + DT / 2 * speed(p))


start = tg.tensor([2.6, 0.0])
places = [start]
for _ in range(LENGTH):
    places.append(advance(law, places[-1]))
true = tg.stack(places)
seen = true + noise * tg.randn(LENGTH + 1, 2)

model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = optim.Adam(model.parameters(), lr=rate)


@tg.compile
def step() -> tg.Tensor:
    # From every place that was seen the network goes on, and is compared with what was seen then.
    p, loss = seen[:-AHEAD], tg.tensor(0.0)
    for k in range(1, AHEAD + 1):
        p = advance(model, p)
        loss = loss + ((p - seen[k : len(seen) - AHEAD + k]) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach() / AHEAD


@tg.compile
@tg.no_grad()
def swing() -> tg.Tensor:
    """Go all the way from the start alone."""
    places = [start]
    for _ in range(LENGTH):
        places.append(advance(model, places[-1]))
    return tg.stack(places)


def show() -> None:
    drawn = tg.viz.plane(
        (-3, 3), (-3, 3), points={"seen": seen}, paths={"the network, on its own": swing()}
    )
    progress.show(drawn, place="motion")


with progress.bar(total=steps, desc="training") as bar:
    for _ in range(steps):
        loss = step()
        bar.update()
        if bar.n % 20 == 0:
            bar.log(loss=loss.item())
        if bar.n % 50 == 0:
            show()

away = (swing() - true).norm(dim=1).max().item()
print(f"over {LENGTH} steps its swing is never farther than {away:.2f} from the true one")
