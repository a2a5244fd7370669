"""What every host must do, each law a coroutine over a Bench; run by test_hosts.py and in Pyodide.

`ON_GPU` are the laws that only a host with a device can be held to.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Awaitable, Callable

from tabgrad.core.errors import DeadlineError, HostError
from tabgrad.hosts.commands import TIMERS, Copy, Dispatch, Pipeline, Window
from tabgrad.hosts.encoder import INLINE_BYTES
from tests.hosts.bench import READ_SECONDS, Bench, floats, raises, word
from tests.hosts.faults import (
    a_buffer_above_the_limit_is_a_memory_fault,
    a_kernel_that_did_not_compile_cannot_run,
    a_kernel_that_does_not_compile_says_why,
    a_read_of_a_failed_packet_is_no_answer,
    a_refused_packet_does_nothing,
    misuse_names_the_kernel,
    more_buffers_than_the_limit_is_a_fault,
)

Law = Callable[[Bench], Awaitable[None]]


# Data


async def written_bytes_are_read_back(bench: Bench) -> None:
    x = bench.buffer(b"0123456789abcdef")
    bench.encoder.write(x, 4, b"WXYZ")
    assert await bench.read(x, 16) == b"0123WXYZ89abcdef"
    assert await bench.read(x, 8, offset=4) == b"WXYZ89ab"


async def large_writes_travel_beside_the_packet(bench: Bench) -> None:
    data = array("I", range(INLINE_BYTES)).tobytes()
    x = bench.buffer(data)
    y = bench.buffer(bytearray(data[::-1]))
    bench.encoder.write(y, 8, memoryview(data)[:65536])
    assert len(bench.encoder.blobs) == 3
    assert await bench.read(x, len(data)) == data
    assert await bench.read(y, len(data)) == data[::-1][:8] + data[:65536] + data[::-1][65544:]


async def data_of_a_broken_word_is_padded(bench: Bench) -> None:
    x = bench.buffer(b"........")
    bench.encoder.write(x, 0, b"abcde")
    assert await bench.read(x, 8) == b"abcde\0\0\0"


async def bytes_are_copied_between_buffers(bench: Bench) -> None:
    x, y = bench.buffer(b"0123456789abcdef"), bench.buffer(b"................")
    bench.encoder.copy(x, 4, y, 8, 8)
    assert await bench.read(y, 16) == b"........456789ab"


async def bytes_are_copied_inside_a_buffer(bench: Bench) -> None:
    """As if there were a second buffer: the ranges may overlap."""
    x, y = bench.buffer(b"0123456789abcdef"), bench.buffer(b"0123456789abcdef")
    bench.encoder.copy(x, 0, x, 4, 12)
    bench.encoder.copy(y, 4, y, 0, 12)
    assert await bench.read(x, 16) == b"01230123456789ab"
    assert await bench.read(y, 16) == b"456789abcdefcdef"


async def nothing_can_be_allocated_written_copied_and_read(bench: Bench) -> None:
    x, y = bench.buffer(), bench.buffer(b"abcd")
    bench.encoder.write(x, 0, b"")
    bench.encoder.copy(x, 0, y, 4, 0)
    assert await bench.read(x, 0) == b""
    assert await bench.read(y, 0, offset=4) == b""
    assert await bench.read(y, 4) == b"abcd"
    assert await bench.faults() == []


async def reads_are_answered_in_any_order(bench: Bench) -> None:
    x = bench.buffer(b"abcdefgh")
    first, second = bench.ask(x, 4), bench.ask(x, 4, offset=4)
    bench.send()
    third = bench.ask(x, 8)
    bench.send()
    assert await bench.answer(third) == b"abcdefgh"
    assert await bench.answer(second) == b"efgh"
    assert await bench.answer(first) == b"abcd"


async def an_answer_is_given_once(bench: Bench) -> None:
    x = bench.buffer(b"abcd")
    token = bench.ask(x, 4)
    bench.send()
    await bench.answer(token)
    await raises(HostError, bench.host.read_async(token, 1.0))
    await raises(HostError, bench.host.read_async(bench.id(), 1.0))
    bench.encoder.read(token, x, 0, 4)
    bench.send()
    assert await bench.answer(token) == b"abcd"


async def a_freed_buffer_serves_the_commands_before(bench: Bench) -> None:
    x, y = bench.buffer(floats(1, 2, 3)), bench.buffer(nbytes=12)
    bench.encoder.dispatch(bench.kernel("scale"), (1, 1, 1), (x, y), (3, word(2)))
    bench.encoder.free([x])
    assert await bench.floats(y, 3) == [2, 4, 6]
    bench.encoder.free([y])
    bench.send()
    assert await bench.faults() == []


async def many_buffers_come_and_go(bench: Bench) -> None:
    scale = bench.kernel("scale")
    x = bench.buffer(floats(1, 2, 3, 4))
    for _ in range(50):
        y = bench.buffer(nbytes=16)
        bench.encoder.dispatch(scale, (1, 1, 1), (x, y), (4, word(2)))
        bench.encoder.dispatch(scale, (1, 1, 1), (y, x), (4, word(0.5)))
        bench.encoder.free([y])
        bench.send()
    assert await bench.floats(x, 4) == [1, 2, 3, 4]
    assert await bench.faults() == []


# Order


async def commands_run_in_order(bench: Bench) -> None:
    x = bench.buffer(floats(1, 1, 1))
    increment = bench.kernel("increment")
    bench.encoder.dispatch(increment, (2, 1, 1), (x,))
    before = bench.ask(x, 12)
    bench.encoder.dispatch(increment, (3, 1, 1), (x,))
    bench.encoder.copy(x, 0, x, 8, 4)
    bench.encoder.dispatch(increment, (3, 1, 1), (x,))
    after = bench.ask(x, 12)
    assert bench.send() == 1
    assert await bench.answer(before) == floats(2, 2, 1)
    assert await bench.answer(after) == floats(4, 4, 4)


async def a_write_after_a_dispatch_waits_for_it(bench: Bench) -> None:
    x, y, z = bench.buffer(floats(1)), bench.buffer(nbytes=4), bench.buffer(nbytes=4)
    scale = bench.kernel("scale")
    bench.encoder.dispatch(scale, (1, 1, 1), (x, y), (1, word(10)))
    bench.encoder.write(x, 0, floats(7))
    bench.encoder.dispatch(scale, (1, 1, 1), (x, z), (1, word(100)))
    bench.encoder.write(y, 0, floats(5))
    bench.send()
    assert await bench.floats(z, 1) == [700]
    assert await bench.floats(x, 1) == [7]
    assert await bench.floats(y, 1) == [5]


async def a_write_between_keeps_uniform_words_apart(bench: Bench) -> None:
    x = bench.buffer(floats(1))
    outs = [bench.buffer(nbytes=4) for _ in range(6)]
    scale = bench.kernel("scale")
    for i, y in enumerate(outs):
        bench.encoder.write(x, 0, floats(i + 1))
        bench.encoder.dispatch(scale, (1, 1, 1), (x, y), (1, word(10 + i)))
    bench.send()
    values = [(await bench.floats(y, 1))[0] for y in outs]
    assert values == [(i + 1) * (10 + i) for i in range(6)]


async def each_dispatch_has_its_own_uniform_words(bench: Bench) -> None:
    """Enough of them that a host's first arena is too small."""
    n = 1500
    x = bench.buffer(floats(1))
    outs = [bench.buffer(nbytes=4) for _ in range(n)]
    scale = bench.kernel("scale")
    for i, y in enumerate(outs):
        bench.encoder.dispatch(scale, (1, 1, 1), (x, y), (1, word(i)))
    whole = bench.buffer(nbytes=4 * n)
    for i, y in enumerate(outs):
        bench.encoder.copy(y, 0, whole, 4 * i, 4)
    assert await bench.floats(whole, n) == list(range(n))
    bench.encoder.free([*outs, whole])
    bench.send()
    await bench.usable()


