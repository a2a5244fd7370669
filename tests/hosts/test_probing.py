"""Variants of kernels are timed on the adapter while a program runs, and the fastest is taken."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.hosts import kept_answers, probing
from tabgrad.hosts.commands import Adapter
from tabgrad.hosts.replay import HOT
from tabgrad.hosts.trial import Trial, stand_ins
from tabgrad.hosts.tuning import Tuning
from tabgrad.lower import tiles
from tabgrad.lower.variants import Choices
from tests.lower import recorder

QUESTION = "product float32 1 32 32 32 --"
SLOW, FAST = 4000, 1000


@pytest.fixture
def backend(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A device whose kernels are measured, with three variants of each product and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tiles, "MOST", 3)
    monkeypatch.setattr(probing, "SECONDS", 60.0)
    found = tg.device(device).backend  # type: ignore[attr-defined]
    monkeypatch.setattr(found, "plans", {})
    monkeypatch.setattr(found, "known", None)
    monkeypatch.setattr(found.sizes, "known", {})
    monkeypatch.setattr(found, "probe", None)
    monkeypatch.setattr(Tuning, "benchmark", True)
    yield found
    monkeypatch.undo()
    found.limits.choices = None


def answer(backend: Any, ticks: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the clock of the adapter show that a run of a variant takes so many ticks, and SLOW of the fixed one;
    return the list of variants that have been timed."""
    real, timed = backend.host.read, []

    def read(token: int, timeout: float) -> bytes:
        data = real(token, timeout)
        probe = backend.probe
        if probe is None or token not in probe.tokens[:2]:
            return data
        name = probe.trial.name if token in probe.tokens[1:2] else ""
        if name:
            timed.append(name)
        each = ticks(name) if name else SLOW
        count = len(data) // 16
        return array("Q", [t for k in range(count) for t in (k * 9999, k * 9999 + each)]).tobytes()

    monkeypatch.setattr(backend.host, "read", read)
    return timed


def operands(device: str, *sizes: int) -> tuple[Any, Any, np.ndarray]:
    m, k, n = sizes or (20, 24, 28)
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-4, 5, s).astype(np.float32) for s in ((m, k), (k, n)))
    return tg.tensor(x, device=device), tg.tensor(y, device=device), x @ y


def run(x: Any, y: Any, want: np.ndarray, times: int) -> None:
    for _ in range(times):
        np.testing.assert_array_equal((x @ y).numpy(), want)


def taken(backend: Any) -> str:
    return str(list(backend.plans.values())[-1].plan.asked[QUESTION].taken)


