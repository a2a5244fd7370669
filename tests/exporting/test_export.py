"""Exported graphs do what their functions do, at every size, with all derivatives."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim
from tabgrad.nn import functional as F
from tabgrad.serialization import safetensors

pytestmark = pytest.mark.every_host

Spec = tg.export.TensorSpec


class Attention(nn.Module):
    """A causal block whose mask and positions are made of the unknown length."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.places = nn.Embedding(24, 8)
        self.scale = nn.Parameter(tg.rand(24, 1))
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: Any) -> Any:
        batch, length = tokens.shape
        x = self.places(tg.arange(length, device=tokens.device)) * self.scale[:length]
        x = self.embed(tokens) + x
        parts = self.qkv(self.norm(x)).split(8, -1)
        q, k, v = (p.view(batch, length, 2, 4).transpose(1, 2) for p in parts)
        scores = q @ k.transpose(-2, -1) / k.size(-1) ** 0.5
        hidden = tg.ones(length, length, device=tokens.device).triu(1).bool()
        y = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v
        return self.head(x + y.transpose(1, 2).reshape(batch, length, 8))


def conv_net() -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def test_a_convolutional_network_at_any_batch_and_width(device: str) -> None:
    model = conv_net()
    program = tg.export(model, (Spec(("batch", 2, "height", 16)),))
    assert program.bounds == {"batch": (0, None), "height": (3, None)}
    for shape in ((1, 2, 7, 16), (5, 2, 32, 16), (2, 2, 101, 16)):
        x = tg.randn(*shape)
        tg.testing.assert_close(program(x), model(x))


def test_a_transformer_at_any_batch_and_length(device: str) -> None:
    model = Attention()
    program = tg.export(model, (Spec(("batch", tg.export.Dim("length", max=24)), tg.int64),))
    for shape in ((1, 1), (3, 24), (4, 9)):
        tokens = tg.randint(0, 11, shape)
        tg.testing.assert_close(program(tokens), model(tokens))
    with pytest.raises(tg.ShapeError, match="length must be at least 0 and at most 24, got 25"):
        program(tg.randint(0, 11, (1, 25)))


def loss(fn: Any, x: Any, y: Any) -> Any:
    return F.mse_loss(fn(x.sin()), y)


