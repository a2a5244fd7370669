"""The CUDA host over a CuPy that is this process's memory, and its kernels through NVRTC."""

import asyncio
import sys

import numpy as np
import pytest

from tabgrad.core.errors import DeadlineError, DeviceLostError, HostError
from tabgrad.hosts.commands import Dispatch, Routine
from tabgrad_native import cupy_routines
from tabgrad_native.cupy_host import CupyHost
from tests.hosts import faults, laws
from tests.hosts.bench import KERNELS, Bench, floats, word
from tests.hosts.cupy_double import Cublas, Cupy, Cusolver
from tests.hosts.nvrtc import compile_cuda

CODE = {name: i for i, name in enumerate(cupy_routines.DTYPES)}
COMMON = (*laws.HOSTLESS, *laws.ON_GPU[:3])


@pytest.fixture
def cupy():
    return Cupy()


@pytest.fixture
def bench(cupy, monkeypatch):
    cublas = Cublas("cublas")
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.cublas", cublas)
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.cusolver", Cusolver("cusolver"))
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", cublas)
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda", cublas)
    monkeypatch.setitem(sys.modules, "cupy_backends", cublas)
    return Bench(CupyHost(cupy))


@pytest.mark.parametrize("law", COMMON, ids=lambda law: law.__name__)
def test_law(law, bench):
    asyncio.run(law(bench))
    assert bench.host.faults() == []


def test_hello(bench):
    hello = bench.host.hello
    assert hello.language == "cuda"
    assert hello.routines == cupy_routines.NAMES
    assert hello.adapter.architecture == "sm_90"
    assert hello.limits["max_buffer_size"] == 1 << 31


def test_a_replay_is_recorded_as_a_graph_when_its_slots_repeat(bench, cupy):
    number, _ = laws.chain(bench)
    x, y, z = (bench.buffer(floats(1, 10, 0)) for _ in "xyz")
    for i in range(4):
        bench.encoder.replay(number, (x, y, z), (1, word(i + 1)))
        assert asyncio.run(bench.floats(z, 2)) == [3 * (i + 1), 30 * (i + 1)]
    (graph,) = cupy.graphs
    assert graph.launches == 3
    assert len(graph.calls) == 3
    other = bench.buffer(floats(2, 3, 0))
    bench.encoder.replay(number, (other, y, z))
    assert asyncio.run(bench.floats(z, 2)) == [24, 36]
    assert len(cupy.graphs) == 1
    bench.encoder.free([x])
    bench.send()
    assert list(bench.host._lists[number].tables) == [(other, y, z)]
    assert bench.host._tables_of[y] == {(bench.host._lists[number], (other, y, z))}


def test_a_list_with_a_routine_that_allocates_is_no_graph(bench, cupy):
    x, y = bench.buffer(floats(1, 2, 3)), bench.buffer(nbytes=12)
    number = bench.id()
    cumsum = Routine(2, (0, 1), (CODE["float32"], 1, 3, 1))
    bench.encoder.store(number, 2, (cumsum, Dispatch(bench.kernel("increment"), 1, 1, 1, (1,))))
    for _ in range(3):
        bench.encoder.replay(number, (x, y))
    assert asyncio.run(bench.floats(y, 3)) == [2, 3, 6]
    assert cupy.graphs == []


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("flip_lhs", [False, True])
@pytest.mark.parametrize("flip_rhs", [False, True])
def test_matmul(bench, dtype, flip_lhs, flip_rhs):
    random = np.random.default_rng(0)
    b, m, n, k = 3, 2, 5, 4
    lhs = random.normal(size=(b, m, k)).astype(dtype)
    rhs = random.normal(size=(k, n)).astype(dtype)
    stored = lhs.swapaxes(1, 2) if flip_lhs else lhs
    x = bench.buffer(np.ascontiguousarray(stored).tobytes())
    y = bench.buffer(np.ascontiguousarray(rhs.T if flip_rhs else rhs).tobytes())
    out = bench.buffer(nbytes=b * m * n * lhs.itemsize)
    words = (CODE[dtype], b, m, n, k, flip_lhs | flip_rhs << 1, m * k, 0)
    bench.encoder.routine(0, (x, y, out), words)
    data = asyncio.run(bench.read(out, b * m * n * lhs.itemsize))
    got = np.frombuffer(data, dtype).reshape(b, m, n)
    np.testing.assert_allclose(got, lhs @ rhs, rtol=2e-3 if dtype == "float16" else 1e-5)


def test_matmul_of_nothing(bench):
    out = bench.buffer(floats(1, 2, 3, 4))
    empty = bench.buffer()
    bench.encoder.routine(0, (empty, empty, out), (CODE["float32"], 1, 2, 2, 0, 0, 0, 0))
    assert asyncio.run(bench.floats(out, 4)) == [0, 0, 0, 0]
    bench.encoder.routine(0, (empty, empty, empty), (CODE["float32"], 1, 0, 2, 3, 0, 0, 0))
    bench.encoder.routine(0, (out, out, out), (CODE["int32"], 1, 2, 2, 2, 0, 0, 0))
    bench.send()
    (fault,) = bench.host.faults()
    assert (fault.kind, fault.message) == ("validation", "matmul: cuBLAS has no product of int32")


