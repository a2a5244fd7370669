"""What hosts must do where something goes wrong: the laws of faults, and of a device that is lost."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tabgrad.core.errors import DeviceLostError, HostError
from tests.hosts.bench import Bench, floats, raises, word


async def a_refused_packet_does_nothing(bench: Bench) -> None:
    x = bench.buffer(floats(1))
    increment = bench.kernel("increment")
    bench.send()
    y = bench.buffer(floats(2))
    bench.encoder.write(x, 0, floats(9))
    bench.encoder.dispatch(increment, (1, 1, 1), (x,))
    bench.encoder.free([4_000_000_000])
    assert bench.send() == 0
    fault = await bench.only_fault()
    assert (fault.kind, fault.command) == ("protocol", 4)
    assert "unknown buffer 4000000000" in fault.message
    assert await bench.floats(x, 1) == [1]
    bench.encoder.alloc(y, 4)
    bench.send()
    await bench.usable()


async def a_kernel_that_does_not_compile_says_why(bench: Bench) -> None:
    bench.buffer(nbytes=4)
    broken = bench.kernel("broken")
    bench.send()
    fault = await bench.only_fault()
    assert (fault.kind, fault.pipeline, fault.command) == ("compile", broken, 1)
    assert "'broken'" in fault.message
    assert "no_such_name" in fault.message
    assert "   1 " + bench.source("broken").splitlines()[0] in fault.message
    await bench.usable()


async def a_kernel_that_did_not_compile_cannot_run(bench: Bench) -> None:
    x = bench.buffer(floats(1))
    broken = bench.kernel("broken")
    bench.encoder.dispatch(broken, (1, 1, 1), ())
    token = bench.ask(x, 4)
    bench.send()
    faults = await bench.faults()
    assert faults[0].kind == "compile", faults
    try:
        await bench.answer(token)
    except HostError:
        pass
    bench.host.faults()
    bench.encoder.dispatch(broken, (1, 1, 1), ())
    bench.send()
    assert [fault.kind for fault in await bench.faults()] != []
    await bench.usable()


async def a_buffer_above_the_limit_is_a_memory_fault(bench: Bench) -> None:
    limit = bench.host.hello.limits["max_buffer_size"]
    number, nbytes = bench.id(), min(limit + 4, 2**32 - 4) & -4
    bench.encoder.alloc(number, nbytes)
    bench.send()
    faults = await bench.faults()
    assert faults[0].kind == "memory", faults
    assert str(nbytes) in faults[0].message
    if bench.host.stopped < 0:  # else the packet ended before it, and there is no such buffer
        bench.encoder.free([number])
        bench.send()
        assert await bench.faults() == []
    await bench.usable()


async def more_buffers_than_the_limit_is_a_fault(bench: Bench) -> None:
    n = bench.host.hello.limits["max_storage_buffers_per_shader_stage"] + 1
    bindings = "\n".join(
        f"@group(0) @binding({i}) var<storage, read_write> x{i}: array<f32>;" for i in range(n)
    )
    body = "\n".join(f"  x{i}[0] = {i}.0;" for i in range(n))
    source = f"{bindings}\n@compute @workgroup_size(1)\nfn main() {{\n{body}\n}}\n"
    number = bench.id()
    bench.encoder.pipeline(number, "too many", source, "w" * n)
    bench.send()
    faults = await bench.faults()
    assert faults[0].kind == "compile", faults
    assert faults[0].pipeline == number
    await bench.usable()


async def misuse_names_the_kernel(bench: Bench) -> None:
    """One buffer as read-only and as writable storage in one dispatch."""
    x = bench.buffer(floats(1, 2))
    scale = bench.kernel("scale")
    bench.encoder.dispatch(scale, (1, 1, 1), (x, x), (2, word(3)))
    bench.send()
    faults = await bench.faults()
    assert faults[0].kind == "validation", faults
    assert faults[0].message
    await bench.usable()


async def a_read_of_a_failed_packet_is_no_answer(bench: Bench) -> None:
    """Either it raises, or the fault is known before the bytes are."""
    x = bench.buffer(floats(1, 2))
    scale = bench.kernel("scale")
    bench.encoder.dispatch(scale, (1, 1, 1), (x, x), (2, word(3)))
    token = bench.ask(x, 8)
    bench.send()
    try:
        await bench.answer(token)
    except HostError:
        pass
    assert [fault.kind for fault in bench.host.faults()] != []
    await bench.usable()


# Loss: each of these leaves its host lost


async def a_loss_faults_everything(bench: Bench, lose: Callable[[], None]) -> None:
    x = bench.buffer(b"abcd")
    token = bench.ask(x, 4)
    bench.send()
    lose()
    await raises(DeviceLostError, bench.host.read_async(token, 10.0))
    bench.encoder.write(x, 0, b"efgh")
    assert bench.send() == 0
    assert bench.host.lost
    faults = bench.host.faults()
    assert faults
    assert {fault.kind for fault in faults} == {"lost"}
    await raises(DeviceLostError, bench.host.synchronize_async(10.0))
    await raises(DeviceLostError, bench.host.read_async(token, 10.0))
    bench.host.close()
    bench.host.close()


async def diagnosing_names_command_and_kernel(bench: Bench) -> None:
    """For a host that was connected with `diagnose=True`."""
    x, y = bench.buffer(floats(1, 2)), bench.buffer(nbytes=8)
    scale = bench.kernel("scale")
    bench.encoder.dispatch(scale, (1, 1, 1), (x, y), (2, word(3)))
    bench.encoder.dispatch(scale, (1, 1, 1), (y, y), (2, word(3)))
    bench.send()
    faults = await bench.faults()
    assert [(fault.kind, fault.command, fault.pipeline) for fault in faults] == [
        ("validation", 5, scale)
    ]
    assert struct.unpack("<2f", await bench.read(y, 8)) == (3, 6)