async def uniform_words_may_be_many(bench: Bench) -> None:
    values = [float(i) for i in range(320)]
    x = bench.buffer(nbytes=1280)
    words = tuple(word(value) for value in values)
    bench.encoder.dispatch(bench.kernel("fill"), (320, 1, 1), (x,), words)
    assert await bench.floats(x, 320) == values


async def an_empty_grid_does_nothing(bench: Bench) -> None:
    x = bench.buffer(floats(1))
    increment = bench.kernel("increment")
    for grid in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        bench.encoder.dispatch(increment, grid, (x,))
    assert await bench.floats(x, 1) == [1]
    assert await bench.faults() == []


# Pipelines


async def overrides_are_set(bench: Bench) -> None:
    x = bench.buffer(nbytes=4)
    given = bench.kernel("override", N=3, SHIFT=0.25)
    other = bench.kernel("override", N=7, SHIFT=-0.5)
    bench.encoder.dispatch(given, (1, 1, 1), (x,))
    assert await bench.floats(x, 1) == [3.25]
    bench.encoder.dispatch(other, (1, 1, 1), (x,))
    assert await bench.floats(x, 1) == [6.5]


async def equal_pipelines_live_on_their_own(bench: Bench) -> None:
    x = bench.buffer(floats(0))
    first, second = bench.kernel("increment"), bench.kernel("increment")
    bench.encoder.dispatch(first, (1, 1, 1), (x,))
    bench.encoder.drop_pipelines([first])
    bench.encoder.dispatch(second, (1, 1, 1), (x,))
    bench.send()
    bench.encoder.drop_pipelines([second])
    bench.encoder.dispatch(bench.kernel("increment"), (1, 1, 1), (x,))
    assert await bench.floats(x, 1) == [3]


