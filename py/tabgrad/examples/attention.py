"""Attention finds where to look: one layer learns to write a word backwards, and its map shows how.

Nobody tells it that the first letter out is the last letter in. The map turns from grey to a diagonal.
"""

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
from tabgrad.utils import progress

rate = 0.004
steps = 120

LENGTH, WIDTH, LETTERS = 8, 32, 26
tg.manual_seed(0)


class Reverser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.letter = nn.Embedding(LETTERS, WIDTH)
        self.place = nn.Embedding(LENGTH, WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, LETTERS)

    def forward(self, words: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        x = self.letter(words) + self.place(tg.arange(LENGTH))
        scores = self.query(x) @ self.key(x).mT / WIDTH**0.5
        weights = scores.softmax(-1)
        return self.out(weights @ self.value(x)), weights


model = Reverser()
optimizer = optim.Adam(model.parameters(), lr=rate)


@tg.compile
def step() -> tg.Tensor:
    words = tg.randint(0, LETTERS, (64, LENGTH))
    guesses, _ = model(words)
    loss = F.cross_entropy(guesses.flatten(0, 1), words.flip(1).flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


word = "tabgrads"
codes = tg.tensor([[ord(letter) - ord("a") for letter in word]])


@tg.no_grad()
def look() -> str:
    """Show where each place of the answer looks; returns the answer."""
    guesses, weights = model(codes)
    said = "".join(chr(ord("a") + code) for code in guesses[0].argmax(-1).tolist())
    progress.show(tg.viz.attention(weights[0], list(said), list(word)), place="map")
    return said


with progress.bar(total=steps, desc="training") as bar:
    for _ in range(steps):
        loss = step()
        bar.update()
        if bar.n % 15 == 0:
            bar.log(loss=loss.item())
            print(f"step {bar.n:3}: {word} becomes {look()}")
