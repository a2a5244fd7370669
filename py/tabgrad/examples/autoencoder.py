"""An autoencoder squeezes pictures of digits into two numbers, and makes pictures of them again.

Each picture becomes a point, alike ones lie together. Walk through the plane: what does the decoder see?
"""

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
from tabgrad.examples import load_digits
from tabgrad.utils import progress

rate = 0.01
steps = 400
across = 0.0  # a place to look at, from -1 to 1
up = 0.0

tg.manual_seed(0)
images, labels = load_digits()
pixels = images.flatten(1)

usual = pixels.mean(0)

encoder = nn.Sequential(
    nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 32), nn.SiLU(), nn.Linear(32, 2), nn.Softsign()
)
decoder = nn.Sequential(
    nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64)
)
optimizer = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=rate)


def encode(x: tg.Tensor) -> tg.Tensor:
    return encoder(2 * (x - usual))


def decode(place: tg.Tensor) -> tg.Tensor:
    return usual + decoder(4 * place)


@tg.compile
def step(batch: tg.Tensor) -> tg.Tensor:
    x = pixels[batch]
    loss = F.mse_loss(decode(encode(x)), x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


digits = labels.tolist()


@tg.no_grad()
def show_map() -> None:
    """Every fourth picture as a point in the colour of its digit; the network never saw the labels."""
    places = encode(pixels[::4]).tolist()
    by_digit = {
        str(d): [p for p, digit in zip(places, digits[::4], strict=True) if digit == d]
        for d in range(10)
    }
    progress.show(tg.viz.plane((-1.05, 1.05), (-1.05, 1.05), points=by_digit), place="map")


@tg.no_grad()
def show_walk() -> None:
    """What the decoder makes of places all over the plane."""
    at = tg.linspace(-0.95, 0.95, 9)
    y, x = tg.meshgrid(-at, at, indexing="ij")
    drawn = decode(tg.stack([x.flatten(), y.flatten()], dim=1))
    progress.show(tg.viz.image(drawn.clamp(0, 1).reshape(81, 1, 8, 8), columns=9), place="walk")


@tg.no_grad()
def look() -> None:
    """What it makes of one place."""
    drawn = decode(tg.tensor([[float(across), float(up)]]))
    progress.show(tg.viz.image(drawn.clamp(0, 1).reshape(8, 8)), place="look")


with progress.bar(total=steps, desc="training") as bar:
    for _ in range(steps):
        loss = step(tg.randint(0, len(pixels), (128,)))
        bar.update()
        if bar.n % 50 == 0:
            bar.log(loss=loss.item())
            show_map()

show_walk()
look()
with tg.no_grad():
    error = F.mse_loss(decode(encode(pixels)), pixels).item()
    plain = F.mse_loss(usual.expand_as(pixels), pixels).item()
print(f"two numbers tell {1 - error / plain:.0%} of what makes one picture differ from another")