def test_argsort_is_stable_both_ways(bench):
    rows = np.array([[3, 1, 2, 1, 3], [0, 0, 5, -1, 0]], np.float32)
    x = bench.buffer(rows.tobytes())
    up, down = bench.buffer(nbytes=80), bench.buffer(nbytes=40)
    bench.encoder.routine(1, (x, up), (CODE["float32"], 2, 5, 0, CODE["int64"]))
    bench.encoder.routine(1, (x, down), (CODE["float32"], 2, 5, 1, CODE["int32"]))
    got = np.frombuffer(asyncio.run(bench.read(up, 80)), np.int64).reshape(2, 5)
    assert got.tolist() == [[1, 3, 2, 0, 4], [3, 0, 1, 4, 2]]
    got = np.frombuffer(asyncio.run(bench.read(down, 40)), np.int32).reshape(2, 5)
    assert got.tolist() == [[0, 4, 2, 1, 3], [2, 0, 1, 4, 3]]


def test_argsort_of_unsigned_numbers_and_nan(bench):
    x = bench.buffer(np.array([0, 7, 0], np.uint32).tobytes())
    y = bench.buffer(np.array([1, np.nan, -np.inf], np.float32).tobytes())
    out = [bench.buffer(nbytes=12) for _ in range(3)]
    bench.encoder.routine(1, (x, out[0]), (CODE["uint32"], 1, 3, 1, CODE["int32"]))
    bench.encoder.routine(1, (y, out[1]), (CODE["float32"], 1, 3, 0, CODE["int32"]))
    bench.encoder.routine(1, (y, out[2]), (CODE["float32"], 1, 3, 1, CODE["int32"]))
    got = [np.frombuffer(asyncio.run(bench.read(z, 12)), np.int32).tolist() for z in out]
    assert got == [[1, 0, 2], [2, 0, 1], [1, 0, 2]]


def test_cumsum_along_a_middle_axis(bench):
    values = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    x, out = bench.buffer(values.tobytes()), bench.buffer(nbytes=96)
    bench.encoder.routine(2, (x, out), (CODE["int32"], 2, 3, 4))
    got = np.frombuffer(asyncio.run(bench.read(out, 96)), np.int32).reshape(2, 3, 4)
    assert (got == values.cumsum(1)).all()


def test_memory_that_is_not_there(bench, cupy):
    bench.host._pool.capacity = 1000
    number = bench.id()
    bench.encoder.alloc(number, 4096)
    bench.encoder.write(number, 0, b"abcd")
    token = bench.ask(number, 4)
    bench.send()
    (fault,) = bench.host.faults()
    assert (fault.kind, fault.command) == ("memory", 0)
    assert "4096" in fault.message
    assert bench.host.stopped == 0
    with pytest.raises(HostError, match="no read with token"):
        bench.host.read(token, 1.0)
    bench.encoder.write(number, 0, b"abcd")
    bench.send()
    (fault,) = bench.host.faults()
    assert (fault.kind, fault.message) == ("protocol", f"Write: unknown buffer {number}")


def test_a_fatal_error_loses_the_device(bench, cupy):
    x = bench.buffer(b"abcd")
    token = bench.ask(x, 4)
    bench.send()
    cupy.status = 700
    with pytest.raises(DeviceLostError):
        bench.host.read(token, 1.0)
    assert bench.host.lost
    assert [fault.kind for fault in bench.host.faults()] == ["lost"]
    bench.encoder.write(x, 0, b"efgh")
    assert bench.send() == 0
    assert [fault.kind for fault in bench.host.faults()] == ["lost"]
    with pytest.raises(DeviceLostError):
        bench.host.synchronize(1.0)


def test_an_error_that_is_not_fatal_names_the_kernel(bench, cupy):
    x = bench.buffer(floats(1))
    increment = bench.kernel("increment")
    bench.send()
    bench.encoder.dispatch(increment, (1, 1, 1), (x,))
    cupy.status = 9
    bench.send()
    (fault,) = bench.host.faults()
    assert (fault.kind, fault.pipeline, fault.command) == ("validation", increment, 0)
    cupy.status = 0
    asyncio.run(bench.usable())


def test_waiting_has_a_deadline(bench, cupy):
    token = bench.ask(bench.buffer(b"abcd"), 4)
    bench.send()
    cupy.busy = True
    with pytest.raises(DeadlineError, match=r"0\.02 s"):
        bench.host.read(token, 0.02)
    with pytest.raises(DeadlineError, match=r"0\.02 s"):
        asyncio.run(bench.host.synchronize_async(0.02))


def test_loss(bench, cupy):
    def lose():
        cupy.status = 719

    asyncio.run(faults.a_loss_faults_everything(bench, lose))


@pytest.mark.nvrtc
@pytest.mark.parametrize(
    "name", [name for name, (_, _, cuda) in KERNELS.items() if cuda and name != "broken"]
)
def test_the_kernels_of_the_laws_compile(name):
    ptx = compile_cuda(KERNELS[name][2], {"WX": 64, "N": 3, "SHIFT": -0.25})
    assert b".entry main_kernel" in ptx


@pytest.mark.nvrtc
def test_a_kernel_that_does_not_compile_raises_the_log():
    with pytest.raises(AssertionError, match='identifier "no_such_name" is undefined'):
        compile_cuda(KERNELS["broken"][2])
