"""A device that is lost in the tab, at any point: DeviceLostError at once, then the same bits on a new one."""

from __future__ import annotations

import asyncio

from tests.web.inside.marks import each, in_parts, main_thread, numpy_only

SKIPPED_IN = {
    "firefox": "Firefox tells of a lost device some time after it, and until then of invalid buffers"
}
shared = {}


def training(device):
    """One that the points share: each leaves it in order."""
    from tests.device.losses import Training

    t = shared.pop("training", None)
    if t is None:
        t = Training(device, small=True)
        t.begin()
    return t


async def told():
    """Lose the device, and let the browser say so before Python asks for anything."""
    import tabgrad as tg
    from tests.device import losses

    host = tg.device("webgpu").backend.host
    losses.lose()
    await host._bridge.gone
    assert host.lost


async def while_read(t):
    reading = asyncio.ensure_future((t.x * 3).tolist_async())
    await asyncio.sleep(0)
    await told()
    await reading


async def told_while_idle(t):
    await told()
    (t.x + 1).tolist()


async def told_half_recorded(t):
    z = (t.x * 2).cumsum(1)
    await told()
    (z @ z.T).sum().item()


async def told_with_uploads(t):
    import tabgrad as tg

    x = tg.tensor(t.data[0], device=t.device)
    await told()
    (t.compiled() + x).tolist()


async def told_before_backward(t):
    loss = (t.net(t.x) ** 2).mean()
    await told()
    loss.backward()
    t.last.grad.tolist()


async def told_before_step(t):
    (t.net(t.x) ** 2).mean().backward()
    await told()
    t.opt.step()
    t.bits()


async def told_before_compiled(t):
    await told()
    t.compiled().item()


async def while_waiting_for_all(t):
    import tabgrad as tg

    t.compiled()
    waiting = asyncio.ensure_future(tg.accelerator.synchronize_async())
    await asyncio.sleep(0)
    await told()
    await waiting


async def many_reads(t):
    """Each read that waits hears of it."""
    from tests.device.losses import check_raises

    reads = [asyncio.ensure_future((t.x * i).sum().item_async()) for i in range(5)]
    await asyncio.sleep(0)
    await told()
    for said in await asyncio.gather(*reads, return_exceptions=True):
        check_raises(lambda said=said: raised(said))
    t.x.tolist()


async def closed(t):
    import tabgrad as tg

    tg.device(t.device).backend.host.close()
    (t.x * 3).tolist()


def raised(answer):
    if isinstance(answer, BaseException):
        raise answer
    return answer


AWAITED = {
    f.__name__: f
    for f in (
        while_read, told_while_idle, told_half_recorded, told_with_uploads, told_before_backward,
        told_before_step, told_before_compiled, while_waiting_for_all, many_reads, closed,
    )
}  # fmt: skip


def points(device):
    from tests.device.losses import POINTS

    return [*POINTS, *AWAITED]


@in_parts
@each(points)
async def test_it_says_so_and_training_goes_on(device, name):
    from pyodide.ffi import run_sync

    from tests.device.losses import POINTS

    t = training(device)
    awaited = AWAITED.get(name)
    t.check_loss(POINTS[name] if awaited is None else lambda t: run_sync(awaited(t)))
    shared["training"] = t


@main_thread
async def test_uses_of_what_is_gone(device):
    """Each kind of use, beside a new device; what failed is named."""
    import tabgrad as tg
    from tests.device import losses, remains

    old = remains.Old(device)
    losses.lose()
    losses.check_raises(lambda: old.x.tolist())
    wrong = {}
    for name, use in remains.USES.items():
        try:
            losses.check_raises(lambda use=use: use(old))
        except Exception as error:
            wrong[name] = repr(error)
        tg.device(device).backend  # noqa: B018 (connects)
    for name, use in remains.HARMLESS.items():
        try:
            use(old)
        except Exception as error:
            wrong[name] = repr(error)
    assert not wrong, wrong


@each(lambda device: ["connected", "not connected"])
async def test_reads_that_are_awaited(device, how):
    import tabgrad as tg
    from tests.device import losses

    x = tg.arange(3.0, device=device).exp()  # which is not known without the device
    first = x[0]
    losses.lose()
    losses.check_raises(lambda: x.tolist())
    if how == "connected":
        assert tg.zeros(1, device=device).exp().item() == 1
    for read in (x.tolist_async, first.item_async, x.numpy_async):
        try:
            await read()
        except tg.DeviceLostError:
            continue
        raise AssertionError(f"{read.__name__}: expected DeviceLostError")


@each(lambda device: ["fill_", "copy_", "out", "random numbers"])
async def test_a_tensor_that_is_written_whole_is_there_again(device, name):
    from tests.device import remains

    remains.check_write(device, remains.WRITES[name])


@numpy_only
async def test_arrays_of_what_is_gone(device):
    import numpy as np

    import tabgrad as tg
    from tests.device import losses

    x = tg.arange(3.0, device="webgpu").exp()
    for read in (
        lambda: x.numpy(),
        lambda: np.asarray(x),
        lambda: np.add(x, 1),
        lambda: x.to("cpu"),
    ):
        losses.lose()
        losses.check_raises(read)
        losses.check_raises(read)


async def test_where_python_cannot_wait_it_is_said_too(device):
    """In a plain call from JavaScript no new device can be made: the error tells of the loss and the way."""
    import js
    from pyodide.ffi import create_proxy

    import tabgrad as tg
    from tabgrad.hosts import devices
    from tests.device import losses

    x = tg.arange(3.0, device=device).exp()
    losses.lose()
    losses.check_raises(lambda: x.tolist())
    caught = []

    def plain():
        for use in (lambda: x + 1, lambda: x.tolist(), lambda: tg.ones(2, device=device) + 1):
            try:
                use()
            except BaseException as error:
                caught.append(error)

    proxy = create_proxy(plain)
    js.Reflect.apply(proxy, None, js.Array.new())
    proxy.destroy()
    assert [type(e) for e in caught] == [tg.DeviceLostError] * 3, caught
    assert "devices.connect_async" in str(caught[0])
    await devices.connect_async(device)
    losses.check_raises(lambda: x + 1)
    assert (tg.ones(2, device=device) + 1).tolist() == [2, 2]


async def test_where_there_is_no_other_device_it_is_said_too(device):
    """After a crash or two of the GPU's process Chromium offers no adapter any more."""
    import js
    from pyodide.code import run_js

    import tabgrad as tg
    from tests.device import losses

    x = tg.arange(3.0, device=device).exp()
    losses.lose()
    losses.check_raises(lambda: x.tolist())
    run_js("navigator.gpu.requestAdapter = async () => null")
    try:
        for use in (lambda: x + 1, lambda: x.tolist(), lambda: tg.ones(2, device=device) + 1):
            try:
                use()
            except tg.DeviceLostError as error:
                said = str(error)
            else:
                raise AssertionError("expected DeviceLostError")
            assert "no adapter" in said
            assert "device 'cpu'" in said
    finally:
        js.Reflect.deleteProperty(js.navigator.gpu, "requestAdapter")
    losses.check_raises(lambda: x + 1)
    assert (tg.ones(2, device=device) + 1).tolist() == [2, 2]
