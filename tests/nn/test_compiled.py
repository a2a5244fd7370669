"""Compiled training steps of whole models do what the eager ones do: buffers, dropout, modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, profiler

pytestmark = pytest.mark.one_host("wgpu", "cuda")


@pytest.fixture(autouse=True)
def on_device(device: str) -> Any:
    tg.set_default_device(device)
    yield
    tg.set_default_device(None)


class Reader(nn.Module):
    """Letters in, a class out."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 1)
        self.memory = nn.GRU(8, 6, batch_first=True)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.out(self.memory(self.layers(self.table(x)))[0][:, -1])


def image_net() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(4, 3, padding=1), nn.LazyBatchNorm2d(), nn.SiLU(), nn.MaxPool2d(2),
        nn.Dropout2d(0.2), nn.Flatten(), nn.LazyLinear(8), nn.LayerNorm(8), nn.Tanh(),
        nn.Dropout(0.3), nn.LazyLinear(3),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "images": (image_net, lambda: tg.randn(6, 1, 8, 8)),
    "letters": (Reader, lambda: tg.randint(0, 11, (6, 4))),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_training(name: str) -> None:
    def run(compiled: bool) -> tuple[list[float], dict[str, Any]]:
        tg.manual_seed(1)
        make, draw = MODELS[name]
        net = make()
        x, y = draw(), tg.randint(0, 3, (6,))
        net(x)
        optimizer = tg.optim.AdamW(net.parameters(), lr=0.01)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            return loss.detach()

        go = tg.compile(step) if compiled else step
        losses = [go(x, y).item() for _ in range(6)]
        assert not compiled or go.traces <= 2
        return losses, {k: v.tolist() for k, v in net.state_dict().items()}

    eager, compiled = run(False), run(True)
    assert compiled[0] == pytest.approx(eager[0], rel=1e-3)
    for key, value in eager[1].items():
        close(compiled[1][key], value)


def close(a: Any, b: Any) -> None:
    if isinstance(b, list):
        for x, y in zip(a, b, strict=True):
            close(x, y)
    else:
        assert a == pytest.approx(b, rel=1e-2, abs=2e-3)


def test_a_model_alone_and_its_modes() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    fast = tg.compile(net)
    x = tg.ones(2, 4)
    with tg.no_grad():
        a, b = fast(x).tolist(), fast(x).tolist()
        assert a != b
        net.eval()
        assert fast(x).tolist() == net(x).tolist()
        assert fast(x).tolist() == fast(x).tolist()
        net.train()
        assert fast(x).tolist() != fast(x).tolist()
        with profiler.count() as count:
            fast(x)
        assert count.pipelines == 0
