"""What a profile measures: ops, kernels, lines, memory; and that nothing is left of it afterwards."""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, profiler
from tabgrad.hosts.chains import Chain
from tabgrad.hosts.commands import TIMERS
from tabgrad.hosts.devices import device as device_of
from tabgrad.hosts.reference import NumPyBackend
from tabgrad.profiler import watching
from tests.lower import recorder


def rows(prof: profiler.profile, **how: Any) -> dict[str, profiler.Average]:
    return {row.key: row for row in prof.key_averages(**how)}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = NumPyBackend.run, Chain.__call__, watching.Stored.run
    yield
    assert (NumPyBackend.run, Chain.__call__, watching.Stored.run) == before
    assert not watching.ACTIVE
    assert not watching._WAITING


@pytest.mark.every_host
def test_ops_and_blocks_are_counted_and_their_own_time_adds_up(device: str) -> None:
    x = tg.ones(32, 16, device=device)
    w = tg.ones(16, 8, device=device, requires_grad=True)
    with profiler.profile(with_flops=True, record_shapes=True) as prof:
        with profiler.record_function("outer"):
            for _ in range(3):
                with profiler.record_function("inner"):
                    y = (x @ w).relu().sum()
            y.backward()
            y.item()
    found = rows(prof)
    assert found["inner"].count == 3
    assert found["outer"].count == 1
    assert found["matmul"].count == 4  # three products, and that of the gradient
    assert found["matmul"].flops == 4 * 2 * 32 * 16 * 8
    assert found["outer"].cpu_time_total >= found["inner"].cpu_time_total > 0
    (outer,) = [e for e in prof.events() if e.name == "outer"]
    inside = [  # what devices of other tests send when a profile ends is outside
        e
        for e in prof.events()
        if e.kind != "kernel"
        and e.thread == outer.thread
        and outer.start <= e.start <= outer.start + outer.seconds
    ]
    assert len(inside) > 10
    assert sum(e.own for e in inside) == pytest.approx(outer.seconds, rel=1e-6)
    shapes = [
        row.input_shapes
        for row in prof.key_averages(group_by_input_shape=True)
        if row.key == "matmul" and row.count
    ]
    assert ((32, 16), (16, 8)) in shapes
    table = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=3, header="a head")
    assert table.startswith("a head\nName")
    assert "GFLOP/s" in table
    assert len(table.splitlines()) >= 6


@pytest.mark.every_host
def test_a_device_measures_its_kernels_and_divides_them_among_their_ops(device: str) -> None:
    if device == "cpu":
        with profiler.profile() as prof:
            tg.ones(3, device=device).exp()
        assert len(prof.kernels()) == 0
        assert rows(prof)["exp"].device_time_total == 0
        return
    assert TIMERS in device_of(device).backend.host.hello.features  # type: ignore[attr-defined]
    x = tg.rand(64, 64, device=device)
    x.sum().item()
    with profiler.profile(with_flops=True, with_stack=True) as prof:
        y = (x.exp() * 2 + 1).sum(1) + (x @ x).sum(1)
        y.sum().item()
    kernels = [e for e in prof.events() if e.kind == "kernel"]
    total = sum(e.seconds for e in kernels)
    assert total > 0
    found = rows(prof)
    for name in ("exp", "mul", "add", "reduce_sum", "matmul"):
        assert found[name].device_time_total > 0
    divided = sum(row.self_device_time_total for row in found.values())
    assert divided == pytest.approx(1e6 * total, rel=1e-6)
    assert sum(row.device_time_total for row in prof.kernels()) == pytest.approx(1e6 * total)
    assert all(sum(s for _, s in e.shares) == pytest.approx(1) for e in kernels)
    assert sum(e.flops or 0 for e in kernels) >= 2 * 64**3 + 4 * 64 * 64
    assert any("divided among its ops" in note for note in prof.key_averages().notes)
    here = [row.key for row in prof.lines() if "test_profiling.py" in row.key]
    assert len(here) == 2
    rate = found["matmul"].flops_per_second
    assert rate is not None
    assert rate == pytest.approx(1e6 * 2 * 64**3 / found["matmul"].device_time_total, rel=0.3)


@pytest.mark.every_host
def test_a_compiled_step_is_measured_by_the_ops_in_its_kernels(device: str) -> None:
    net = nn.Linear(16, 4).to(device)
    x = tg.rand(8, 16, device=device)

    @tg.compile
    def f() -> tg.Tensor:
        return net(x).relu().sum().detach()

    with profiler.profile(with_stack=True) as first:
        plain = [f().item() for _ in range(2)]
    with profiler.profile(with_stack=True) as prof:
        assert [f().item() for _ in range(2)] == plain
    found = rows(prof)
    if device == "cpu":
        assert found["matmul"].count == 2
        return
    assert "plan" in repr(f)
    assert f.known  # it was compiled while a profile recorded
    assert found["matmul"].count == 0  # replayed, not called
    assert found["matmul"].runs == 2
    assert found["matmul"].device_time_total > 0
    lines = {line for e in prof.events() if e.kind == "kernel" for line in e.lines}
    assert lines
    assert all("test_profiling.py" in line for line in lines)
    assert rows(first)["matmul"].count == 1