async def a_pipeline_compiled_in_the_background_is_the_same(bench: Bench) -> None:
    """Of two, the one that does not compile is no fault; the other computes what an equal one does."""
    bindings, overrides = (
        "w",
        (("N", 3.0), ("SHIFT", 0.25), *((("WX", 1.0),) if bench.cuda else ())),
    )
    x = bench.buffer(floats(0))
    for name in ("broken", "override"):
        its = "" if name == "broken" else bindings
        bench.host.compile_soon(Pipeline(0, name, bench.source(name), its, overrides))
    end = time.monotonic() + READ_SECONDS
    while (left := bench.host.compiling()) > 0:
        assert time.monotonic() < end
        await bench.read(x, 4)
    assert left in (-1, 0)
    assert bench.host.compiling() == 0
    kernel = bench.kernel("override", **dict(overrides))
    bench.encoder.dispatch(kernel, (1, 1, 1), (x,))
    assert await bench.floats(x, 1) == [3.25]
    assert await bench.faults() == []


# Stored lists


def chain(bench: Bench) -> tuple[int, int]:
    """A list that scales slot 0 into slot 1 and slot 1 into slot 2, copying in between."""
    scale, number = bench.kernel("scale"), bench.id()
    commands = (
        Dispatch(scale, 1, 1, 1, (0, 1), (2, word(2))),
        Copy(1, 0, 1, 8, 4),
        Dispatch(scale, 1, 1, 1, (1, 2), (3, word(3))),
    )
    bench.encoder.store(number, 3, commands)
    return number, scale


async def a_list_is_replayed_with_any_buffers(bench: Bench) -> None:
    number, _ = chain(bench)
    x, y = bench.buffer(floats(1, 10)), bench.buffer(nbytes=12)
    z = bench.buffer(nbytes=12)
    bench.encoder.replay(number, (x, y, z))
    assert bench.send() == 1
    assert await bench.floats(z, 3) == [6, 60, 6]
    other = bench.buffer(floats(5, 7))
    bench.encoder.replay(number, array("I", [other, y, z]))
    assert await bench.floats(z, 3) == [30, 42, 30]
    bench.encoder.replay(number, (z, y, other_out := bench.buffer(nbytes=12)))
    assert await bench.floats(other_out, 3) == [180, 252, 180]


async def a_timed_replay_does_the_same_and_says_when(bench: Bench) -> None:
    number, _ = chain(bench)
    x, y = bench.buffer(floats(1, 10)), bench.buffer(nbytes=12)
    z, token = bench.buffer(nbytes=12), bench.id()
    bench.encoder.timed_replay(token, number, (x, y, z), (1, word(20)))
    bench.send()
    if TIMERS not in bench.host.hello.features:
        assert "measures no kernels" in (await bench.only_fault()).message
        return
    times = array("Q", await bench.host.read_async(token, READ_SECONDS))
    assert len(times) == 4
    assert list(times) == sorted(times)
    assert times[-1] - times[0] < READ_SECONDS * 1e9
    assert await bench.floats(z, 3) == [60, 600, 60]
    await raises(HostError, bench.host.read_async(token, 1.0))


