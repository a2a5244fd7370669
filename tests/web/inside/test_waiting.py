"""Pipelines are compiled in the background: what does not need one that is held back goes on."""

from __future__ import annotations

from contextlib import contextmanager

from tests.web.inside.marks import alone, main_thread

HOLD = """(device) => {
  const compile = device.createComputePipelineAsync;
  const gate = {};
  const opened = new Promise((resolve) => { gate.open = resolve; });
  gate.held = 0;
  device.createComputePipelineAsync = async function (descriptor) {
    gate.held++;
    await opened;
    return compile.call(this, descriptor);
  };
  gate.end = () => { gate.open(); delete device.createComputePipelineAsync; };
  return gate;
}"""


@contextmanager
def held(host):
    """Hold back every new pipeline until `open` of what is yielded is called."""
    from pyodide.code import run_js

    gate = run_js(HOLD)(host._bridge.device)
    try:
        yield gate
    finally:
        gate.end()


def host_of(device):
    import tabgrad as tg

    return tg.device(device).backend.host


def waiting(host):
    return host._bridge.waiting.parts.length


@main_thread
async def test_a_value_that_is_there_is_read_while_another_is_compiled(device):
    import asyncio

    import tabgrad as tg

    x = tg.tensor([1.0, 2.0, 3.0], device=device)
    there = x * 2
    assert await there.tolist_async() == [2, 4, 6]
    host = host_of(device)
    with held(host) as gate:
        y = (x * 5 + there).cumsum(0)
        z = tg.compile(lambda a: (a @ a.reshape(3, 1)).exp2() + a)(y / 8)
        late = asyncio.ensure_future(z.tolist_async())
        tg.device(device).backend.flush()
        assert gate.held > 0
        assert waiting(host) > 0
        assert await there.tolist_async() == [2, 4, 6]
        there.mul_(10)
        assert not late.done()
        gate.open()
        want = [7 / 8, 21 / 8, 42 / 8]
        squares = 2 ** sum(v * v for v in want)
        for got, v in zip(await late, want, strict=True):
            assert abs(got - (squares + v)) < 1e-2 * squares
        assert await there.tolist_async() == [20, 40, 60]
        assert await y.tolist_async() == [7, 21, 42]
    assert waiting(host) == 0


async def test_python_blocks_for_what_waits_and_for_nothing_else(device):
    import js
    from pyodide.ffi import create_once_callable

    import tabgrad as tg

    x = tg.tensor([4.0, 5.0], device=device)
    there = x + 0.5
    there.tolist()
    host = host_of(device)
    with held(host) as gate:
        y = tg.softmax(x.log1p() * 3, 0)
        tg.device(device).backend.flush()
        assert there.tolist() == [4.5, 5.5]
        assert waiting(host) > 0
        js.setTimeout(create_once_callable(gate.open), 50)
        tg.accelerator.synchronize()
        assert waiting(host) == 0
        assert abs(sum(y.tolist()) - 1) < 1e-6


async def test_a_kernel_that_fails_is_told_where_it_is_used(device):
    from tabgrad.hosts.host import connect_async
    from tests.hosts.bench import Bench, floats

    host = await connect_async("webgpu")
    bench = Bench(host)
    x, y = bench.buffer(floats(1)), bench.buffer(floats(2))
    bench.send()
    with held(host) as gate:
        broken = bench.kernel("broken")
        bench.encoder.dispatch(broken, (1, 1, 1), ())
        bench.send()
        number = host.packets
        increment = bench.kernel("increment")
        bench.encoder.dispatch(increment, (1, 1, 1), (x,))
        token = bench.ask(x, 4)
        bench.send()
        assert await bench.floats(y, 1) == [2]
        assert host.faults() == []
        gate.open()
        faults = await bench.faults()
        assert (faults[0].kind, faults[0].pipeline, faults[0].packet) == ("compile", broken, number)
        assert "no_such_name" in faults[0].message
        assert {fault.packet for fault in faults} == {number}
        assert await bench.answer(token) == floats(2)
    host.close()


@alone
async def test_a_loss_while_pipelines_are_compiled(device):
    import asyncio

    import tabgrad as tg
    from tabgrad.core.errors import DeviceLostError
    from tabgrad.hosts import devices

    x = tg.tensor([1.0, 2.0], device=device)
    host = host_of(device)
    with held(host):
        reading = asyncio.ensure_future((x.sin() * 3).cumsum(0).tolist_async())
        await asyncio.sleep(0)
        settling = asyncio.ensure_future(host.synchronize_async(30.0))
        await asyncio.sleep(0)
        assert waiting(host) > 0
        host._bridge.device.destroy()
        for told in await asyncio.gather(reading, settling, return_exceptions=True):
            assert isinstance(told, DeviceLostError), told
    assert waiting(host) == 0
    await devices.connect_async(device)
    assert (tg.tensor([1.0, 2.0], device=device) + 1).tolist() == [2, 3]


async def test_a_deadline_of_a_read_that_waits(device):
    from tabgrad.core.errors import DeadlineError
    from tabgrad.hosts.host import connect_async
    from tests.hosts.bench import Bench, floats, raises

    host = await connect_async("webgpu")
    bench = Bench(host)
    x = bench.buffer(floats(1))
    with held(host) as gate:
        bench.encoder.dispatch(bench.kernel("increment"), (1, 1, 1), (x,))
        first, second = bench.ask(x, 4), bench.ask(x, 4)
        bench.send()
        await raises(DeadlineError, host.read_async(first, 0.05))
        gate.open()
        assert await bench.answer(second) == floats(2)
        assert await bench.faults() == []
    host.close()