@pytest.mark.every_host
def test_memory_by_op_and_line_and_what_a_step_leaves(device: str) -> None:
    kept: list[tg.Tensor] = []

    def step() -> float:
        y = tg.rand(256, device=device) * 3
        kept.append(y.exp())  # the leak
        return float(kept[-1].sum() + y.sum())

    with profiler.profile(profile_memory=True, with_stack=True) as prof:
        step()
        a = prof.memory_snapshot()
        step()
        b = prof.memory_snapshot()
        difference = profiler.memory_difference(a, b)
        where = str(kept[0].device)
        del kept[:]
        assert not [x for x in prof.memory_snapshot().rows if x.op == "exp"]
    big = [row for row in difference.rows if row.nbytes >= 1024]
    assert [(row.op, row.shape, row.nbytes) for row in big] == [("exp", (256,), 1024)]
    source = pathlib.Path(__file__).read_text().splitlines()
    line = int(big[0].place.rpartition(":")[2])
    assert "the leak" in source[line - 1]
    assert "exp [256]" in difference.table()
    assert profiler.memory_difference(b, a).gone >= 1024
    assert difference.by_line()[big[0].place] >= 1024
    peak = prof.memory_peaks()[where]
    assert peak.nbytes >= 2 * 1024 + 1024
    key = "cpu_memory_usage" if device == "cpu" else "device_memory_usage"
    assert getattr(rows(prof)["exp"], key) == 2048
    lines = {row.key.split()[0]: getattr(row, key) for row in prof.lines()}
    assert lines[big[0].place] >= 2048
    by_op = sum(getattr(row, key) for row in prof.key_averages())
    assert by_op == sum(lines.values()) > 4096
    by_both = prof.key_averages(group_by_stack_n=1)
    assert sum(getattr(row, key) for row in by_both if row.key == "exp") == 2048
    assert " mem " not in prof.kernels().table()
    assert "memory is left out" in prof.kernels().table()


def test_a_chain_of_small_ops_is_measured_step_by_step() -> None:
    x = tg.ones(4, device="cpu")
    tg.nn.functional.softplus(x)
    tg.nn.functional.mish(x)
    plain = tg.nn.functional.mish(x)
    with profiler.profile() as prof:
        assert tg.nn.functional.mish(x).tolist() == plain.tolist()
    assert {"mul", "tanh"} <= set(rows(prof))
    assert all(row.cpu_time_total > 0 for row in prof.key_averages())


def test_a_device_without_timers_says_that_it_was_measured_by_the_wall() -> None:
    device = recorder.device()
    x = tg.rand(8, 8, device=device)
    with profiler.profile() as prof:
        y = ((x.exp() @ x).exp() @ x).sum()
        device.backend.flush()
    assert y.shape == ()
    found = prof.key_averages()
    assert any("no timers" in note for note in found.notes)
    assert "Note: the device has no timers" in found.table()
    kernels = [e for e in prof.events() if e.kind == "kernel"]
    assert len(kernels) > 1
    assert all(e.whole for e in kernels)


