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
