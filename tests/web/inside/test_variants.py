"""Variants of a kernel compile with the engine's compiler, and give the same values."""

from __future__ import annotations

from tests.lower.forced import Forced, forced
from tests.web.inside.marks import alone, deadline


def columns(rows):
    return [list(c) for c in zip(*rows, strict=True)]


def running(row):
    out = []
    for v in row:
        out.append(v + (out[-1] if out else 0.0))
    return out


ROWS = [[float((7 * i + 5 * j + i * j) % 23 - 11) for j in range(301)] for i in range(67)]


def cases(x):
    """List calls whose results are whole numbers, with what they are."""
    return (
        ("sum of rows", x.sum(1), [sum(r) for r in ROWS]),
        ("sum of columns", x.sum(0), [sum(c) for c in columns(ROWS)]),
        ("the greatest", x.amax(1), [max(r) for r in ROWS]),
        ("its place", x.argmax(1), [r.index(max(r)) for r in ROWS]),
        ("integers", x.int().amin(0), [min(c) for c in columns(ROWS)]),
        ("any", (x > 10).any(1), [max(r) > 10 for r in ROWS]),
        ("running sum", x.cumsum(1), [running(r) for r in ROWS]),
    )


@alone
@deadline(300)
async def test_threads_of_rows_and_scans(device):
    import tabgrad as tg

    taken = set()
    for number in range(10):
        with forced(device, Forced(number)) as backend:
            for what, got, want in cases(tg.tensor(ROWS, device=device)):
                assert (await got.tolist_async()) == want, (number, what)
            asked = [a for s in backend.plans.values() for a in s.plan.asked.items()]
            taken |= {a.taken for q, a in asked if q.startswith("threads")}
    subgroups = "subgroups" in backend.host.hello.features
    assert ("64 subgroups" in taken) == subgroups
    assert {"32", "64", "128", "256"} <= taken


def whole(rng, *shape):
    n, m = shape
    return [[float(rng.randrange(-4, 5)) for _ in range(m)] for _ in range(n)]


def times(x, y):
    return [[sum(a * b for a, b in zip(r, c, strict=True)) for c in columns(y)] for r in x]


@alone
@deadline(500)
async def test_products_and_sorts(device):
    """Each tile at sizes that are no multiple of it, operands as they lie and turned; each kind of sort."""
    import random

    import tabgrad as tg
    from tabgrad.lower.shared_tiles import TILES, twice

    rng = random.Random(1)
    x, y = whole(rng, 37, 20), whole(rng, 20, 70)
    want = times(x, y)
    for at, tile in enumerate((*TILES, *(twice(t) for t in TILES[3:]))):
        with forced(device, Forced(tile=tile)):
            left = tg.tensor(x if at % 2 else columns(x), device=device)
            right = tg.tensor(y if at % 3 else columns(y), device=device)
            got = (left if at % 2 else left.mT) @ (right if at % 3 else right.mT)
            assert (await got.tolist_async()) == want, str(tile)
    row = [float(rng.randrange(-50, 50)) for _ in range(1500)]
    want = sorted(range(1500), key=row.__getitem__)
    for number in range(9):
        with forced(device, Forced(number)):
            got = tg.tensor(row, device=device).argsort(stable=True)
            assert (await got.tolist_async()) == want, number


@alone
@deadline(300)
async def test_tiles_of_attention(device):
    import math
    import random

    import tabgrad as tg
    from tabgrad.lower.kernels.attention import FORMS
    from tabgrad.ops.attention import attention

    rng = random.Random(2)
    q, k, v = whole(rng, 19, 10), whole(rng, 21, 10), whole(rng, 21, 7)
    want = []
    for i, scores in enumerate(times(q, columns(k))):
        e = [math.exp(s / 8) if j <= i else 0.0 for j, s in enumerate(scores)]
        want.append([sum(w * a for w, a in zip(e, c, strict=True)) / sum(e) for c in columns(v)])
    for number in range(len(FORMS)):
        with forced(device, Forced(number)):
            given = (tg.tensor([m], device=device) for m in (q, k, v))
            got = await attention.bind(*given, causal=True, scale=0.125)[0].tolist_async()
            for a, b in zip(got, want, strict=True):
                assert max(abs(p - r) for p, r in zip(a, b, strict=True)) < 1e-4, number