def test_what_is_no_activity_is_refused() -> None:
    cpu = profiler.ProfilerActivity.CPU
    for given in (["cpu"], "cpu", [1], [cpu, "x"], [cpu, None], [None], cpu, 3, [{"cpu": 1}]):
        with pytest.raises(TypeError, match=r"profile: expected a list of activities such as"):
            profiler.profile(activities=given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one activity"):
        profiler.profile(activities=[])
    assert profiler.profile(activities=(cpu,)).activities == {cpu}
    assert len(profiler.profile().activities) > 1


def test_activities_and_schedule_choose_what_is_measured(tmp_path: pathlib.Path) -> None:
    x = tg.ones(4, device="cpu")
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as prof:
        x.exp()
    assert not prof.events()
    plan = profiler.schedule(wait=1, warmup=1, active=2, repeat=1)
    seen: list[int] = []

    def ready(p: profiler.profile) -> None:
        seen.append(rows(p)["exp"].count)
        profiler.tensorboard_trace_handler(str(tmp_path), use_gzip=True)(p)

    with profiler.profile(schedule=plan, on_trace_ready=ready) as prof:
        for _ in range(6):
            x.exp()
            prof.step()
    assert seen == [2]
    (path,) = tmp_path.iterdir()
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    assert sorted(e["name"] for e in events if e["name"] != "exp") == [
        "ProfilerStep#2",
        "ProfilerStep#3",
    ]
    assert all(e["ph"] == "X" and e["dur"] >= 0 for e in events)


def test_profiles_overlap_and_end_in_any_order() -> None:
    x = tg.ones(4, device="cpu")
    first, second = profiler.profile(), profiler.profile()
    first.start()
    x.exp()
    second.start()
    x.log()
    first.stop()
    x.sqrt()
    second.stop()
    x.sin()
    assert [e.name for e in first.events()] == ["exp", "log"]
    assert [e.name for e in second.events()] == ["log", "sqrt"]


def test_what_was_not_asked_for_is_refused() -> None:
    with profiler.profile() as prof:
        tg.ones(2, device="cpu").exp()
    for call, words in (
        (lambda: prof.key_averages(group_by_input_shape=True), "record_shapes"),
        (lambda: prof.key_averages(group_by_stack_n=2), "with_stack"),
        (prof.lines, "with_stack"),
        (prof.memory_snapshot, "profile_memory"),
        (prof.memory_peaks, "profile_memory"),
        (lambda: prof.key_averages().table(sort_by="speed"), "no 'speed'"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="two snapshots"):
        profiler.memory_difference(prof, prof)  # type: ignore[arg-type]


def test_an_exception_inside_leaves_no_profile_behind() -> None:
    with pytest.raises(tg.core.errors.TabgradError):
        with profiler.profile() as prof:
            tg.ones(2, device="cpu") @ tg.ones(3, device="cpu")
    assert prof.events() is not None


@pytest.mark.every_host
def test_what_was_recorded_before_a_profile_is_no_part_of_it(device: str) -> None:
    sent = tg.tensor([1.0, 2.0], device=device)
    kept = (sent * 3).exp()
    del sent
    with profiler.profile() as prof:
        tg.ones(2, device="cpu") + 1
    assert [row.key for row in prof.key_averages()] == ["add"]
    assert kept.log().round().tolist() == [3.0, 6.0]


def test_a_device_that_fails_at_the_end_leaves_no_profile_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise tg.core.errors.DeviceError("out of order")

    prof = profiler.profile()
    prof.start()
    tg.ones(2, device="cpu").exp()
    monkeypatch.setattr(watching, "finish_devices", broken)
    with pytest.raises(tg.core.errors.DeviceError, match="out of order"):
        prof.stop()
    assert [e.name for e in prof.events()] == ["exp"]


def test_traces_have_notes_and_stacks_are_lines_of_the_program(tmp_path: pathlib.Path) -> None:
    x = tg.rand(64, 64, device="cpu")
    with profiler.profile(with_stack=True) as prof:
        for _ in range(8):
            x = (x @ x).tanh()
    prof.add_metadata("run", "first")
    prof.add_metadata_json("sizes", "[1, 2]")
    prof.export_chrome_trace(tmp_path / "trace.json")
    told = json.loads((tmp_path / "trace.json").read_text())
    assert (told["run"], told["sizes"]) == ("first", [1, 2])
    assert sum(e["name"] == "matmul" for e in told["traceEvents"]) == 8
    prof.export_stacks(tmp_path / "stacks.txt")
    for line in (tmp_path / "stacks.txt").read_text().splitlines():
        stack, _, time = line.rpartition(" ")
        assert "test_profiling.py" in stack.split(";")[0]
        assert int(time) > 0
    event = prof.events()[0]
    assert (event.input_shapes, event.count) == ([[64, 64], [64, 64]], 1)
    with pytest.raises(ValueError, match="no metric"):
        prof.export_stacks(tmp_path / "stacks.txt", "speed")
    with pytest.raises(ValueError, match="with_stack"):
        profiler.profile().export_stacks(tmp_path / "stacks.txt")


def test_estimates() -> None:
    def of(fn: Any) -> int | None:
        with profiler.profile() as prof:
            fn()
        found = [row.flops for row in prof.key_averages()]
        return None if None in found else sum(f for f in found if f is not None)

    x = tg.ones(6, 4, device="cpu")
    image, kernel = tg.ones(2, 3, 8, 8, device="cpu"), tg.ones(5, 3, 3, 3, device="cpu")
    square = tg.eye(6, device="cpu") * 2
    for fn, expected in (
        (lambda: x @ x.T, 2 * 6 * 4 * 6),
        (
            lambda: tg.bmm(tg.ones(5, 2, 3, device="cpu"), tg.ones(5, 3, 4, device="cpu")),
            5 * 2 * 2 * 3 * 4,
        ),
        (lambda: nn.functional.conv2d(image, kernel), 2 * (2 * 5 * 6 * 6) * 27),
        (lambda: x.exp(), 24),
        (lambda: x.sum(0), 24),
        (lambda: x.T, 0),
        (lambda: tg.linalg.cholesky(square), None),
    ):
        if expected is None:
            assert (of(fn) or 0) >= 6**3 // 3
        else:
            assert of(fn) == expected, fn


@pytest.mark.every_host
def test_what_a_function_composes_is_measured(device: str) -> None:
    x = tg.rand(64, 32, device=device)
    tg.softmax(x, 1)
    with profiler.profile(with_flops=True) as prof:
        tg.softmax(x, 1).sum().item()
        tg.nn.functional.layer_norm(x, (32,)).sum().item()
    assert sum(row.flops or 0 for row in prof.key_averages()) > 8 * 64 * 32
