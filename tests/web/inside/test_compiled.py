"""Compiled calls inside Pyodide: guards, written arguments, Python effects, reads, their cost."""

from __future__ import annotations

from tests.web.inside.marks import deadline


def test_a_compiled_call_is_the_call(device):
    import tabgrad as tg

    class Box:
        scale = 2.0

    box, log = Box(), []

    def scaled(x):
        x.mul_(box.scale)
        return x.sum(), x

    f = tg.compile(scaled)
    a, b = tg.ones(2, device=device), tg.full((2,), 3.0, device=device)
    for x, want in ((a, 4.0), (a, 8.0), (b, 12.0), (a, 16.0)):
        total, same = f(x)
        assert (total.item(), same is x) == (want, True)
    assert f.traces == 1
    box.scale = 0.5
    assert f(a)[0].item() == 8.0
    assert f.traces == 2
    assert "box.scale" in str(f.explain(a))

    @tg.compile
    def counted(x):
        log.append(len(log))
        return x * len(log)

    for i in range(4):
        assert counted(a).tolist() == [4.0 * (i + 1)] * 2
    assert log == [0, 1, 2, 3]


def test_a_read_inside_runs_as_it_is(device):
    import warnings

    import tabgrad as tg

    @tg.compile
    def step(x):
        return x * 2 if x.sum() > 3 else x

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for n in range(5):
            want = [2.0 * n] * 2 if 2 * n > 3 else [float(n)] * 2
            assert step(tg.full((2,), float(n), device=device)).tolist() == want
    assert len([w for w in seen if "reads a value" in str(w.message)]) == 1


@deadline(120)
def test_guards_are_a_small_part_of_a_step(device):
    import time

    import tabgrad as tg
    from tabgrad import nn, optim

    model = nn.Sequential(
        nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    )
    model.to(device)
    optimizer = optim.Adam(model.parameters())
    x = tg.randn(8, 16, device=device)

    @tg.compile
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(5):
        step(x).item()
    assert step.traces <= 3
    (known,) = step.known.values()
    entry = known.entries[
        0
    ]  # the newest: the first step, which makes the optimizer's state, has one of its own
    times, guards = [], []
    for _ in range(200):
        start = time.perf_counter()
        step(x)
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
        assert entry.differs([x]) is None
        guards.append(time.perf_counter() - start)
    print(f"step {sorted(times)[100] * 1e3:.3f} ms, guards {sorted(guards)[100] * 1e3:.3f} ms")
    assert sum(sorted(guards)[:100]) < 0.3 * sum(sorted(times)[:100])
