"""Variants of a kernel compile with the engine's compiler, and give the same values.

A case is the number of a variant, which is taken wherever there is a choice.
"""

from __future__ import annotations

from tests.lower.forced import Forced, forced
from tests.web.inside.marks import deadline, each, in_parts


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


def numbers(most):
    """Return what lists the numbers of variants below `most`, as cases."""
    return lambda device: [str(number) for number in range(most)]


@deadline(150)
@in_parts
@each(numbers(10))
async def test_threads_of_rows_and_scans(device, case):
    import tabgrad as tg

    with forced(device, Forced(int(case))) as backend:
        for what, got, want in cases(tg.tensor(ROWS, device=device)):
            assert (await got.tolist_async()) == want, what
        asked = [a for s in backend.plans.values() for a in s.plan.asked.items()]
        threads = [a for q, a in asked if q.startswith("threads")]
    listed = {str(v) for a in threads for v in a.variants()}
    assert {"32", "64", "128", "256"} <= listed
    assert ("64 subgroups" in listed) == ("subgroups" in backend.host.hello.features)
    for a in threads:
        names = [str(v) for v in a.variants()]
        assert a.taken == names[int(case) % len(names)]


def whole(rng, *shape):
    n, m = shape
    return [[float(rng.randrange(-4, 5)) for _ in range(m)] for _ in range(n)]


def times(x, y):
    return [[sum(a * b for a, b in zip(r, c, strict=True)) for c in columns(y)] for r in x]


def tiles(device):
    """The tiles of products."""
    return [str(tile) for tile in all_tiles()]


def all_tiles():
    from tabgrad.lower.shared_tiles import TILES, twice

    return (*TILES, *(twice(t) for t in TILES[3:]))


@deadline(150)
@in_parts
@each(tiles)
async def test_products(device, name):
    """Each tile at sizes that are no multiple of it, operands as they lie and turned."""
    import random

    import tabgrad as tg

    rng = random.Random(1)
    x, y = whole(rng, 37, 20), whole(rng, 20, 70)
    at, tile = next((i, t) for i, t in enumerate(all_tiles()) if str(t) == name)
    with forced(device, Forced(tile=tile)):
        left = tg.tensor(x if at % 2 else columns(x), device=device)
        right = tg.tensor(y if at % 3 else columns(y), device=device)
        got = (left if at % 2 else left.mT) @ (right if at % 3 else right.mT)
        assert (await got.tolist_async()) == times(x, y)


@deadline(150)
@in_parts
@each(numbers(9))
async def test_sorts(device, case):
    import random

    import tabgrad as tg

    rng = random.Random(1)
    row = [float(rng.randrange(-50, 50)) for _ in range(1500)]
    with forced(device, Forced(int(case))):
        got = tg.tensor(row, device=device).argsort(stable=True)
        assert (await got.tolist_async()) == sorted(range(1500), key=row.__getitem__)


def forms(device):
    """The numbers of the forms of attention."""
    from tabgrad.lower.kernels.attention import FORMS

    return [str(number) for number in range(len(FORMS))]


@deadline(150)
@in_parts
@each(forms)
async def test_tiles_of_attention(device, case):
    import math
    import random

    import tabgrad as tg
    from tabgrad.ops.attention import attention

    rng = random.Random(2)
    q, k, v = whole(rng, 19, 10), whole(rng, 21, 10), whole(rng, 21, 7)
    want = []
    for i, scores in enumerate(times(q, columns(k))):
        e = [math.exp(s / 8) if j <= i else 0.0 for j, s in enumerate(scores)]
        want.append([sum(w * a for w, a in zip(e, c, strict=True)) / sum(e) for c in columns(v)])
    with forced(device, Forced(int(case))):
        given = (tg.tensor([m], device=device) for m in (q, k, v))
        got = await attention.bind(*given, causal=True, scale=0.125)[0].tolist_async()
    for a, b in zip(got, want, strict=True):
        assert max(abs(p - r) for p, r in zip(a, b, strict=True)) < 1e-4
