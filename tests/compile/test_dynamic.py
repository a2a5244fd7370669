"""compile(dynamic=...): other sizes are captured anew, and compile nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.nn import functional as F
from tests.lower import recorder

Step = Callable[..., Any]


def trained(model: Any, loss: Callable[..., Any]) -> Step:
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(*args: Any) -> Any:
        optimizer.zero_grad()
        found = loss(model, *args)
        found.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return found.detach()

    return step


def classify(model: Any, x: Any, y: Any) -> Any:
    return F.cross_entropy(model(x), y)


def mlp() -> Any:
    return nn.Sequential(nn.Linear(13, 24), nn.LayerNorm(24), nn.GELU(), nn.Linear(24, 5))


def conv_net() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(64, 5),
    )  # fmt: skip


class Sequence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 7)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.layer(self.embed(tokens)))


def predict(model: Any, tokens: Any) -> Any:
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def pictures(n: int) -> tuple[Any, ...]:
    return tg.randn(n, 1, 8, 8), tg.randint(0, 5, (n,))


def rows(n: int) -> tuple[Any, ...]:
    return tg.randn(n, 13), tg.randint(0, 5, (n,))


CASES: dict[str, tuple[Any, Any, Any, list[Any], list[Any]]] = {
    # what, its loss, its data; the sizes to begin with, and the sizes that must compile nothing
    "mlp": (mlp, classify, rows, [32, 32, 32], [48, 17, 5, 100, 33, 2, 96, 257]),
    "convolutions": (conv_net, classify, pictures, [32, 32, 32, 17, 6], [48, 100, 5, 64, 7, 21]),
    "sequences": (
        Sequence, predict, lambda s: (tg.randint(0, 7, s),), [(6, 12)] * 3,
        [(9, 12), (3, 12), (6, 20), (6, 5), (11, 7)],
    ),
}  # fmt: skip


@pytest.mark.one_host("wgpu", "cuda")
@pytest.mark.parametrize("name", CASES)
def test_other_sizes_compile_nothing_and_train_as_eager_steps_do(name: str) -> None:
    make, loss, data, first, others = CASES[name]
    steps = []
    for _ in range(2):
        tg.manual_seed(7)
        steps.append(trained(make(), loss))
    compiled, eager = tg.compile(steps[0], dynamic=True), steps[1]
    for k, size in enumerate([*first, *others]):
        args = data(size)
        tg.accelerator.synchronize()
        state = tg.get_rng_state()
        with tg.profiler.count() as counted:
            got = compiled(*args).item()
        tg.set_rng_state(state)
        assert got == pytest.approx(eager(*args).item(), rel=2e-4), size
        if k >= len(first):
            assert counted.pipelines == 0, size


@pytest.mark.one_host("wgpu", "cuda")
@pytest.mark.parametrize(
    ("dynamic", "compiles"),
    [(None, [True, True, False, False]), (True, [True, False, False, False]), (False, [True] * 4)],
)
def test_which_sizes_compile(dynamic: bool | None, compiles: list[bool]) -> None:
    # equal text is compiled once, so each case has a width of its own
    weight = tg.randn(6, {None: 11, True: 13, False: 17}[dynamic])

    @tg.compile(dynamic=dynamic)
    def layer(x: Any) -> Any:
        return ((x @ weight).tanh() + x.mean(1, keepdim=True)).sum(1)

    made = []
    for n in (20, 31, 47, 12):
        x = tg.randn(n, 6)
        tg.accelerator.synchronize()
        with tg.profiler.count() as counted:
            layer(x).tolist()
        made.append(counted.pipelines > 0)
    assert made == compiles


@pytest.mark.one_host("wgpu", "cuda")
def test_a_size_seen_before_is_replayed() -> None:
    tg.manual_seed(7)
    compiled: Any = tg.compile(trained(mlp(), classify), dynamic=True)
    for n in (16, 16, 16, 40, 40):
        compiled(*rows(n))
    traces = compiled.traces
    for n in (16, 40, 16):
        compiled(*rows(n))
        assert compiled.traces == traces, str(compiled.explain(*rows(n)))


@pytest.mark.every_host
def test_a_size_that_is_learned_to_vary(device: str) -> None:
    """Not the first of the argument: it compiles once more, and then no more."""

    @tg.compile(dynamic=True)
    def total(x: Any) -> Any:
        return (x.sin() * 2).sum(1)

    pipelines = []
    for n in (30, 41, 17, 64, 9):
        x = tg.randn(4, n)
        tg.accelerator.synchronize()
        with tg.profiler.count() as counted:
            got = total(x).tolist()
        tg.testing.assert_close(tg.tensor(got), (x.sin() * 2).sum(1), rtol=1e-4, atol=1e-4)
        pipelines.append(counted.pipelines)
    assert device == "cpu" or (pipelines[1] > 0 and pipelines[2:] == [0, 0, 0])


@pytest.mark.parametrize("kind", ["webgpu", "cuda"])
def test_the_text_of_other_sizes_is_the_same(kind: str) -> None:
    device = recorder.device(kind)
    a, b = (tg.zeros(n, 12, device=device) for n in (12, 7))
    w = tg.zeros(12, 12, device=device)  # equal to the first size, and not varying

    @tg.compile(dynamic=True)
    def layer(x: Any, w: Any) -> Any:
        return F.softmax((x @ w).relu() + x, 1).mean(0)

    layer(a, w)
    first = [k.source for k in recorder.last_plan(device).kernels]
    layer(b, w)
    second = [k.source for k in recorder.last_plan(device).kernels]
    layer(tg.zeros(31, 12, device=device), w)
    third = [k.source for k in recorder.last_plan(device).kernels]
    assert len(first) == len(second)
    assert second == third
    words = [k.words for k in recorder.last_plan(device).kernels]
    assert all(words), words


@pytest.mark.one_host("wgpu")
def test_the_kernel_of_a_user_stays_as_it_is() -> None:
    source = """
    override COUNT: u32;
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < COUNT) { y[id.x] = x[id.x] + f32(64u); }
    }
    """

    @tg.extend.kernel(
        shape=lambda x: x, wgsl=source, constants=lambda x: {"COUNT": x[0]}, derivative=None,
        workgroups=lambda x: (-(-x[0] // 64),),
    )  # fmt: skip
    def plus_sixty_four(x: Any) -> Any: ...

    @tg.compile(dynamic=True)
    def run(x: Any) -> Any:
        return plus_sixty_four(x * 2) + 1

    for n in (64, 32, 7):
        x = tg.randn(n)
        tg.testing.assert_close(run(x), x * 2 + 65)
