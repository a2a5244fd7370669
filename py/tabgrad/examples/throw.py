"""Physics by gradient: a ball is thrown against the wind, and the derivative of its flight aims.

The simulation is a loop of plain steps. Its gradient says how to turn the hand for the ball to land nearer.
"""

import tabgrad as tg
from tabgrad import optim
from tabgrad.utils import progress

wind = -4.0
target = [9.0, 2.0]
throws = 61

GRAVITY, DRAG = 9.81, 0.15
PARTS, SECONDS = 30, 1.5


def fly(aim: tg.Tensor) -> tg.Tensor:
    """Where the ball is at 31 times: it starts with velocity `aim`, and air takes it along."""
    place, speed = tg.zeros(2), aim
    air, down = tg.tensor([wind, 0.0]), tg.tensor([0.0, -GRAVITY])
    places = [place]
    dt = SECONDS / PARTS
    for _ in range(PARTS):
        speed = speed + dt * (down - DRAG * (speed - air))
        place = place + dt * speed
        places.append(place)
    return tg.stack(places)


aim = tg.tensor([3.0, 9.0], requires_grad=True)
goal = tg.tensor(target)
optimizer = optim.Adam([aim], lr=0.3)


@tg.compile
def throw() -> tuple[tg.Tensor, tg.Tensor]:
    flight = fly(aim)
    miss = ((flight[-1] - goal) ** 2).sum()
    optimizer.zero_grad()
    miss.backward()
    optimizer.step()
    return flight.detach(), miss.detach().sqrt()


flights: list[list[list[float]]] = []
with progress.bar(total=throws, desc="throws") as bar:
    for _ in range(throws):
        flight, miss = throw()
        bar.update()
        if bar.n % 5 == 1:
            flights.append(flight.tolist())
            bar.log(miss=miss.item())
            # Between two flights the line is broken.
            before = [place for f in flights[:-1] for place in [*f, [tg.nan, tg.nan]]]
            drawn = tg.viz.plane(
                (-0.5, 10.5), (-1.5, 5.5), points={"ball": flights[-1], "target": [target]},
                paths={"ball": flights[-1], "earlier throws": before},
            )  # fmt: skip
            progress.show(drawn, place="flight")

vx, vy = aim.tolist()
print(f"thrown with ({vx:.2f}, {vy:.2f}) m/s, the ball misses by {100 * miss.item():.1f} cm")
