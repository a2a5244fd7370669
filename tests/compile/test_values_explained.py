"""What `compiler.explain` says of a tensor: the plan of its value, before anything runs."""

from __future__ import annotations

import math
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.nn import functional as F
from tests.lower import recorder

explain = tg.compiler.explain


def counted(x: Any) -> int:
    """How many dispatches it takes to read a value."""
    with tg.profiler.count() as found:
        x.tolist()
    return found.dispatches


PROGRAMS = {
    "element-wise": lambda x: (x * 2 + 1).exp(),
    "softmax": lambda x: F.softmax(x, -1),
    "product": lambda x: (x @ x.T).relu(),
    "sum": lambda x: x.exp().sum(),
    "two sums": lambda x: (x - x.mean()).cumsum(0) + x.sum(),
    "view": lambda x: x.T,
    "constant": lambda x: tg.zeros(3, device=x.device),
    "narrow": lambda x: (x > 0).to(tg.uint8),
    "empty": lambda x: x[:0] + 1,
    "0-d": lambda x: x[0, 0] + 1,
    "indexed": lambda x: x[tg.tensor([0, 2], device=x.device)].cumsum(0),
    "several results": lambda x: x.max(1).values + 1,
    "convolution": lambda x: F.conv1d(x[None], tg.ones(2, 4, 3, device=x.device)),
}


@pytest.mark.one_host("wgpu", "cuda")
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_kernels_are_those_that_run(device: str, name: str) -> None:
    x = tg.arange(24.0, device=device).reshape(4, 6)
    tg.accelerator.synchronize()
    y = PROGRAMS[name](x)
    with tg.profiler.count() as nothing:
        found = explain(y)
    assert (nothing.dispatches, nothing.submits, nothing.bytes_up) == (0, 0, 0)
    wanted = y.tolist()
    again = PROGRAMS[name](tg.arange(24.0, device=device).reshape(4, 6))
    assert again.tolist() == wanted
    tg.accelerator.synchronize()
    z = PROGRAMS[name](x)
    assert counted(z) == found.dispatches == len(found.kernels)
    written = {name for k in found.kernels for name in k.writes}
    assert bool(written) == bool(found.kernels)
    for kernel in found.kernels:
        assert "main" in kernel.source
        assert math.prod(kernel.grid) >= 1
        assert {*kernel.reads, *kernel.writes} <= found.buffers.keys()
        assert str(kernel).endswith(kernel.source.rstrip())


@pytest.mark.one_host("wgpu", "cuda")
def test_a_value_that_is_there_has_no_plan(device: str) -> None:
    x = tg.tensor([1.0, 2.0], device=device)
    assert str(explain(x)) == f"float32[2] on {device}: no plan, it is in a buffer of 16 bytes"
    y = x + 1
    assert explain(y).reason is None
    assert explain(y).dispatches == 1
    y.tolist()
    assert explain(y).kernels == ()


@pytest.mark.every_host
def test_it_is_said_of_what_a_tensor_is_within_grad_too(device: str) -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        y = x.exp()
        seen.append(explain(y))
        return y.sum()

    tg.func.grad(f)(tg.ones(3, device=device))
    assert seen[0].value == f"float32[3] on {device}"
    with pytest.raises(tg.TransformError, match=r"explain: inside .*vmap"):
        tg.vmap(f)(tg.ones(2, 3, device=device))


@pytest.mark.every_host
def test_a_compiled_call_that_asks_is_not_replayed(device: str) -> None:
    seen: list[int] = []

    @tg.compile
    def step(x: Any) -> Any:
        y = x + 1
        seen.append(explain(y).dispatches)
        return y

    for _ in range(3):
        step(tg.ones(2, device=device))
    assert len(seen) == 3


def test_on_cpu_there_is_no_plan() -> None:
    found = explain(tg.ones(2, 3, device="cpu") + 1)
    assert str(found) == "float32[2,3] on cpu: no plan, NumPy computes each op at once"
    assert (found.kernels, found.dispatches, found.buffers) == ((), 0, {})


@pytest.mark.parametrize("kind", ["webgpu", "cuda"])
def test_the_text_names_ops_buffers_sizes_and_lines(kind: str) -> None:
    where = recorder.device(kind)
    x = tg.tensor([[1.0, 2.0, 3.0]] * 4, device=where)
    where.backend.flush()
    found = explain((x * 2).softmax(-1))
    assert found.inputs == {"input 0": "float32[4,3]"}
    text = str(found)
    assert text.startswith(f"float32[4,3] on {where}: 1 dispatch\n")
    assert "  input 0: float32[4,3], 48 bytes\n  result: 48 bytes\n" in text
    (kernel,) = found.kernels
    assert {"mul", "exp", "div", "reduce_sum"} <= set(kernel.ops)
    assert (kernel.reads, kernel.writes) == (("input 0",), ("result",))
    assert [line.rpartition(":")[0] for line in kernel.lines] == [__file__]
    assert f"recorded at {kernel.lines[0]}" in text
    assert kernel.source not in text
    assert ("@compute" if kind == "webgpu" else "__global__") in kernel.source


def test_a_routine_of_a_library_has_no_source() -> None:
    where = recorder.device("cuda", routines=("matmul",))
    x = tg.ones(64, 64, device=where) * 1
    x = tg.tensor([[1.0] * 64] * 64, device=where)
    where.backend.flush()
    (kernel,) = explain(x @ x).kernels
    assert kernel.source == ""
    assert "a routine of a library" in str(kernel)
    assert (kernel.reads, kernel.writes) == (("input 0",), ("result",))


def test_asking_changes_nothing() -> None:
    where = recorder.device()
    backend = where.backend

    def state() -> Any:
        return len(backend.plans), backend.counters.plans, backend.encoder.commands, backend.next

    x = tg.tensor([1.0, 2.0, 3.0], device=where)
    y = x[1:] * 2
    backend.flush()
    z = y[:1] + x[2:]
    before = state()
    assert len({str(explain(z)) for _ in range(3)}) == 1
    assert state() == before


def test_slices_that_move_are_read_as_they_will_be() -> None:
    """A loop over parts of a tensor has kernels that are told where a part begins."""
    made = []
    for asked in (True, False):
        where = recorder.device()
        x = tg.tensor([[float(n), 1.0] for n in range(40)], device=where)
        where.backend.flush()
        for start in (0, 4, 8, 12):
            y = x[start : start + 4].exp() + 1
            found = [explain(y) for _ in range(2 * asked)]
            where.backend.flush()
            assert y.shape == (4, 2)
            ran = [k.source for k in recorder.last_plan(where).kernels]
            assert all([k.source for k in f.kernels] == ran for f in found)
        assert not asked or "float32[4,2]" in found[0].inputs.values()
        made.append([[k.source for k in s.plan.kernels] for s in where.backend.plans.values()])
    assert made[0] == made[1]


def test_what_can_not_be_explained_is_refused() -> None:
    x = tg.ones(2, device="cpu")
    with pytest.raises(TypeError, match="takes no further arguments"):
        explain(x, x)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"tabgrad.compile has returned, got function"):
        explain(lambda x: x)
    with pytest.raises(TypeError, match="got Linear"):
        explain(tg.nn.Linear(2, 2), x)
    lost = recorder.device()
    y = tg.tensor([1.0], device=lost) + 1
    from tabgrad.hosts.device import DeviceBackend

    lost._backend = DeviceBackend(lost.backend.host, lost)
    with pytest.raises(tg.DeviceLostError, match="explain"):
        explain(y)
