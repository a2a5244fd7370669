"""A small network learns a wave while you watch; the rate can be moved meanwhile."""

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.utils import progress

rate = 0.01
waves = 2
STEPS = 400
SHOW_EVERY = 20

tg.manual_seed(0)
x = tg.linspace(-1, 1, 80)[:, None]
y = tg.sin(tg.pi * waves * x) * 0.8
model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = optim.Adam(model.parameters(), lr=rate)


class Curves:
    """What is to be learned, and what is learned so far."""

    def __init__(self, wanted: list[float], learned: list[float]) -> None:
        self.wanted, self.learned = wanted, learned

    def _repr_svg_(self) -> str:
        def line(values: list[float]) -> str:
            last = len(values) - 1
            return " ".join(f"{2 * i / last - 1:.3f},{-v:.3f}" for i, v in enumerate(values))

        return (
            '<svg viewBox="-1.02 -1.05 2.04 2.1" width="420" height="220" preserveAspectRatio="none" '
            'role="img" aria-label="wave and network" fill="none" stroke-width="2">'
            f'<polyline points="{line(self.wanted)}" stroke="currentColor" stroke-opacity="0.35" '
            'vector-effect="non-scaling-stroke"/>'
            f'<polyline points="{line(self.learned)}" stroke="#2563d9" '
            'vector-effect="non-scaling-stroke"/></svg>'
        )


@tg.compile
def step(lr: float) -> tuple[tg.Tensor, tg.Tensor]:
    guess = model(x)
    loss = ((guess - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.param_groups[0]["lr"] = lr
    optimizer.step()
    return loss.detach(), guess.detach()


wanted = y.flatten().tolist()
with progress.bar(total=STEPS, desc="training") as bar:
    for _ in range(STEPS):
        loss, guess = step(rate)
        bar.update()
        if bar.n % SHOW_EVERY == 0:
            bar.log(loss=loss.item())
            progress.show(Curves(wanted, guess.flatten().tolist()), place="curves")
