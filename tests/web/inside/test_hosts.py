"""The laws of hosts on the browser's own device, in a worker and on the page's main thread."""

from __future__ import annotations

from tests.hosts import faults, laws
from tests.hosts.bench import Bench, floats
from tests.web.inside.marks import each, main_thread

LAWS = {law.__name__: law for law in (*laws.HOSTLESS, *laws.ON_GPU, *laws.WEBGPU)}

hosts: list[object] = []


async def shared_host():
    """One device for all laws that leave it whole."""
    from tabgrad.hosts.host import connect_async

    if not hosts or hosts[0].lost:
        hosts[:] = [await connect_async("webgpu")]
    return hosts[0]


@each(lambda device: list(LAWS))
@main_thread
async def test_law(device, name):
    host = await shared_host()
    await LAWS[name](Bench(host))
    assert host.faults() == []


@main_thread
async def test_loss(device):
    from tabgrad.hosts.host import connect_async

    host = await connect_async("webgpu")
    await faults.a_loss_faults_everything(Bench(host), host._bridge.device.destroy)
    await laws.written_bytes_are_read_back(Bench(await connect_async("webgpu")))


async def test_diagnosing(device):
    from tabgrad.hosts.host import connect_async

    host = await connect_async("webgpu", diagnose=True)
    await faults.diagnosing_names_command_and_kernel(Bench(host))
    host.close()


async def test_connecting_and_reading_where_python_may_block(device):
    from tabgrad.hosts.host import available, connect

    assert available() == ("webgpu",)
    host = connect("webgpu")
    await laws.blocking_reads(Bench(host))
    host.close()


async def test_what_cannot_wait_says_so(device):
    """A plain call from JavaScript cannot wait, and nothing may have been started by it."""
    import js
    from pyodide.ffi import create_proxy

    from tabgrad.core.errors import WouldBlockError
    from tabgrad.hosts.host import connect

    host = await shared_host()
    bench = Bench(host)
    token = bench.ask(bench.buffer(b"abcd"), 4)
    bench.send()
    caught = []

    def plain():
        for attempt in (
            lambda: connect("webgpu"),
            lambda: host.read(token, 1.0),
            lambda: host.synchronize(1.0),
        ):
            try:
                attempt()
            except WouldBlockError as error:
                caught.append(str(error))

    proxy = create_proxy(plain)
    assert not js.Reflect.apply(proxy, None, js.Array.new())
    proxy.destroy()
    assert len(caught) == 3, caught
    assert "connect_async" in caught[0]
    assert await bench.answer(token) == b"abcd"


async def test_the_heap_may_grow_between_packets(device):
    """Memory that grows moves: no pointer or view may be kept across it."""
    bench = Bench(await shared_host())
    number, _ = laws.chain(bench)
    x, y, z = (bench.buffer(nbytes=12) for _ in "xyz")
    bench.send()
    hoard = []
    for i in range(4):
        hoard.append(bytearray(48 << 20))
        bench.encoder.write(x, 0, floats(i, 1, 0))
        bench.encoder.replay(number, (x, y, z))
        assert await bench.floats(z, 2) == [6 * i, 6]
    large = bytes(range(256)) * 32768
    token = bench.ask(bench.buffer(large), len(large))
    bench.send()
    hoard.append(bytearray(96 << 20))
    assert await bench.answer(token) == large
    assert await bench.faults() == []


async def test_a_browser_without_an_adapter_says_so(device):
    import js
    from pyodide.code import run_js

    from tabgrad.core.errors import DeviceError
    from tabgrad.hosts.host import connect_async

    run_js("navigator.gpu.requestAdapter = async () => null")
    try:
        error = await laws.raises(DeviceError, connect_async("webgpu"))
        assert "no adapter" in str(error)
        assert "device 'cpu'" in str(error)
        assert error.__suppress_context__, "the cause is in the message, and is not shown again"
        assert error.__cause__ is None
    finally:
        js.Reflect.deleteProperty(js.navigator.gpu, "requestAdapter")
    (await connect_async("webgpu")).close()