async def a_list_binds_parts_of_buffers(bench: Bench) -> None:
    scale, increment, number = bench.kernel("scale"), bench.kernel("increment"), bench.id()
    commands = (
        Window(0, 256, 8),
        Dispatch(increment, 2, 1, 1, (2,)),
        Window(0, 512, 256),
        Dispatch(scale, 1, 1, 1, (2, 1), (2, word(10))),
        Dispatch(scale, 1, 1, 1, (1, 3), (2, word(3))),
    )
    bench.encoder.store(number, 2, commands)
    for _ in range(3):
        x, y = bench.buffer(floats(*range(192))), bench.buffer(nbytes=8)
        bench.encoder.replay(number, (x, y))
        want = [*map(float, range(192))]
        want[64:66], want[128:130] = [65, 66], [1950, 1980]
        assert await bench.floats(x, 192) == want
        assert await bench.floats(y, 2) == [650, 660]
        bench.encoder.free([x])


async def patches_persist(bench: Bench) -> None:
    number, _ = chain(bench)
    x, y = bench.buffer(floats(1, 10)), bench.buffer(nbytes=12)
    z, last = bench.buffer(nbytes=12), bench.buffer(nbytes=12)
    bench.encoder.replay(number, (x, y, z), (1, word(5), 3, word(7)))
    assert await bench.floats(z, 2) == [35, 350]
    bench.encoder.replay(number, (x, y, z), array("I", [1, word(1)]))
    bench.encoder.replay(number, (x, y, last), (3, word(-1)))
    bench.send()
    assert await bench.floats(z, 2) == [7, 70]
    assert await bench.floats(last, 2) == [-1, -10]
    bench.encoder.replay(number, (x, y, z))
    assert await bench.floats(z, 2) == [-1, -10]


async def a_list_outlives_its_pipelines_and_buffers(bench: Bench) -> None:
    number, scale = chain(bench)
    for i in range(12):
        x, y, z = bench.buffer(floats(i, 1)), bench.buffer(nbytes=12), bench.buffer(nbytes=12)
        bench.encoder.replay(number, (x, y, z))
        if i == 3:
            bench.encoder.drop_pipelines([scale])
        assert await bench.floats(z, 2) == [6 * i, 6]
        if i % 2:
            bench.encoder.free([x, y, z])
    bench.encoder.drop([number])
    bench.send()
    assert await bench.faults() == []


async def lists_without_dispatches_or_uniform_words(bench: Bench) -> None:
    empty, copies, plain = bench.id(), bench.id(), bench.id()
    increment = bench.kernel("increment")
    bench.encoder.store(empty, 0, ())
    bench.encoder.store(copies, 2, (Copy(0, 0, 1, 4, 4), Copy(0, 0, 0, 4, 4)))
    bench.encoder.store(plain, 1, (Dispatch(increment, 2, 1, 1, (0,)),) * 3)
    x, y = bench.buffer(floats(1, 2)), bench.buffer(floats(3, 4))
    bench.encoder.replay(empty, ())
    bench.encoder.replay(copies, (x, y))
    bench.encoder.replay(plain, (y,))
    bench.send()
    assert await bench.floats(x, 2) == [1, 1]
    assert await bench.floats(y, 2) == [6, 4]


async def a_write_between_replays_waits(bench: Bench) -> None:
    number, _ = chain(bench)
    x, y = bench.buffer(floats(1, 10)), bench.buffer(nbytes=12)
    z, last = bench.buffer(nbytes=12), bench.buffer(nbytes=12)
    bench.encoder.replay(number, (x, y, z))
    bench.encoder.write(x, 0, floats(2, 20))
    bench.encoder.replay(number, (x, y, last), (1, word(100)))
    bench.send()
    assert await bench.floats(z, 2) == [6, 60]
    assert await bench.floats(last, 2) == [600, 6000]


# Waiting


async def a_read_has_a_deadline(bench: Bench) -> None:
    """Rounds double until three reads in a row take longer than their deadline, on whatever the host runs."""
    spin, rounds = bench.kernel("spin"), 1 << 8
    x = bench.buffer(nbytes=16)
    # what is late shall be the work, and not its kernel
    bench.encoder.dispatch(spin, (1, 1, 1), (x,), (1,))
    await bench.read(x, 16)

    async def is_late(rounds: int) -> bool:
        bench.encoder.dispatch(spin, (256, 1, 1), (x,), (rounds,))
        token = bench.ask(x, 16)
        bench.send()
        try:
            await bench.host.read_async(token, 0.05)
        except DeadlineError as error:
            assert "0.05 s" in str(error)  # noqa: PT017
            await raises(HostError, bench.host.read_async(token, 1.0))
            return True
        return False

    # one may be late by chance: on a busy machine the wait may begin long after its timer
    row = 0
    while row < 3:
        row = row + 1 if await is_late(rounds) else 0
        rounds *= 1 if row else 2
        assert rounds < 1 << 31
    await bench.usable()


