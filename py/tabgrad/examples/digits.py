"""Train a small convolutional network to read handwritten digits.

The page of tabgrad opens with this file. It runs natively as it stands:

    python -m tabgrad.examples.digits --device webgpu
"""

import argparse
from typing import NamedTuple

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
from tabgrad.examples import load_digits
from tabgrad.utils import progress

BATCH = 32
LOG_EVERY = 10  # reading a value makes the GPU wait


class Trained(NamedTuple):
    model: nn.Module
    losses: list[float]  # of every LOG_EVERY-th step
    accuracies: list[float]  # on the held-out digits, after every epoch


def make_model() -> nn.Module:
    # Smooth activations: a kink would turn rounding into another curve on another device.
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def train(epochs: int = 20, seed: int = 0) -> Trained:
    tg.manual_seed(seed)
    images, labels = load_digits()
    held_out_images, held_out_labels = images[::5], labels[::5]
    kept = [i for i in range(len(images)) if i % 5]
    images, labels = images[kept], labels[kept]

    model = make_model()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)

    @tg.compile
    def step(batch: tg.Tensor) -> tg.Tensor:
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    @tg.no_grad()
    def accuracy() -> float:
        guesses = model(held_out_images).argmax(1)
        return (guesses == held_out_labels).float().mean().item()

    steps = len(images) // BATCH  # the short batch at the end of an epoch is left out
    losses: list[float] = []
    accuracies: list[float] = []
    with progress.bar(total=epochs * steps, desc="training") as bar:
        for _ in range(epochs):
            order = tg.randperm(len(images))
            for batch in order[: steps * BATCH].split(BATCH):
                loss = step(batch)
                bar.update()
                if bar.n % LOG_EVERY == 0:
                    losses.append(loss.item())
                    bar.log(loss=losses[-1])
            accuracies.append(accuracy())
            bar.log(held_out_accuracy=accuracies[-1])
    return Trained(model, losses, accuracies)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn to read handwritten digits.")
    parser.add_argument("--device", help="webgpu, cuda or cpu (default: the GPU, if there is one)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.device:
        tg.set_default_device(options.device)

    model, _, accuracies = train(options.epochs, options.seed)
    print(f"{accuracies[-1]:.1%} of the held-out digits are read correctly")

    @tg.no_grad()
    def predict(pixels: list[float]) -> list[float]:
        return model(tg.tensor(pixels).reshape(1, 1, 8, 8)).softmax(1)[0].tolist()

    progress.publish(predict=predict)  # the page lets you draw digits for it


if __name__ == "__main__":
    main()
