"""Variants of kernels are timed in a tab while nobody waits, and the fastest is kept in its database."""

from __future__ import annotations

from tests.web.inside.marks import alone, deadline


def clock(probe, fast):
    """Let the clock of the adapter show that one variant is faster than all others."""
    from array import array

    real, timed = probe.host.read_async, []

    async def read(token, timeout):
        data = await real(token, timeout)
        if token not in probe.tokens[:2]:
            return data
        name = probe.trial.name if token in probe.tokens[1:2] else ""
        timed.append(name)
        each = 1000 if name == fast else 4000
        return array("Q", [t for k in range(len(data) // 16) for t in (0, each)]).tobytes()

    probe.host.read_async = read
    return timed


@alone
@deadline(240)
async def test_the_fastest_variant_is_taken_and_kept(device):
    import asyncio
    import json

    import tabgrad as tg
    from tabgrad.hosts import devices, kept_answers, probing
    from tabgrad.hosts.replay import HOT
    from tabgrad.lower import tiles

    question = "product float32 1 32 32 32 --"
    tiles.MOST = 2
    probing.SECONDS = 60.0
    tg.backends.webgpu.benchmark = True
    backend = tg.device(device).backend
    backend.known = None
    rows = [[float(i + j) for j in range(24)] for i in range(20)]
    x = tg.tensor(rows, device=device)
    want = [[sum(a * b for a, b in zip(r, s, strict=True)) for s in rows] for r in rows]

    async def run(times):
        for _ in range(times):
            assert (await (x @ x.mT).tolist_async()) == want

    def taken():
        plans = list(backend.plans.values())
        return plans[-1].plan.asked[question].taken if plans else ""

    await run(1)
    names = list(backend.plans.values())[-1].plan.asked[question].names()
    assert len(names) == 2
    probe = backend.probe = probing.Probe(backend)
    timed = clock(probe, names[1])
    await run(HOT - 2)
    assert timed == []
    for _ in range(100):
        await run(1)
        await asyncio.sleep(0.01)
        if taken() == names[1]:
            break
    assert taken() == names[1]
    assert probe.spent > 0
    assert "(measured)" in str(tg.compiler.explain(x @ x.mT))
    adapter = kept_answers.name(backend.host.hello.adapter)
    assert json.loads(backend.host.kept)[adapter] == {question: names[1]}
    import js

    if not hasattr(js, "indexedDB"):  # Deno and Node keep nothing
        return
    # another device of the same adapter, as in the next session
    await asyncio.sleep(0.3)
    before = len(timed)
    backend.host.close()
    tg.device(device)._backend = None
    await devices.connect_async("webgpu")
    backend = tg.device(device).backend
    assert kept_answers.load(backend.host)[question] == names[1]
    x = tg.tensor(rows, device=device)
    await run(3)
    assert taken() == names[1]
    assert len(timed) == before


@alone
@deadline(120)
async def test_times_are_real(device):
    """The adapter's own clock: some variant is chosen, and the numbers stay right."""
    import asyncio

    import tabgrad as tg
    from tabgrad.hosts import probing
    from tabgrad.lower import tiles

    tiles.MOST = 2
    probing.SECONDS = 60.0
    tg.backends.webgpu.benchmark = True
    backend = tg.device(device).backend
    x = tg.tensor([[1.0] * 60] * 60, device=device)
    for _ in range(200):
        assert (await (x @ x).sum().item_async()) == 60**3
        await asyncio.sleep(0.01)
        if backend.choices.answers:
            break
    assert backend.probe.over is False
    assert list(backend.choices.answers) == ["product float32 1 64 64 64 --"]