@pytest.mark.one_host("wgpu")
def test_the_fastest_variant_is_taken_kept_and_used_next_time(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, want = operands(device)
    run(x, y, want, 1)
    _, *others = next(iter(backend.plans.values())).plan.asked[QUESTION].names()
    assert taken(backend) not in others, "a plan that may run once is no trouble to compile"
    assert len(others) == 2
    timed = answer(backend, lambda name: FAST if name == others[1] else SLOW, monkeypatch)
    run(x, y, want, HOT - 2)
    assert backend.probe is None, "nothing is measured before a plan has run often"
    run(x, y, want, 12)
    assert timed == [*others, others[1]], "the best runs once more"
    assert taken(backend) == others[1]
    told = tg.compiler.explain(x @ y)
    assert told.choices == {QUESTION: f"{others[1]} (measured)"}
    assert f"choice for {QUESTION}: {others[1]} (measured)" in str(told)
    run(x, y, want, HOT + 8)
    assert len(timed) == 3, "a question is asked once"
    # the next session
    backend.plans.clear()
    backend.known, backend.probe = None, None
    run(x, y, want, HOT + 8)
    assert len(timed) == 3
    assert taken(backend) == others[1]
    # another size of the class, and a size of another
    run(*operands(device, 31, 17, 32), 1)
    assert taken(backend) == others[1]
    run(*operands(device, 5, 17, 32), 1)
    assert QUESTION not in list(backend.plans.values())[-1].plan.asked


@pytest.mark.one_host("wgpu")
def test_nothing_that_is_hardly_faster_is_taken(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(backend, lambda name: SLOW * 97 // 100, monkeypatch)
    x, y, want = operands(device)
    run(x, y, want, HOT + 8)
    fixed = next(iter(backend.plans.values())).plan.asked[QUESTION].names()[0]
    assert taken(backend) == fixed
    assert backend.choices.answers == {QUESTION: fixed}
    assert json.loads(kept_answers.file().read_text())[
        kept_answers.name(backend.host.hello.adapter)
    ] == {QUESTION: fixed}


@pytest.mark.one_host("wgpu")
def test_a_variant_that_was_faster_by_chance_is_not_taken(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([FAST, SLOW, SLOW])
    timed = answer(backend, lambda name: next(times), monkeypatch)
    x, y, want = operands(device)
    run(x, y, want, HOT + 12)
    fixed, lucky, other = next(iter(backend.plans.values())).plan.asked[QUESTION].names()
    assert timed == [lucky, other, lucky]
    assert taken(backend) == fixed


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("flaw", ["does not compile", "is wrong", "is wrong at the end"])
def test_a_failing_variant_is_never_taken(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    x, y, want = operands(device)
    run(x, y, want, 1)
    fixed, bad, other = next(iter(backend.plans.values())).plan.asked[QUESTION].names()
    real = tiles.written

    def written(tile: Any, *args: Any) -> tuple[str, int]:
        text, groups = real(tile, *args)
        if str(tile) == bad:
            text = {
                "does not compile": text + "fn unfinished(",
                "is wrong": text.replace("done[e])", "done[e] + 0.125)"),
                "is wrong at the end": text.replace(
                    "done[e])", "select(done[e], 100.0, i == 19u && j == 27u))"
                ),
            }[flaw]
        return text, groups

    monkeypatch.setattr(tiles, "written", written)
    timed = answer(backend, lambda name: {bad: 1, other: FAST}.get(name, SLOW), monkeypatch)
    run(x, y, want, HOT + 12)
    assert other in timed
    assert taken(backend) == other
    assert backend.probe.over is False
    assert fixed != other


@pytest.mark.one_host("wgpu")
def test_a_device_without_timers_is_measured_from_outside(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, want = operands(device)
    run(x, y, want, 1)
    names = next(iter(backend.plans.values())).plan.asked[QUESTION].names()
    real, timed = Trial.seconds, []

    def seconds(self: Any, answers: Any, name: str, runs: int) -> float:
        assert 0 < real(self, answers, name, runs) < 10
        timed.append(name)
        return 0.001 if name == names[2] else 0.004

    monkeypatch.setattr(Trial, "seconds", seconds)
    probe = backend.probe = probing.Probe(backend)
    probe.timers = False
    run(x, y, want, HOT + 16)
    assert timed == [names[0], names[1], names[0], *([names[2], names[0]] * 2)]
    assert taken(backend) == names[2]


@pytest.mark.one_host("wgpu")
def test_what_ends_the_program_is_not_tried_again(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that takes the device away, or hangs, has no end; the next session takes the fixed variant."""
    x, y, want = operands(device)

    def lost(self: Any, *_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trial, "variant", lost)
    with pytest.raises(KeyboardInterrupt):
        run(x, y, want, HOT + 8)
    assert backend.probe.over
    fixed = next(iter(backend.plans.values())).plan.asked[QUESTION].names()[0]
    assert kept_answers.load(backend.host) == {QUESTION: fixed}
    assert set(backend.host._buffers) >= set(backend.probe.given_up.buffers)
    gone = backend.probe.given_up.buffers
    run(x, y, want, 2)
    assert not set(backend.host._buffers) & set(gone)


@pytest.mark.one_host("wgpu")
def test_a_trial_leaves_nothing_behind(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it went well, or the device had no room for it."""
    x, y, want = operands(device)
    run(x, y, want, 1)
    host = backend.host
    real = Trial.can_run
    for room in (True, False):
        backend.plans.clear()
        backend.known, backend.probe = Choices(), None
        if not room:
            # a buffer that no device has
            def can_run(self: Any, plan: Any) -> bool:
                plan.nbytes[-1] = (1 << 32) - 4
                return real(self, plan) or True

            monkeypatch.setattr(Trial, "can_run", can_run)
        made = host._buffers.keys(), host._lists.keys(), host._pipelines.by_id.keys()
        run(x, y, want, HOT + 12)
        assert backend.probe.trial is None
        assert (QUESTION in backend.choices.answers) == room
        assert all(number < probing.FAR for keys in made for number in keys)


def test_answers_that_come_with_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tabgrad.hosts import known_adapters

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(known_adapters, "KNOWN", {"gen-9": {"a": "1", "b": "2"}})

    class Host:
        class hello:
            adapter = Adapter(vendor="Acme", architecture="Gen-9")

    assert kept_answers.load(Host()) == {"a": "1", "b": "2"}
    kept_answers.keep(Host(), {"b": "3"})
    assert kept_answers.load(Host()) == {"a": "1", "b": "3"}


@pytest.mark.one_host("wgpu")
def test_a_compiled_function_goes_on_with_the_faster_kernel(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not captured again, and numbers that change from call to call still do."""
    x, y, _ = operands(device)
    p = y.clone().requires_grad_()
    start, weights = y.numpy(), np.arange(560, dtype=np.float32).reshape(20, 28) % 7
    t = tg.tensor(weights, device=device)
    optimizer = tg.optim.SGD([p], lr=0.5)

    @tg.compile
    def step() -> Any:
        loss = ((x @ p) * t).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    names: list[str] = []
    answer(backend, lambda name: FAST if name == names[1] else SLOW, monkeypatch)
    moved = 0.0
    for i in range(HOT + 40):
        optimizer.param_groups[0]["lr"] = rate = 2.0 ** -(i % 5)
        moved += rate
        step()
        if i == HOT // 2:
            traces = step.explain().traces
        got = p.detach().numpy()
        np.testing.assert_allclose(
            got, start - moved * (x.numpy().T @ weights), rtol=1e-5, atol=1e-3
        )
        if not names:
            asked = [a for s in backend.plans.values() for a in s.plan.asked.items()]
            names = dict(asked)[QUESTION].names() if asked else []
    kept = [s.plan.asked for s in backend.plans.values() if s.captured]
    assert [asked[QUESTION].taken for asked in kept if QUESTION in asked] == [names[1]]
    assert step.explain().traces == traces


@pytest.mark.one_host("wgpu")
def test_it_is_bounded_and_can_be_switched_off(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, want = operands(device)
    timed = answer(backend, lambda name: FAST, monkeypatch)
    monkeypatch.setattr(probing, "SECONDS", 0.0)
    run(x, y, want, HOT + 8)
    assert timed == []
    assert backend.choices.answers == {}
    monkeypatch.setattr(probing, "SECONDS", 60.0)
    backend.plans.clear()
    backend.probe = None
    run(x, y, want, HOT + 8)
    assert len(timed) == 3
    assert taken(backend) != next(iter(backend.plans.values())).plan.asked[QUESTION].names()[0]
    fixed = next(iter(backend.plans.values())).plan.asked[QUESTION].names()[0]
    tg.use_deterministic_algorithms(True)
    try:
        run(x, y, want, HOT + 8)
        assert len(timed) == 3
        assert list(backend.plans.values())[-1].plan.asked == {}
        assert tg.compiler.explain(x @ y).choices == {}
    finally:
        tg.use_deterministic_algorithms(False)
    backend.plans.clear()
    run(x, y, want, 1)
    assert taken(backend) != fixed
    tg.backends.webgpu.benchmark = False
    run(x, y, want, HOT + 8)
    assert list(backend.plans.values())[-1].plan.asked == {}


@pytest.mark.one_host("wgpu")
def test_a_trial_that_fills_a_session_is_decided_by_what_ran(
    backend: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its four packets have no room in any session; none begins that would be too long."""
    timed = answer(backend, lambda name: FAST, monkeypatch)
    real = probing.Probe.send

    def send(self: Any, tokens: Any) -> None:
        real(self, tokens)
        self.spent += 1.0

    monkeypatch.setattr(probing.Probe, "send", send)
    monkeypatch.setattr(probing, "SECONDS", 3.5)
    x, y, want = operands(device)
    run(x, y, want, HOT + 12)
    assert len(timed) == 2
    assert backend.probe.spent < 3.5
    assert backend.probe.trial is None
    assert backend.choices.answers == {QUESTION: timed[0]}
    assert kept_answers.load(backend.host) == {QUESTION: timed[0]}


def test_a_software_adapter_is_measured_on_request_only() -> None:
    for software, benchmark, asked in (
        (True, None, 0),
        (True, True, 1),
        (False, None, 1),
        (False, False, 0),
    ):
        where = recorder.device()
        where.backend.limits.software = software  # type: ignore[attr-defined]
        where.backend.known = Choices()  # type: ignore[attr-defined]
        x = tg.rand(8, 8, device=where)
        where.backend.flush()  # type: ignore[attr-defined]
        tg.backends.webgpu.benchmark = benchmark
        try:
            assert len(tg.compiler.explain(x @ x).choices) == asked
        finally:
            tg.backends.webgpu.benchmark = None


def test_stand_ins_are_the_op_and_what_it_reads_through() -> None:
    where = recorder.device()
    backend: Any = where.backend  # type: ignore[attr-defined]
    x, y = tg.rand(2, 8, 12, device=where), tg.rand(8, 8, device=where)
    backend.flush()
    z = (x.mT.reshape(24, 8) * 2) @ y.T + 1
    order = backend.graph.ancestors([z.value.id])
    raw, _ = backend.structure(order, [z.value.id])
    at = next(k for k, (op, *_) in enumerate(raw) if op is not None and op.name == "matmul")
    short, long = ([op.name if op else "input" for op, *_ in p] for p in stand_ins(raw, at))
    assert short[-1] == long[-1] == "matmul"
    assert "mul" not in short
    assert "mul" in long
    assert "add" not in long
    for program in stand_ins(raw, at):
        for k, (_, _, srcs, _) in enumerate(program):
            assert all(s < k for s in srcs)


def test_answers_are_kept_by_adapter_and_rubbish_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    class Host:
        class hello:
            adapter = Adapter(vendor="acme", architecture="gen-9")

    class Other:
        class hello:
            adapter = Adapter(vendor="acme", architecture="gen-10")

    host, other = Host(), Other()
    assert kept_answers.load(host) == {}
    kept_answers.keep(host, {"a": "1"})
    kept_answers.keep(other, {"a": "2"})
    kept_answers.keep(host, {"a": "3", "b": "4"})
    assert kept_answers.load(host) == {"a": "3", "b": "4"}
    assert kept_answers.load(other) == {"a": "2"}
    assert [p.name for p in kept_answers.file().parent.iterdir()] == ["kernels.json"]
    for text in (
        "",
        "[",
        "[]",
        "3",
        '{"acme": 3}',
        "[" * 100_000,
        json.dumps({kept_answers.name(Host.hello.adapter): [1]}),
    ):
        kept_answers.file().write_text(text)
        assert kept_answers.load(host) == {}
        kept_answers.keep(host, {"a": "5"})
        assert kept_answers.load(host) == {"a": "5"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept_answers.file()))
    kept_answers.keep(host, {"a": "6"})
    assert kept_answers.load(host) == {}


def test_answers_of_other_kernels_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    class Host:
        class hello:
            adapter = Adapter(vendor="acme", architecture="gen-9", device="X")

    class Other:
        class hello:
            adapter = Adapter(vendor="acme", architecture="gen-10")

    kept_answers.keep(Host(), {"a": "1"})
    kept_answers.keep(Other(), {"a": "2"})
    monkeypatch.setattr(kept_answers, "EDITION", kept_answers.EDITION + 1)
    assert kept_answers.load(Host()) == {}
    kept_answers.keep(Host(), {"b": "3"})
    assert kept_answers.load(Host()) == {"b": "3"}
    assert len(json.loads(kept_answers.file().read_text())) == 2
    row = kept_answers.entry(Host())
    assert eval("{" + row + "}") == {"acme | gen-9 | x": {"b": "3"}}
    from tabgrad.hosts import known_adapters

    monkeypatch.setattr(known_adapters, "KNOWN", eval("{" + row + "}"))
    kept_answers.keep(Host(), {})
    assert kept_answers.load(Host()) == {"b": "3"}
