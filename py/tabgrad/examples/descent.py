"""A race downhill: four optimizers start at one place of a curved valley, and each finds its own way.

Plain gradient descent crawls along the floor, momentum swings, Adam and RMSprop scale each axis.
"""

import tabgrad as tg
from tabgrad import optim
from tabgrad.utils import progress

rate = 1.0  # of all, times their own
steps = 200
start = [-1.6, 2.2]


def valley(p: tg.Tensor) -> tg.Tensor:
    """Rosenbrock's function, less steep: the lowest point is (1, 1)."""
    return (1 - p[0]) ** 2 + 10 * (p[1] - p[0] ** 2) ** 2


places = {
    name: tg.tensor(start, requires_grad=True) for name in ("SGD", "momentum", "RMSprop", "Adam")
}
optimizers = [
    optim.SGD([places["SGD"]], lr=0.006 * rate),
    optim.SGD([places["momentum"]], lr=0.003 * rate, momentum=0.9),
    optim.RMSprop([places["RMSprop"]], lr=0.04 * rate),
    optim.Adam([places["Adam"]], lr=0.15 * rate),
]


@tg.compile
def step() -> tg.Tensor:
    for p, optimizer in zip(places.values(), optimizers, strict=True):
        optimizer.zero_grad()
        valley(p).backward()
        optimizer.step()
    return tg.stack([p.detach() for p in places.values()])


drawing = tg.viz.landscape(valley, (-2, 2), (-1, 3), size=36, levels=9)
way = [tg.tensor([start] * 4)]
for k in range(steps):
    way.append(step())
    if (k + 1) % 25 == 0:
        walked = tg.stack(way, dim=1).tolist()  # read once for many steps
        drawing.paths = dict(zip(places, walked, strict=True))
        progress.show(drawing, place="race")

for name, p in sorted(places.items(), key=lambda item: valley(item[1]).item()):
    x, y = p.tolist()
    print(f"{name:9}({x:+.2f}, {y:+.2f}), height {valley(p).item():.5f}")
