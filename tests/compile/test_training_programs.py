"""Training programs as users write them, compiled and plain: the same numbers, with changes in between."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.nn import functional as F

pytestmark = pytest.mark.every_host
Wrap = Callable[[Any], Any]


def image(i: int, n: int = 4) -> Any:
    return (tg.arange(n * 2 * 6 * 6).reshape(n, 2, 6, 6) * (0.01 + 0.003 * i)).sin()


def labels(n: int, classes: int, i: int) -> Any:
    return (tg.arange(n) + i) % classes


def convolution(wrap: Wrap) -> list[Any]:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(36, 3),
    )  # fmt: skip
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    call, predict = wrap(step), wrap(lambda x: net(x).detach())
    seen = []
    for i in range(8):
        seen.append(call(image(i), labels(4, 3, i)))
        if i == 3:
            net.eval()
            seen.append(predict(image(9)))
            seen.append(predict(image(9, 2)))
            net.train()
        if i == 4:
            net[4].p = 0.0
        if i == 5:
            net[1].momentum = 0.5
            net[0].weight.requires_grad_(False)
    net.eval()
    return [
        *seen,
        predict(image(9)),
        net[1].running_mean,
        net[1].running_var,
        net[1].num_batches_tracked,
    ]


def transformer(wrap: Wrap) -> list[Any]:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    body = nn.TransformerEncoder(layer, 2)
    params = [*embed.parameters(), *body.parameters(), *head.parameters()]
    optimizer = optim.AdamW(params, lr=0.01)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=20)

    def step(tokens: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1] - 1)
        logits = head(body(embed(tokens[:, :-1]), mask=mask, is_causal=True))
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(params, 0.5)
        optimizer.step()
        return loss.detach(), norm

    call = wrap(step)
    seen = []
    for i in range(7):
        length = 6 if i % 3 else 9
        seen += call((tg.arange(2 * length).reshape(2, length) * (i + 1)) % 11)
        schedule.step()
    return [*seen, head.weight]


def recurrent(wrap: Wrap) -> list[Any]:
    cell, head = nn.LSTM(3, 5, num_layers=2), nn.Linear(5, 1)
    optimizer = optim.RMSprop([*cell.parameters(), *head.parameters()], lr=0.01)

    def step(x: Any, h: Any, c: Any) -> Any:
        y, (h, c) = cell(x, (h, c))
        loss = (head(y) - x.sum(-1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach(), h.detach(), c.detach()

    call = wrap(step)
    h, c = tg.zeros(2, 2, 5), tg.zeros(2, 2, 5)
    seen = []
    for i in range(6):
        loss, h, c = call((tg.arange(24.0).reshape(4, 2, 3) * 0.1 + i).cos(), h, c)
        seen.append(loss)
        if i == 3:
            h, c = h * 0, c * 0
    return [*seen, h, c]


def adversaries(wrap: Wrap) -> list[Any]:
    g = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 2))
    d = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    of_g = optim.Adam(g.parameters(), lr=0.01, betas=(0.5, 0.999))
    of_d = optim.Adam(d.parameters(), lr=0.02, betas=(0.5, 0.999))
    judge = nn.BCEWithLogitsLoss()

    def step(real: Any, noise: Any) -> Any:
        of_d.zero_grad()
        fake = g(noise)
        ones, zeros = tg.ones(len(real), 1), tg.zeros(len(real), 1)
        loss_d = judge(d(real), ones) + judge(d(fake.detach()), zeros)
        loss_d.backward()
        of_d.step()
        of_g.zero_grad()
        loss_g = judge(d(fake), ones)
        loss_g.backward()
        of_g.step()
        return loss_d.detach(), loss_g.detach()

    call = wrap(step)
    seen = []
    for i in range(6):
        base = tg.arange(10.0).reshape(5, 2) + i
        seen += call(base.sin(), base.cos())
        if i == 2:
            of_g.param_groups[0]["lr"] = 0.002
        if i == 4:
            d[0].requires_grad_(False)
    return [*seen, g[0].weight, d[2].weight]


def accumulation(wrap: Wrap) -> list[Any]:
    net = nn.Linear(3, 2)
    optimizer = optim.Adam(net.parameters(), lr=0.05)
    micro = wrap(lambda x: _backward(net(x).square().mean() / 3))
    update = wrap(lambda: (optimizer.step(), optimizer.zero_grad())[0])
    seen = []
    for i in range(12):
        seen.append(micro((tg.arange(6.0).reshape(2, 3) + i).sin()))
        if i % 3 == 2:
            if i == 8:
                nn.utils.clip_grad_value_(net.parameters(), 0.01)
            update()
    return [*seen, net.weight]


def _backward(loss: Any) -> Any:
    loss.backward()
    return loss.detach()


def averages(wrap: Wrap) -> list[Any]:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    slow = copy.deepcopy(net).requires_grad_(False)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    plan = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

    def step(x: Any) -> Any:
        loss = net(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with tg.no_grad():
            for a, b in zip(slow.parameters(), net.parameters(), strict=True):
                a.lerp_(b, 0.1)
            for a, b in zip(slow.buffers(), net.buffers(), strict=True):
                a.copy_(b)
        return loss.detach()

    call = wrap(step)
    seen = []
    for i in range(6):
        seen.append(call((tg.arange(12.0).reshape(4, 3) * (i + 1)).sin()))
        plan.step()
        if i == 3:
            net.load_state_dict(slow.state_dict())
    return [*seen, *slow.state_dict().values()]


def scaled(wrap: Wrap) -> list[Any]:
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scaler = tg.amp.GradScaler(init_scale=16.0, growth_interval=2)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = net(x).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    call = wrap(step)
    seen = []
    for i in range(7):
        x = (tg.arange(6.0).reshape(2, 3) + i).sin()
        seen.append(call(x * (float("inf") if i == 3 else 1)))
    return [
        *[s for k, s in enumerate(seen) if k != 3],
        net[0].weight,
        tg.tensor(scaler.get_scale()),
    ]


def penalty(wrap: Wrap) -> list[Any]:
    """A gradient penalty: a gradient of a gradient inside the step."""
    net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
    optimizer = optim.Adam(net.parameters(), lr=0.02)

    def step(x: Any) -> Any:
        x = x.detach().requires_grad_()
        (slope,) = tg.autograd.grad(net(x).sum(), x, create_graph=True)
        loss = (slope.norm(dim=1) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    call = wrap(step)
    return [call((tg.arange(8.0).reshape(4, 2) + i).sin()) for i in range(5)] + [net[0].weight]


def unfrozen(wrap: Wrap) -> list[Any]:
    """Layers are unfrozen, groups added, a head and a loss replaced, hooks put on and taken off."""
    body, head = nn.Linear(3, 4), nn.Linear(4, 2)
    body.requires_grad_(False)
    net = nn.Sequential(body, nn.ReLU(), head)
    optimizer = optim.SGD(head.parameters(), lr=0.1)
    state: dict[str, Any] = {"loss": F.mse_loss}

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        y = net(x)
        loss = state["loss"](y, tg.ones_like(y))
        loss.backward()
        optimizer.step()
        return loss.detach()

    call = wrap(step)
    seen = []
    for i in range(12):
        seen.append(call((tg.arange(6.0).reshape(2, 3) + i).cos()))
        if i == 2:
            body.requires_grad_(True)
            optimizer.add_param_group({"params": body.parameters(), "lr": 0.01})
        if i == 4:
            state["loss"] = F.l1_loss
        if i == 6:
            handle = net[1].register_forward_hook(lambda m, a, y: y * 0.5)
        if i == 8:
            handle.remove()
            net[1] = nn.Sigmoid()
        if i == 10:
            net.append(nn.Linear(2, 2))
    return [*seen, body.weight, head.weight]


PROGRAMS = [
    convolution, transformer, recurrent, adversaries, accumulation, averages, scaled, penalty, unfrozen,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("dynamic", [None, True], ids=["", "dynamic"])
@pytest.mark.filterwarnings("ignore:tabgrad.compile")
def test_compiled_and_plain(program: Any, dynamic: bool | None, device: str) -> None:
    answers = []
    for wrap in (lambda fn: fn, lambda fn: tg.compile(fn, dynamic=dynamic)):
        tg.manual_seed(11)
        with tg.device(device):
            found = program(wrap)
        answers.append([x.detach().cpu() for x in found])
    for i, (plain, compiled) in enumerate(zip(*answers, strict=True)):
        tg.testing.assert_close(
            compiled, plain, rtol=2e-3, atol=2e-4, msg=lambda m, i=i: f"answer {i}: {m}"
        )
