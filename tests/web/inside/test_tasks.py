"""Tasks of one event loop side by side: they share the device, from its first use on."""

from __future__ import annotations

import asyncio

from tests.web.inside.marks import alone

TASKS = 12


async def awaited(device: str, k: int) -> list[float]:
    import tabgrad as tg

    x = tg.arange(4.0, device=device) + k
    for _ in range(3):
        x = tg.tensor(await (x * 2).tolist_async(), device=device)
    return await x.tolist_async()


async def blocking(device: str, k: int) -> list[float]:
    import tabgrad as tg

    x = tg.arange(4.0, device=device) + k
    for _ in range(3):
        x = tg.tensor((x * 2).tolist(), device=device)
        await asyncio.sleep(0)
    return x.tolist()


@alone
async def test_the_first_use_of_a_device_by_several_tasks(device):
    import tabgrad as tg

    async def first() -> tg.hosts.backend.Backend:
        return tg.device(device).backend

    assert len(set(await asyncio.gather(*(first() for _ in range(TASKS))))) == 1


async def test_tasks_that_block_among_others(device):
    runs = [f(device, k) for k in range(TASKS) for f in (awaited, blocking)]
    found = await asyncio.gather(*runs)
    assert found == [[8.0 * (i + k) for i in range(4)] for k in range(TASKS) for _ in range(2)]