def test_it_has_every_derivative(device: str) -> None:
    """Through inputs that are no leaves, and to the second order."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 2))
    program = tg.export(model, (Spec(("n", 3)),))
    base, y, v = tg.randn(3, 7).t(), tg.randn(7, 2), tg.randn(7, 3)

    def derivatives(fn: Any) -> list[Any]:
        x = (base * 1).requires_grad_()
        (first,) = tg.autograd.grad(loss(fn, x, y), x, create_graph=True)
        second = tg.autograd.grad((first * v).sum(), [x, *model.parameters()], allow_unused=True)
        weights = tg.autograd.grad(loss(fn, x, y), list(model.parameters()))
        pushed = tg.func.jvp(lambda x: loss(fn, x, y), (base,), (v,))[1]
        rows = tg.vmap(tg.func.grad(lambda x, y: loss(fn, x[None], y[None])))(base, y)
        return [first, *[s for s in second if s is not None], *weights, pushed, rows]

    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    for got, want in zip(derivatives(program), derivatives(model), strict=True):
        tg.testing.assert_close(got, want, **tolerance)


def test_an_optimizer_trains_it(device: str) -> None:
    tg.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    program = tg.export(model, (Spec(("n", 2)),))
    optimizer = optim.Adam(program.parameters(), lr=0.05)

    @tg.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        found = F.mse_loss(program(x), y)
        found.backward()
        optimizer.step()
        return found.detach()

    x = tg.rand(64, 2) * 2 - 1
    y = x.prod(1, keepdim=True)
    first = step(x, y).item()
    for _ in range(150):
        last = step(x, y)
    assert last.item() < first / 5
    assert [n for n, _ in program.named_parameters()] == [n for n, _ in model.named_parameters()]
    tg.testing.assert_close(program(x), model(x))  # the parameters are the model's own


def test_it_writes_what_the_function_writes_and_draws_anew(device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = model[1].running_mean.clone()
    program = tg.export(model, (Spec(("n", 3)),))
    tg.testing.assert_close(model[1].running_mean, before)  # exporting ran nothing
    assert program.bounds == {"n": (2, None)}
    x = tg.randn(6, 3)
    tg.manual_seed(5)
    got, again = program(x), program(x)
    kept = model[1].running_mean.clone()
    model[1].reset_running_stats()
    tg.manual_seed(5)
    tg.testing.assert_close(got, model(x))
    tg.testing.assert_close(again, model(x))
    tg.testing.assert_close(kept, model[1].running_mean)
    assert model[1].num_batches_tracked.item() == 2
    assert not tg.equal(got, again)


def test_trees_of_arguments_and_of_results(device: str) -> None:
    def fn(pair: Any, scale: float) -> Any:
        return {"sum": pair["a"] + pair["b"], "rest": [pair["a"] * scale, None]}

    program = tg.export(fn, ({"a": Spec(("n",)), "b": Spec(("n",))}, 3.0))
    a, b = tg.randn(4), tg.randn(4)
    out = program({"a": a, "b": b}, 3.0)
    tg.testing.assert_close(out["sum"], a + b)
    tg.testing.assert_close(out["rest"][0], a * 3)
    with pytest.raises(ValueError, match=r"argument 2 was 3\.0 at export, got 2\.0"):
        program({"a": a, "b": b}, 2.0)
    with pytest.raises(tg.ShapeError, match=r"must have shape \(n,\), got \(5,\) where n = 4"):
        program({"a": a, "b": tg.randn(5)}, 3.0)
    with pytest.raises(TypeError, match="structure"):
        program(a, b)


def test_the_graph_prints(device: str) -> None:
    weight = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    program = tg.export(lambda x: (x @ weight).mean(), (Spec(("n", 2)),))
    assert str(program).splitlines() == [
        "%0 = input float32[n, 2]",
        "%1 = constant 2*n float32[]",
        "%2 = state tensor0 float32[2, 2]",
        "%3 = matmul(%0, %2)",
        "%4 = reduce_sum(%3) axes=(0, 1)",
        "%5 = div(%4, %1)",
        "return %5",
    ]
    assert repr(program).startswith("<ExportedProgram of")


def test_it_is_saved_and_runs_in_another_process(device: str, tmp_path: Path) -> None:
    model = conv_net()
    program = tg.export(model, (Spec(("batch", 2, "height", 16)),))
    tg.export.save(program, tmp_path / "net.safetensors")
    x = tg.randn(3, 2, 12, 16)
    tg.save({"x": x, "y": model(x).detach()}, tmp_path / "values.safetensors")
    script = (
        "import sys, tabgrad as tg\n"
        "tg.set_default_device('cpu')\n"
        "program = tg.export.load(sys.argv[1])\n"
        "values = tg.load(sys.argv[2])\n"
        "tg.testing.assert_close(program(values['x']), values['y'], rtol=1e-4, atol=1e-4)\n"
        "(g,) = tg.autograd.grad(program(values['x']).sum(), program.parameters()[:1])\n"
        "print(tuple(g.shape), program.bounds)\n"
    )
    command = [sys.executable, "-c", script, *map(str, tmp_path.iterdir())]
    command[3:] = sorted(command[3:])
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == f"(4, 2, 3, 3) {program.bounds}", done.stderr


def test_a_loaded_graph_prints_and_derives_as_before(device: str) -> None:
    program = tg.export(Attention(), (Spec(("b", tg.export.Dim("t", max=24)), tg.int64),))
    file = io.BytesIO()
    tg.export.save(program, file)
    again = tg.export.load(io.BytesIO(file.getvalue()))
    assert str(again) == str(program)
    tokens = tg.randint(0, 11, (2, 5))
    for one in (program, again):
        F.cross_entropy(one(tokens).flatten(0, 1), tokens.flatten()).backward()
    for a, b in zip(program.parameters(), again.parameters(), strict=True):
        tg.testing.assert_close(a.grad, b.grad)


def test_other_files_are_refused(device: str) -> None:
    for save, message in (
        (safetensors.save, "no exported graph in the file"),
        (tg.save, "a file of torch.save is of another format"),
    ):
        file = io.BytesIO()
        save({"x": tg.ones(2)}, file)
        with pytest.raises(ValueError, match=message):
            tg.export.load(io.BytesIO(file.getvalue()))


def test_scan_and_cond_are_exported_as_the_ops_they_are_made_of(device: str) -> None:
    def fn(x: Any, flag: Any) -> Any:
        total, _ = tg.func.scan(lambda c, row: (c * 0.5 + row, row), x[0] * 0, x)
        return tg.func.cond(flag, lambda t: t.sin(), lambda t: t * 2, [total])

    program = tg.export(fn, (Spec((3, "n")), Spec((), tg.bool)))
    x = tg.randn(3, 6)
    for flag in (True, False):
        tg.testing.assert_close(program(x, tg.tensor(flag)), fn(x, tg.tensor(flag)))


class Round(tg.autograd.Function):
    """Rounds, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.round()

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        return ct


