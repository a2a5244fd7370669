"""Write the pictures of the pages: `python docs/pictures.py`. Each is what a program on a page draws."""

from __future__ import annotations

import pathlib
import re

import tabgrad as tg
from tabgrad import nn
from tabgrad.examples.settings import compiled
from tabgrad.utils import progress

HERE = pathlib.Path(__file__).parent
LIGHT_AND_DARK = "<style>svg{color:#111}@media(prefers-color-scheme:dark){svg{color:#eee}}</style>"
"""A picture in a file has no text around it whose colour it could take."""


def picture(name: str, drawing: tg.viz.Drawing, svg: str | None = None) -> None:
    """Write a drawing beside the pages."""
    drawn = drawing.svg() if svg is None else svg
    text = re.sub(r"(<svg[^>]*>)", lambda m: m.group(1) + LIGHT_AND_DARK, drawn, count=1)
    (HERE / f"{name}.svg").write_text(text + "\n", "utf-8")


def small() -> None:
    """Draw a neuron, its backward pass, and a network by modules."""
    w = tg.tensor([0.5, -1.0], requires_grad=True, device="cpu")
    b = tg.tensor(0.25, requires_grad=True, device="cpu")
    x = tg.tensor([2.0, 1.0], device="cpu")
    loss = ((w * x).sum() + b).tanh()
    passed = tg.viz.steps(loss, names={"w": w, "b": b})
    picture("steps", passed, passed.svg(3))
    net = nn.Sequential(
        nn.Linear(4, 8, device="cpu"), nn.Tanh(), nn.Sequential(nn.Linear(8, 8, device="cpu"), nn.ReLU()),
        nn.Linear(8, 1, device="cpu"),
    )  # fmt: skip
    picture("modules", tg.viz.graph(net, tg.ones(2, 4, device="cpu")).collapsed())
    net(tg.rand(16, 4, device="cpu")).square().mean().backward()
    picture("flow", tg.viz.flow(net))


def maps() -> None:
    """Draw a landscape with optimizers on it, pictures, and attention."""

    def valley(p: tg.Tensor) -> tg.Tensor:
        return (1 - p[0]) ** 2 + 20 * (p[1] - p[0] ** 2) ** 2

    picture(
        "landscape",
        tg.viz.landscape(
            valley, (-2, 2), (-1, 3), start=(-1.5, 2.5), steps=60, size=40, device="cpu",
            optimizers={
                "SGD": lambda p: tg.optim.SGD(p, lr=0.004),
                "momentum": lambda p: tg.optim.SGD(p, lr=0.002, momentum=0.9),
                "Adam": lambda p: tg.optim.Adam(p, lr=0.15),
            },
        ),
    )  # fmt: skip
    at = tg.linspace(-1, 1, 24, device="cpu")
    waves = [tg.sin(at[:, None] * k + at[None, :] * (6 - k)) for k in range(1, 9)]
    picture("image", tg.viz.image(tg.stack(waves)[:, None], columns=4))
    words = "the cat sat on the mat".split()
    scores = tg.tensor(
        [[float(j - i) if j <= i else -9.0 for j in range(6)] for i in range(6)], device="cpu"
    )
    weights = tg.stack([tg.softmax(scores * s, -1) for s in (0.6, -0.6)])
    picture("attention", tg.viz.attention(weights, words))
    picture("lines", tg.viz.show({"loss": [2.3 * 0.9**k + 0.05 * (k % 3) for k in range(40)]}))


def gallery() -> None:
    """Draw what programs of the gallery show last."""
    tg.set_default_device("cpu")
    for name, place in (
        ("spirals", "plane"),
        ("throw", "flight"),
        ("ode", "motion"),
        ("diffusion", "points"),
    ):
        shown: dict[str, tg.viz.Drawing] = {}
        progress.set_sink(
            lambda e, shown=shown: shown.update({e["place"]: e["value"]}) if e["event"] == "show" else None
        )  # fmt: skip
        exec(compiled(name, {}), {"__name__": "__main__"})
        picture(f"gallery-{name}", shown[place])
    progress.set_sink(None)


if __name__ == "__main__":
    tg.manual_seed(0)
    small()
    maps()
    gallery()