async def synchronizing_waits_for_all(bench: Bench) -> None:
    x = bench.buffer(floats(0))
    increment = bench.kernel("increment")
    for _ in range(20):
        bench.encoder.dispatch(increment, (1, 1, 1), (x,))
        bench.send()
    await bench.host.synchronize_async(30.0)
    assert await bench.floats(x, 1) == [20]


async def blocking_reads(bench: Bench) -> None:
    assert bench.host.can_block()
    x = bench.buffer(b"abcd")
    token = bench.ask(x, 4)
    bench.send()
    assert bench.host.read(token, 30.0) == b"abcd"
    bench.host.synchronize(30.0)
    assert bench.host.faults() == []


async def hello_says_what_the_host_is(bench: Bench) -> None:
    hello = bench.host.hello
    assert hello.protocol == 1
    assert hello.language in ("wgsl", "cuda")
    assert hello.limits["max_buffer_size"] >= 1 << 28
    assert hello.limits["max_storage_buffers_per_shader_stage"] >= 8
    assert all(isinstance(value, int) for value in hello.limits.values())
    assert hello.adapter.name
    assert isinstance(hello.adapter.software, bool)
    assert isinstance(hello.features, frozenset)


async def sizes_that_another_kernel_needs_do_not_count(bench: Bench) -> None:
    """wgpu 29 mixes up what kernels need that have the same layout object."""
    x, y, z = bench.buffer(nbytes=16), bench.buffer(nbytes=4), bench.buffer(nbytes=4)
    wide, narrow, scale = (bench.kernel(name) for name in ("wide", "narrow", "scale"))
    words = [0] * 192 + [word(v) for v in (1, 2, 3, 4)]
    for _ in range(2):
        bench.encoder.dispatch(wide, (1, 1, 1), (x,), words)
        bench.encoder.dispatch(scale, (1, 1, 1), (y, z), (1, word(2)))
        bench.encoder.dispatch(wide, (1, 1, 1), (x,), words)
        bench.encoder.dispatch(narrow, (1, 1, 1), (y,), (word(7),))
    assert await bench.floats(x, 4) == [1, 2, 3, 4]
    assert await bench.floats(y, 1) == [7]
    assert await bench.floats(z, 1) == [14]
    assert await bench.faults() == []


HOSTLESS: tuple[Law, ...] = (
    a_pipeline_compiled_in_the_background_is_the_same,
    written_bytes_are_read_back,
    large_writes_travel_beside_the_packet,
    data_of_a_broken_word_is_padded,
    bytes_are_copied_between_buffers,
    bytes_are_copied_inside_a_buffer,
    nothing_can_be_allocated_written_copied_and_read,
    reads_are_answered_in_any_order,
    an_answer_is_given_once,
    a_freed_buffer_serves_the_commands_before,
    many_buffers_come_and_go,
    commands_run_in_order,
    a_write_after_a_dispatch_waits_for_it,
    a_write_between_keeps_uniform_words_apart,
    each_dispatch_has_its_own_uniform_words,
    uniform_words_may_be_many,
    an_empty_grid_does_nothing,
    overrides_are_set,
    equal_pipelines_live_on_their_own,
    a_list_is_replayed_with_any_buffers,
    a_timed_replay_does_the_same_and_says_when,
    a_list_binds_parts_of_buffers,
    patches_persist,
    a_list_outlives_its_pipelines_and_buffers,
    lists_without_dispatches_or_uniform_words,
    a_write_between_replays_waits,
    a_refused_packet_does_nothing,
    synchronizing_waits_for_all,
    blocking_reads,
    hello_says_what_the_host_is,
)

ON_GPU: tuple[Law, ...] = (
    a_kernel_that_does_not_compile_says_why,
    a_kernel_that_did_not_compile_cannot_run,
    a_buffer_above_the_limit_is_a_memory_fault,
    a_read_has_a_deadline,
)

WEBGPU: tuple[Law, ...] = (
    more_buffers_than_the_limit_is_a_fault,
    misuse_names_the_kernel,
    sizes_that_another_kernel_needs_do_not_count,
    a_read_of_a_failed_packet_is_no_answer,
)
