"""Training programs, compiled and plain: the same numbers, and `explain` says what became of the calls."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.core.errors import CaptureError
from tabgrad.nn import functional as F

pytestmark = [
    pytest.mark.one_host("wgpu", "cuda"),
    pytest.mark.filterwarnings("ignore:tabgrad.compile"),
]
Wrap = Callable[[Any], Any]
Program = Callable[[Wrap], list[Any]]


def waves(i: int, *shape: int) -> Any:
    n = 1
    for size in shape:
        n *= size
    return (tg.arange(float(n)).reshape(shape) * 0.37 + i).sin()


def compiling(**options: Any) -> tuple[Wrap, dict[str, Any]]:
    """Return a decorator that compiles, and what it has compiled by name."""
    made: dict[str, Any] = {}

    def wrap(fn: Any) -> Any:
        made[getattr(fn, "__name__", type(fn).__name__)] = compiled = tg.compile(fn, **options)
        return compiled

    return wrap, made


def both(program: Program, device: str, **options: Any) -> dict[str, Any]:
    """Assert that a program gives the same numbers plain and compiled; return what was compiled."""
    wrap, made = compiling(**options)
    answers = []
    for how in ((lambda fn: fn), wrap):
        tg.manual_seed(5)
        with tg.device(device):
            answers.append([tg.as_tensor(x).detach().cpu().clone() for x in program(how)])
    for i, (plain, compiled) in enumerate(zip(*answers, strict=True)):
        tg.testing.assert_close(
            compiled, plain, rtol=1e-3, atol=1e-4, msg=lambda m, i=i: f"answer {i}: {m}"
        )
    return made


def everything(wrap: Wrap) -> list[Any]:
    """Adam, a schedule, clipping, a scaler, averaged weights, and autocast switched on on the way."""
    net = nn.Sequential(nn.Linear(3, 6), nn.GELU(), nn.Linear(6, 2))
    slow = copy.deepcopy(net).requires_grad_(False)
    optimizer = optim.Adam(net.parameters(), lr=0.02)
    plan = optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    scaler = tg.amp.GradScaler(init_scale=8.0)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(net.parameters(), 0.7)
        scaler.step(optimizer)
        scaler.update()
        with tg.no_grad():
            for a, b in zip(slow.parameters(), net.parameters(), strict=True):
                a.mul_(0.9).add_(b, alpha=0.1)
        return loss.detach(), norm

    call = wrap(step)
    seen = []
    for i in range(8):
        with tg.autocast(net[0].weight.device.type, enabled=False):
            seen += call(waves(i, 4, 3), (tg.arange(4) + i) % 2)
        plan.step()
        if i == 4:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return [*seen, *net.parameters(), *slow.parameters(), optimizer.param_groups[0]["lr"]]


def with_autocast(wrap: Wrap) -> list[Any]:
    net = nn.Linear(3, 2)
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    def step(x: Any, low: bool) -> Any:
        optimizer.zero_grad()
        with tg.autocast(x.device.type, dtype=tg.bfloat16, enabled=low):
            y = net(x)
        loss = y.float().square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    call = wrap(step)
    return [call(waves(i, 4, 3), i % 3 == 2) for i in range(7)] + [net.weight]


class Attention(nn.Module):
    """Attention that keeps what it has seen in buffers of a fixed size."""

    def __init__(self, room: int = 6) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.register_buffer("keys", tg.zeros(room, 4))
        self.register_buffer("values", tg.zeros(room, 4))

    def forward(self, x: Any, at: Any) -> Any:
        q, k, v = self.qkv(x).chunk(3, -1)
        self.keys.index_copy_(0, at, k)
        self.values.index_copy_(0, at, v)
        places = tg.arange(len(self.keys), device=x.device)
        scores = (q @ self.keys.T / 2).masked_fill(places > at, -1e9)
        return x + scores.softmax(-1) @ self.values


def generation(wrap: Wrap) -> list[Any]:
    """A decoder with a cache: trained by whole steps, asked token by token, the cache cleared between."""
    embed, block, head = nn.Embedding(7, 4), Attention(), nn.Linear(4, 7)

    @tg.no_grad()
    def next_token(token: Any, at: Any) -> Any:
        return head(block(embed(token), at)).argmax(-1), block.keys.sum()

    call = wrap(next_token)
    seen = []
    for first in (1, 4):
        token = tg.tensor([first])
        for at in range(5):
            token, total = call(token, tg.tensor([at]))
            seen += [token, total]
        block.keys.zero_()
        block.values.zero_()
    return [*seen, block.keys]


def rewards(wrap: Wrap) -> list[Any]:
    """A policy whose loop branches on numbers that it reads; the update branches on nothing."""
    policy = nn.Linear(2, 2)
    optimizer = optim.Adam(policy.parameters(), lr=0.05)

    def act(state: Any) -> int:
        chances = policy(state).softmax(-1).detach()
        return 1 if chances[1].item() > 0.5 else 0

    def update(states: Any, actions: Any, gains: Any) -> Any:
        chosen = policy(states).log_softmax(-1).gather(1, actions)
        loss = -(chosen.squeeze(1) * gains).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    choose, learn = wrap(act), wrap(update)
    seen = []
    for i in range(5):
        states = waves(i, 4, 2)
        actions = [choose(s) for s in states]
        gains = tg.tensor([1.0 if a == (j % 2) else -1.0 for j, a in enumerate(actions)])
        seen += [*actions, learn(states, tg.tensor(actions)[:, None], gains)]
    return [*seen, policy.weight]


def second_order(wrap: Wrap) -> list[Any]:
    """L-BFGS: its closure is compiled, the search around it reads values."""
    w = nn.Parameter(waves(1, 4))
    optimizer = optim.LBFGS([w], max_iter=4, line_search_fn="strong_wolfe")

    def loss_of(target: Any) -> Any:
        optimizer.zero_grad()
        loss = ((w - target) ** 2 * (1 + target**2)).sum()
        loss.backward()
        return loss.detach()

    call = wrap(loss_of)
    return [optimizer.step(lambda i=i: call(waves(i, 4))) for i in range(3)] + [w]


def pauses(wrap: Wrap) -> list[Any]:
    """Batch norm that is trained, asked in eval mode, and frozen."""
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = optim.SGD(net.parameters(), lr=0.05)

    def step(x: Any) -> Any:
        loss = net(x).square().mean()
        if net.training:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.detach()

    call = wrap(step)
    seen = []
    for i in range(9):
        net.train(i % 4 != 3)
        if i == 5:
            net[1].eval()
        seen.append(call(waves(i, 6, 3)))
    return [*seen, net[1].running_mean, net[1].running_var]


def test_everything_at_once(device: str) -> None:
    step = both(everything, device)["step"]
    with tg.device(device), tg.autocast(device, enabled=False):
        told = step.explain(waves(0, 4, 3), tg.arange(4) % 2)
    assert step.traces == 2
    assert len(told.dispatches) == 1
    assert told.reason is None


def test_autocast_inside(device: str) -> None:
    step = both(with_autocast, device)["step"]
    assert step.traces <= 4
    with tg.device(device):
        assert "plan 0: " in str(step.explain(waves(0, 4, 3), True))


def test_a_cache_of_keys(device: str) -> None:
    call = both(generation, device)["next_token"]
    assert call.traces <= 3
    with tg.device(device):
        told = call.explain(tg.tensor([1]), tg.tensor([1]))
    assert len(told.dispatches) >= 1
    assert told.reason is None
    assert "keys" in str(told)


def test_a_loop_that_branches_on_numbers(device: str) -> None:
    made = both(rewards, device)
    told = str(made["act"].explain(tg.ones(2, device=device)))
    assert "the last call was not replayed: it reads a value (item) at" in told
    assert __file__.rpartition("/")[2] in told
    assert made["update"].reason is None
    assert made["update"].traces <= 3


def test_a_closure_of_lbfgs(device: str) -> None:
    call = both(second_order, device)["loss_of"]
    assert call.traces <= 3
    with tg.device(device):
        told = call.explain(waves(0, 4))
    assert told.reason is None
    assert len(told.dispatches) >= 1


def test_modes_that_change(device: str) -> None:
    step = both(pauses, device)["step"]
    with tg.device(device):
        told = step.explain(waves(0, 6, 3))
    assert len(told.dispatches) >= 2
    assert any("training is" in line for guards in told.guards for line in guards)
    assert any("training" in cause for cause in told.causes)


@pytest.mark.parametrize("program", [with_autocast, generation, second_order, pauses])
def test_whole_graphs(program: Program, device: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both(program, device, fullgraph=True)


def test_a_whole_graph_with_a_read_names_the_line(device: str) -> None:
    wrap, _ = compiling(fullgraph=True)
    with tg.device(device), pytest.raises(CaptureError, match=r"item: .*reads a value inside"):
        rewards(wrap)


def test_what_was_captured_otherwise_is_told(device: str) -> None:
    call: Any = tg.compile(lambda x: x * 2)
    call(tg.ones(3, device=device))
    told = call.explain(tg.ones(4, device=device))
    assert told.dispatches == []
    assert told.others == 1
    assert "1 plan for other arguments or in other modes" in str(told)
    with tg.inference_mode():
        assert call.explain(tg.ones(3, device=device)).others == 1
    assert call.explain(tg.ones(3, device=device)).others == 0
