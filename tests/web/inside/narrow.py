"""Programs for an engine that can't let Python wait and a GPU with WebGPU's least limits."""

from __future__ import annotations

import math
import random

SHAPE = (70, 90, 50)


def rows(rng, n, m):
    return [[rng.uniform(-1, 1) for _ in range(m)] for _ in range(n)]


def close(got, want, tolerance=1e-4):
    """Whether two lists of lists of numbers are the same to a tolerance."""
    pairs = [(g, w) for a, b in zip(got, want, strict=True) for g, w in zip(a, b, strict=True)]
    assert max(abs(g - w) for g, w in pairs) < tolerance


def raises(kind, words, use):
    """Check that a call raises an error of this kind with these words."""
    try:
        use()
    except kind as error:
        said = str(error)
    else:
        raise AssertionError(f"expected {kind.__name__}")
    assert words in said


async def before_it_is_connected():
    """The first use says how to connect; then the GPU is there, with the limits that the engine gave."""
    from pyodide.ffi import can_run_sync

    import tabgrad as tg
    from tabgrad.hosts import devices

    assert not can_run_sync()
    raises(
        tg.WouldBlockError,
        "connect_async",
        lambda: tg.ones(3, device="webgpu").tolist(),
    )
    where = await devices.connect_async("webgpu")
    hello = where.backend.host.hello
    return {"limits": dict(hello.limits), "features": sorted(hello.features)}


async def blocking_forms():
    """Each way to read a value now names those that can be awaited, and does no harm."""
    import tabgrad as tg

    x = tg.tensor([0.75, 1.25], device="webgpu") * 2  # what was uploaded is known without waiting
    uses = {
        "tolist": x.tolist,
        "item": lambda: x[0].item(),
        "bool": lambda: bool(x[0] > 1),
        "float": lambda: float(x[0]),
        "repr": lambda: print(x),
        "numpy": x.numpy,
        "cpu": x.cpu,
        "synchronize": tg.accelerator.synchronize,
    }
    said = {}
    for name, use in uses.items():
        try:
            said[name] = f"nothing but {use()!r}"
        except tg.WouldBlockError as error:
            said[name] = f"WouldBlockError: {error}"
        except Exception as error:
            said[name] = repr(error)
    assert await (x * 2).tolist_async() == [3.0, 5.0]
    assert await (x.sum()).item_async() == 4.0
    await tg.accelerator.synchronize_async()
    return said


async def training():
    """Steps of Adam, plain and compiled, give the same losses, which fall; one gradient by hand."""
    import tabgrad as tg
    from tabgrad import nn, optim

    x = tg.tensor([1.0, -2.0, 3.0], device="webgpu", requires_grad=True)
    (x**3).sum().backward()
    assert await x.grad.tolist_async() == [3.0, 12.0, 27.0]

    rng = random.Random(0)
    data, target = (tg.tensor(rows(rng, 16, n), device="webgpu") for n in (8, 4))
    losses = []
    for how in (lambda f: f, tg.compile):
        tg.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to("webgpu")
        optimizer = optim.Adam(model.parameters(), lr=0.05)

        @how
        def step(data, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = ((model(data) - target) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        losses.append([await step(data).item_async() for _ in range(6)])
    close([losses[0]], [losses[1]], 1e-5)
    assert losses[0][-1] < 0.7 * losses[0][0], losses[0]


async def large_kernels():
    """Kernels that use all of a workgroup where there is more of it: products, sorts, rows, scans."""
    import tabgrad as tg

    rng = random.Random(1)
    n, k, m = SHAPE
    a, b = rows(rng, n, k), rows(rng, k, m)
    ta, tb = (tg.tensor(v, device="webgpu") for v in (a, b))
    columns = list(zip(*b, strict=True))
    product = [[sum(x * y for x, y in zip(row, c, strict=True)) for c in columns] for row in a]
    close(await (ta @ tb).tolist_async(), product)

    wide = [rng.uniform(-5, 5) for _ in range(3000)]
    x = tg.tensor(wide, device="webgpu")
    values, places = x.sort()
    whole = sorted(await x.tolist_async())
    assert await values.tolist_async() == whole
    assert await x[places].tolist_async() == whole
    total = sum(math.exp(v) for v in wide)
    close([await x.softmax(0).tolist_async()], [[math.exp(v) / total for v in wide]], 1e-7)
    sums = [math.fsum(wide[: i + 1]) for i in range(len(wide))]
    close([await x.cumsum(0).tolist_async()], [sums], 1e-2)
    close([await (ta @ tb).softmax(1).sum(1).tolist_async()], [[1.0] * n])


async def more_than_a_binding():
    """A tensor larger than the largest binding, written whole and read at its ends."""
    import tabgrad as tg

    n = 34_000_000  # 130 MiB
    x = tg.arange(n, device="webgpu", dtype=tg.int32) + 1
    await tg.accelerator.synchronize_async()
    assert tg.accelerator.memory_allocated() > 4 * n
    assert await x[:2].tolist_async() == [1, 2]
    assert await x[-2:].tolist_async() == [n - 1, n]
    assert await x.amax().item_async() == n


async def lost_on_the_way():
    """A device that is lost between two steps is said where it is read; a new one computes."""
    import tabgrad as tg
    from tabgrad.hosts import devices

    x = tg.ones(4, device="webgpu", requires_grad=True)
    for step in range(3):
        loss = (x * (step + 1)).square().sum()
        if step == 1:
            host = tg.device("webgpu").backend.host
            host._bridge.device.destroy()
            await host._bridge.gone
        try:
            loss.backward()
            await x.grad.tolist_async()
        except tg.DeviceLostError as error:
            said = str(error)
            break
    else:
        raise AssertionError("expected DeviceLostError")
    raises(tg.DeviceLostError, "connect_async", lambda: tg.ones(2, device="webgpu") + 1)
    await devices.connect_async("webgpu")
    raises(tg.DeviceLostError, "lost", lambda: x + 1)
    fresh = tg.ones(4, device="webgpu", requires_grad=True)
    (fresh * 3).square().sum().backward()
    assert await fresh.grad.tolist_async() == [18.0] * 4
    return said
