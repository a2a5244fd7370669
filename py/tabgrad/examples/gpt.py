"""A small GPT learns, letter by letter, to write numbers in words, and writes while it trains.

It is never told what a letter, a word or a number is. Some numbers are kept from it: can it write those?
"""

from collections.abc import Sequence

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
from tabgrad.utils import progress

rate = 0.01
steps = 160

BATCH, WIDTH, HEADS, LAYERS = 16, 32, 4, 1  # try more
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def words(n: int) -> str:
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + ("-" + ONES[n % 10] if n % 10 else "")
    return ONES[n // 100] + " hundred" + (" " + words(n % 100) if n % 100 else "")


lines = [f"{n}={words(n)}." for n in range(1000)]
LENGTH = max(map(len, lines))
letters = sorted({*"".join(lines), " "})
code = {letter: i for i, letter in enumerate(letters)}
data = tg.tensor([[code[c] for c in line.ljust(LENGTH)] for line in lines])
kept = [n for n in range(1000) if n % 9 != 4]
data = data[kept]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.join = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        n, t, _ = x.shape
        q, k, v = self.join(self.before(x)).reshape(n, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.think(x)


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.letter = nn.Embedding(len(letters), WIDTH)
        self.place = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(letters)))

    def forward(self, codes: tg.Tensor) -> tg.Tensor:
        x = self.letter(codes) + self.place(tg.arange(codes.shape[1]))
        return self.head(self.blocks(x))


tg.manual_seed(0)
model = GPT()
optimizer = optim.AdamW(model.parameters(), lr=rate)


@tg.compile
def step(batch: tg.Tensor) -> tg.Tensor:
    text = data[batch]
    loss = F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


@tg.compile
@tg.no_grad()
def next_letter(text: tg.Tensor, at: tg.Tensor) -> tg.Tensor:
    """Put the likeliest letter into column `at`."""
    guesses = model(text[:, :-1]).argmax(-1)
    found = guesses.gather(1, (at - 1).expand(len(text), 1))
    return tg.where(tg.arange(LENGTH) == at, found, text)


def write(numbers: Sequence[int]) -> list[str]:
    """Let it go on from "365=" and the like."""
    text = tg.tensor([[code[c] for c in f"{n}=".ljust(LENGTH)] for n in numbers])
    for i in range(4, LENGTH):
        text = next_letter(text, tg.tensor([i]))
    written = ["".join(letters[c] for c in row) for row in text.tolist()]
    return [line.partition(".")[0].rstrip() for line in written]


with progress.bar(total=steps, desc="training") as bar:
    for _ in range(steps):
        loss = step(tg.randint(0, len(data), (BATCH,)))
        bar.update()
        if bar.n % 10 == 0:
            bar.log(loss=loss.item())
        if bar.n % 20 == 0:
            print(f"step {bar.n}: {write([364])[0]}")

unseen = range(103, 1000, 36)
written = write(unseen)
right = sum(line == f"{n}={words(n)}" for n, line in zip(unseen, written, strict=True))
print("It never saw these:", *written[::5], sep="\n")
print(f"{right} of {len(unseen)} such numbers are written right")
