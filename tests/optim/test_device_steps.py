"""On a GPU a step is one dispatch for all parameters, and a compiled one goes on as an eager one would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, profiler
from tests.optim.cases import OPTIMIZERS, loss_of, make, parameters, rounded

pytestmark = pytest.mark.one_host("wgpu", "cuda")

ONE_VECTOR = [
    "SGD(params, lr=0.1)",
    "SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)",
    "Adam(params, lr=0.05)",
    "AdamW(params, lr=0.05, weight_decay=0.2)",
    "NAdam(params, lr=0.05)",
    "RAdam(params, lr=0.05)",
    "Adagrad(params, lr=0.1)",
    "RMSprop(params, lr=0.02, momentum=0.9)",
    "Rprop(params, lr=0.02)",
]


def network(device: str) -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8, device=device), nn.Tanh(), nn.Linear(8, 8, device=device), nn.Tanh(),
        nn.Linear(8, 3, device=device),
    )  # fmt: skip


def dispatches(device: str, run: Callable[[], Any]) -> int:
    with profiler.count() as count:
        run()
        tg.device(device).backend.flush()
    return count.dispatches


@pytest.mark.parametrize("case", ONE_VECTOR)
def test_one_dispatch_for_all_parameters(case: str, device: str) -> None:
    net = network(device)
    params = list(net.parameters())
    optimizer = make(tg, case, params)
    x = tg.ones(4, 6, device=device)

    def backward() -> None:
        optimizer.zero_grad()
        net(x).sum().backward()

    def both() -> None:
        backward()
        optimizer.step()

    both()
    # what a step adds to a backward pass, whose kernels write gradients where the step wants them
    assert dispatches(device, both) - dispatches(device, backward) <= 1


def steps(
    case: str, device: str, compiled: bool, between: Callable[[int, Any], Any] | None = None
) -> tuple[list[float], list[Any], Any]:
    params = parameters(tg, device)
    optimizer = make(tg, case, params)

    def step(scale: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(tg, params, device) * scale
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = tg.compile(step) if compiled else step
    losses = []
    for i in range(8):
        losses.append(run(tg.tensor(1.0, device=device)).item())
        if between is not None:
            between(i, optimizer)
    return losses, [rounded(p) for p in params], optimizer


def halve(i: int, optimizer: Any) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= 0.8
        if i == 4 and "weight_decay" in group:
            group["weight_decay"] = 0.05


@pytest.mark.parametrize("case", [c for c in OPTIMIZERS if "LBFGS" not in c])
def test_compiled_steps_are_eager_steps(case: str, device: str) -> None:
    eager = steps(case, device, False, halve)
    compiled = steps(case, device, True, halve)
    assert compiled[0] == pytest.approx(eager[0], rel=1e-4)
    for a, b in zip(compiled[1], eager[1], strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    numbers = [
        [{k: v for k, v in own.items() if not isinstance(v, tg.Tensor)} for own in o.state.values()]
        for o in (compiled[2], eager[2])
    ]
    assert numbers[0] == numbers[1]


def test_a_changed_learning_rate_compiles_nothing(device: str) -> None:
    made = []

    def change(i: int, optimizer: Any) -> None:
        optimizer.param_groups[0]["lr"] *= 0.5
        made.append(count.pipelines)

    with profiler.count() as count:
        steps("Adam(params, lr=0.05)", device, True, change)
    assert made[-1] == made[1]


def test_state_is_read_and_loaded_between_replays(device: str) -> None:
    saved: dict[str, Any] = {}

    def between(i: int, optimizer: Any) -> None:
        if i == 2:
            state = optimizer.state_dict()
            saved.update(state)
            saved["state"] = {
                k: {n: v.clone() if isinstance(v, tg.Tensor) else v for n, v in own.items()}
                for k, own in state["state"].items()
            }
        if i == 5:
            optimizer.load_state_dict(saved)

    eager = steps("Adam(params, lr=0.05)", device, False, between)
    compiled = steps("Adam(params, lr=0.05)", device, True, between)
    assert compiled[0] == pytest.approx(eager[0], rel=1e-4)
    assert [own["step"] for own in compiled[2].state.values()] == [5, 5]
    assert [own["exp_avg"].tolist() for own in compiled[2].state.values()] == [
        [pytest.approx(row, rel=1e-3, abs=1e-5) for row in own["exp_avg"].tolist()]
        if own["exp_avg"].ndim > 1 else pytest.approx(own["exp_avg"].tolist(), rel=1e-3, abs=1e-5)
        for own in eager[2].state.values()
    ]  # fmt: skip


def test_gradients_of_other_parameters_in_between(device: str) -> None:
    def run(compiled: bool) -> list[Any]:
        params = parameters(tg, device)
        optimizer = make(tg, "Adam(params, lr=0.05)", params)

        def step() -> Any:
            optimizer.zero_grad()
            loss = loss_of(tg, params, device)
            loss.backward()
            optimizer.step()
            return loss.detach()

        both = tg.compile(step) if compiled else step
        for i in range(6):
            both()
            if i == 2:
                optimizer.zero_grad()
                (params[0] ** 2).sum().backward()
                optimizer.step()
        assert [own["step"] for own in optimizer.state.values()] == [7, 6]
        return [rounded(p) for p in params]

    for a, b in zip(run(True), run(False), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)


def test_clipping_is_compiled_too(device: str) -> None:
    def run(compiled: bool) -> list[Any]:
        params = parameters(tg, device)
        optimizer = make(tg, "SGD(params, lr=0.1, momentum=0.9)", params)

        def step() -> Any:
            optimizer.zero_grad()
            loss_of(tg, params, device).backward()
            norm = nn.utils.clip_grad_norm_(params, 0.5)
            optimizer.step()
            return norm

        go = tg.compile(step) if compiled else step
        norms = [go().item() for _ in range(5)]
        return [norms, *[rounded(p) for p in params]]

    for a, b in zip(run(True), run(False), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)


def test_a_longer_memory_has_the_same_kernels(device: str) -> None:
    """L-BFGS remembers one more step in each iteration; two steps bring all kernels."""
    net = network(device)
    optimizer = tg.optim.LBFGS(net.parameters(), lr=0.1, max_iter=5)
    x, y = tg.randn(16, 6, device=device), tg.randn(16, 3, device=device)

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    with profiler.count() as count:
        optimizer.step(closure)
    memory = optimizer.state[next(net.parameters())]["old_dirs"]
    assert len(memory) > 10
    assert count.dispatches > 40
    assert count.pipelines == 0