def decide(x: Any) -> Any:
    return x.sin() if x.shape[0] > 60 else x.cos()


def loop(x: Any) -> Any:
    for row in x:
        x = x + row
    return x


def test_what_a_static_graph_cannot_hold_is_refused(device: str) -> None:
    spec = Spec(("n", 2))
    with pytest.raises(tg.ExportError, match="rules of its own"):
        tg.export(Round.apply, (spec,))
    for fn in (decide, loop):
        with pytest.raises(tg.ExportError, match="does other ops at sizes"):
            tg.export(fn, (spec,))
    with pytest.raises(tg.TabgradError, match="no single value to read"):
        tg.export(lambda x: x * x.sum().item(), (spec,))
    with pytest.raises(tg.ExportError, match="must return tensors, it returned int"):
        tg.export(lambda x: x.shape[0], (spec,))
    with pytest.raises(tg.ExportError, match="of Python data"):
        tg.export(lambda x: x[:, 0] + tg.tensor(list(range(x.shape[0]))), (spec,))
    with pytest.raises(tg.ExportError, match="no formula of the sizes gives"):
        tg.export(lambda x: x * x.shape[0].bit_length(), (spec,))


def test_under_no_grad_a_custom_function_is_a_constant(device: str) -> None:
    @tg.no_grad()
    def rounded(x: Any) -> Any:
        return Round.apply(x)

    program = tg.export(lambda x: rounded(x) * x, (Spec(("n",)),))
    x = tg.tensor([1.4, -2.6, 3.3], requires_grad=True)
    (g,) = tg.autograd.grad(program(x).sum(), x)
    assert g.tolist() == [1.0, -3.0, 3.0]


def test_a_size_decided_within_its_bounds_is_exported(device: str) -> None:
    program = tg.export(decide, (Spec((tg.export.Dim("n", max=50), 2)),))
    x = tg.randn(50, 2)
    tg.testing.assert_close(program(x), x.cos())
    with pytest.raises(ValueError, match="the upper bound is 2 or more"):
        tg.export.Dim("n", max=1)
    with pytest.raises(ValueError, match="n is both"):
        tg.export(
            lambda x, y: x,
            (Spec((tg.export.Dim("n", max=5),)), Spec((tg.export.Dim("n", max=6),))),
        )


def test_it_moves_to_another_device(device: str) -> None:
    program = tg.export(nn.Linear(3, 2), (Spec(("n", 3)),))
    there = program.to("cpu")
    x = tg.randn(4, 3)
    tg.testing.assert_close(there(x.cpu()), program(x).cpu(), rtol=1e-5, atol=1e-5)
    assert all(p.requires_grad and p.device.type == "cpu" for p in there.parameters())


def test_a_constant_that_is_nan_is_one_constant(device: str) -> None:
    def fn(x: Any) -> Any:
        return tg.where(x > 0, x, float("nan")).amax(0)

    program = tg.export(fn, (Spec(("n", 2)),))
    file = io.BytesIO()
    tg.export.save(program, file)
    x = tg.tensor([[1.0, -1.0], [2.0, 1.0]])
    for one in (program, tg.export.load(io.BytesIO(file.getvalue()))):
        tg.testing.assert_close(one(x), fn(x), equal_nan=True)
