"""Chains: on small tensors of the CPU a function of ops gives, bit for bit, what its ops give one by one."""

from __future__ import annotations

import contextlib
import gc
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.trace import MODE, using
from tabgrad.hosts import reference
from tabgrad.hosts.chains import Chain
from tabgrad.tensor.chained import FEW, MOST, Waiting, chained
from tests.grouped import grouped

F = tg.nn.functional

CALLS: dict[str, Callable[..., Any]] = {
    "softmax": lambda m, c: F.softmax(m, 1),
    "log_softmax": lambda m, c: F.log_softmax(m, 0),
    "logsumexp": lambda m, c: tg.logsumexp(m, 1),
    "cross_entropy": lambda m, c: F.cross_entropy(m, c, label_smoothing=0.1),
    "nll_loss": lambda m, c: F.nll_loss(m, c, ignore_index=2),
    "mse_loss": lambda m, c: F.mse_loss(m, m.T.clone()),
    "kl_div": lambda m, c: F.kl_div(m, m.sigmoid(), reduction="batchmean"),
    "multi_margin_loss": lambda m, c: F.multi_margin_loss(m, c),
    "hardswish": lambda m, c: F.hardswish(m),
    "interpolate": lambda m, c: F.interpolate(m[None, None], scale_factor=2, mode="bilinear"),
    "attention": lambda m, c: F.scaled_dot_product_attention(m[None], m[None], m[None]),
    "huber_loss": lambda m, c: F.huber_loss(m, m * 2),
    "layer_norm": lambda m, c: F.layer_norm(m, (4,), m[0].clone()),
    "group_norm": lambda m, c: F.group_norm(m, 2),
    "normalize": lambda m, c: F.normalize(m),
    "linear": lambda m, c: F.linear(m, m, m[1].clone()),
    "embedding": lambda m, c: F.embedding(c, m),
    "pad": lambda m, c: F.pad(m, (1, 2), "reflect"),
    "max_pool": lambda m, c: F.max_pool2d(m[None], 2, 1),
    "avg_pool": lambda m, c: F.avg_pool2d(m[None], 2),
    "var": lambda m, c: m.var(0),
    "std_mean": lambda m, c: tg.std_mean(m, 1),
    "mean": lambda m, c: m.mean(),
    "max": lambda m, c: m.max(1),
    "amin": lambda m, c: m.amin(1),
    "norm": lambda m, c: m.norm(3, 1),
    "clamp": lambda m, c: tg.clamp(m, -0.5, 0.5),
    "lerp": lambda m, c: tg.lerp(m, m * 2, 0.3),
    "tril": lambda m, c: tg.tril(m, -1),
    "gather": lambda m, c: m.gather(1, c[:, None].clone()),
    "sort": lambda m, c: tg.sort(m, descending=True),
    "topk": lambda m, c: tg.topk(m, 2),
    "cumsum": lambda m, c: m.cumsum(0),
    "roll": lambda m, c: tg.roll(m, (1, 2), (0, 1)),
    "repeat": lambda m, c: m.repeat(2, 1),
    "cdist": lambda m, c: tg.cdist(m, m),
    "stack": lambda m, c: tg.stack([m, m * 2], 1),
    "cat": lambda m, c: tg.cat((m, m)),
    "outer": lambda m, c: tg.outer(m[0].clone(), m[1].clone()),
    "cov": lambda m, c: tg.cov(m),
    "index": lambda m, c: m[c],
    "indices": lambda m, c: (m[:, c], m[None, c], m[c, c], m[0][c], m[c[:1], 1:]),
    "gather_rows": lambda m, c: m.gather(0, c[:, None].expand(4, 4)),
    "best": lambda m, c: m[0].sort()[0].topk(2),
    "mask": lambda m, c: m[m > 0] if bool((m > 0).any()) else m[c],
    "nonzero": lambda m, c: tg.nonzero(m > 0),
    "unique": lambda m, c: tg.unique(c, return_inverse=True),
    "one_hot": lambda m, c: F.one_hot(c, 4),
    "eye": lambda m, c: tg.eye(4, device="cpu"),
    "linspace": lambda m, c: tg.linspace(0, 1, 5, device="cpu"),
    "einsum": lambda m, c: tg.einsum("ij,jk->ik", m, m),
    "conv": lambda m, c: F.conv2d(m[None], m[None, None, :2, :2].clone()),
    "solve": lambda m, c: tg.linalg.solve(
        m.nan_to_num() + 4 * tg.eye(4, device="cpu").expand(2, 4, 4), m
    ),
}  # fmt: skip


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Chain]:
    """The chains that have run."""
    found: list[Chain] = []
    run = Chain.__call__

    def spied(self: Chain, operands: list[Any]) -> list[Any]:
        found.append(self)
        return run(self, operands)

    monkeypatch.setattr(Chain, "__call__", spied)
    return found


@contextlib.contextmanager
def one_by_one() -> Iterator[None]:
    """Let each op go through the interpreter stack, as it does where something watches."""

    def around(plainly: Any, op: Any, args: Any, params: Any, mode: Any) -> Any:
        return plainly(op, args, params, mode)

    with using(MODE.get().replace(around=around)):
        yield


def listed(y: Any) -> list[Any]:
    return [(x.dtype, x.shape, x.numpy().tobytes()) for x in (y if isinstance(y, tuple) else (y,))]


def numbers(k: int) -> Any:
    values = [math.sin(n * 1.7 + k) for n in range(16)]
    return tg.tensor(values, device="cpu").reshape(4, 4).clone()


@grouped("name", CALLS)
def test_a_chain_gives_what_the_ops_give(name: str, ran: list[Chain]) -> None:
    call = CALLS[name]
    classes = tg.tensor([3, 0, 2, 1], device="cpu")
    for k, c in ((0, classes), (1, classes.flip(0)), (2, classes)):
        m = numbers(k) if k < 2 else numbers(k) * math.inf
        ran.clear()
        found = listed(call(m, c))
        assert ran, "no chain has run"
        ran.clear()
        with one_by_one():
            assert listed(call(m, c)) == found
        assert not ran


def test_settings_that_are_equal_as_keys_have_chains_of_their_own(ran: list[Chain]) -> None:
    x = tg.tensor([-1.0, 1.0], device="cpu")
    assert math.copysign(1, tg.clamp(x, max=0.0)[1].item()) == 1
    assert math.copysign(1, tg.clamp(x, max=-0.0)[1].item()) == -1
    whole = tg.tensor([1, 2], device="cpu")
    one = chained(lambda x, n: tg.full_like(x, 1) * n)
    assert [one(whole, n).dtype for n in (1, 1.0, True, 1)] == [
        tg.int64, tg.float32, tg.int64, tg.int64,
    ]  # fmt: skip
    assert ran
    with keeping():
        tg.set_default_dtype(tg.float64)
        assert one(whole, 1.0).dtype is tg.float64


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Set the default dtype back at the end."""
    before = tg.get_default_dtype()
    try:
        yield
    finally:
        tg.set_default_dtype(before)


def test_what_a_chain_cannot_repeat_is_not_recorded(ran: list[Chain]) -> None:
    x = tg.tensor([1.0, -2.0], device="cpu")
    kept = tg.tensor([5.0, 6.0], device="cpu")

    def writes(x: Any) -> Any:
        kept.add_(x)
        return kept * 1

    functions: dict[str, Callable[[Any], Any]] = {
        "reads": lambda x: x * 2 if x[0].item() > 0 else x * 3,
        "tests": lambda x: x * 2 if (x > 0).any() else x * 3,
        "lists": lambda x: x * x.tolist()[0],
        "exports": lambda x: tg.tensor(x.numpy(), device="cpu") * 1,
        "writes": writes,
        "writes to the operand": lambda x: x.mul_(1),
        "gives the operand": lambda x: x,
        "gives a view": lambda x: x[:1],
        "gives no tensor": lambda x: 1.0,
        "takes another tensor": lambda x: x + kept,
    }
    for name, function in functions.items():
        call = chained(function)
        for _ in range(3):
            call(x)
        assert not ran, name
    assert kept.tolist() == [5.0 + 3, 6.0 - 6]


def test_a_function_that_draws_gives_new_numbers_at_each_call(ran: list[Chain]) -> None:
    x = tg.ones(2, device="cpu")
    twice = chained(lambda x: x * tg.rand(2, device="cpu"))
    tg.manual_seed(3)
    found = [twice(x).tolist() for _ in range(3)]
    with one_by_one():
        tg.manual_seed(3)
        assert [twice(x).tolist() for _ in range(3)] == found
    assert found[0] != found[1] != found[2]
    assert all(len(chain.steps) < 5 for chain in ran)  # what draws, not the function


DRAWS: dict[str, Callable[[Any], Any]] = {
    "rand": lambda g: tg.rand(3, 2, generator=g, device="cpu"),
    "rand float64": lambda g: tg.rand(3, dtype=tg.float64, generator=g, device="cpu"),
    "randn": lambda g: tg.randn(3, generator=g, device="cpu"),
    "randint": lambda g: tg.randint(2, 9, (5,), generator=g, device="cpu"),
    "randint far": lambda g: tg.randint(0, 1 << 40, (5,), generator=g, device="cpu"),
    "randperm": lambda g: tg.randperm(7, generator=g, device="cpu"),
    "multinomial": lambda g: tg.multinomial(tg.tensor([1.0, 2.0, 3.0], device="cpu"), 2, generator=g),
}  # fmt: skip


@grouped("name", DRAWS)
def test_chains_draw_the_same_numbers(name: str, ran: list[Chain]) -> None:
    one, two = (tg.Generator().manual_seed(5) for _ in range(2))
    found = [listed(DRAWS[name](one)) for _ in range(3)]
    assert ran, "no chain has run"
    with one_by_one():
        assert [listed(DRAWS[name](two)) for _ in range(3)] == found
    assert found[0] != found[1]


def test_what_is_called_once_is_not_recorded(
    ran: list[Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Waiting, "calls", 2)
    double = chained(lambda x, n: x * n)
    x = tg.ones(2, device="cpu")
    for n in range(MOST + 9):
        assert double(x, n).tolist() == [n, n]
    assert not ran
    assert double(x, n).tolist() == double(x, n).tolist() == [n, n]
    assert len(ran) == 2


def test_calls_that_record_or_are_watched_take_no_chain(ran: list[Chain]) -> None:
    x = numbers(0)
    leaf = numbers(0).requires_grad_()
    F.softmax(leaf, 1).sum().backward()
    tg.func.vmap(lambda row: F.softmax(row, 0))(x)
    tg.func.jvp(lambda x: F.softmax(x, 1), (x,), (x,))
    with tg.autocast("cpu"):
        F.softmax(x, 1)
    F.softmax(tg.ones(2, FEW, device="cpu"), 1)
    F.softmax(x.half(), 1)
    F.softmax(x.to("meta"), 1)
    assert not ran
    with tg.no_grad():
        y = F.softmax(leaf, 1)
    assert ran
    assert not y.requires_grad


def test_a_chain_reads_operands_that_were_written_to(ran: list[Chain]) -> None:
    base = numbers(0)
    row, array = base[1], base.numpy()
    F.softmax(row, 0)
    base.zero_()
    assert F.softmax(row, 0).tolist() == [0.25] * 4
    array[1] = [0.0, 0.0, math.inf, 0.0]
    assert F.softmax(row, 0).isnan().any()
    assert ran


def test_results_of_a_chain_are_not_shared(ran: list[Chain]) -> None:
    x = tg.tensor([1.0, 2.0], device="cpu")
    ones = chained(lambda x: tg.ones_like(x) * 3)
    first = ones(x)
    first.numpy()[:] = 7
    first.add_(1)
    assert ones(x).tolist() == [3.0, 3.0]
    assert F.normalize(x, dim=0)._version == 0
    assert ran


def test_a_chain_may_be_the_first_that_needs_numpy(
    ran: list[Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = tg.ones(2, device="cpu")
    for name in ("array", "errors", "quiet"):
        monkeypatch.setattr(reference, name, None)
    assert chained(lambda x: x.neg())(x).tolist() == [-1.0, -1.0]
    assert ran


def test_an_index_tensor_is_looked_at_anew_and_not_kept(ran: list[Chain]) -> None:
    x = tg.arange(6.0, device="cpu").reshape(2, 3)
    for at in ([0, 2], [2, 2], [-1, 0]):
        index = tg.tensor(at, device="cpu")
        assert x[:, index].tolist() == [[row[k] for k in at] for row in x.tolist()]
        kept = weakref.ref(index)
        del index
        gc.collect()
        assert kept() is None
    for wanted in ([1.0, 4.0], [2.0], []):
        mask = (x[..., None] == tg.tensor(wanted, device="cpu")).any(-1)
        assert x[mask].tolist() == wanted
        y = x.clone()
        y[mask] = -tg.tensor(wanted, device="cpu")
        assert y.flatten().tolist() == [-n if n in wanted else n for n in x.flatten().tolist()]
    assert ran


def test_an_index_is_checked_at_each_call(ran: list[Chain]) -> None:
    m = numbers(0)
    F.cross_entropy(m, tg.tensor([0, 1, 2, 3], device="cpu"))
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        F.cross_entropy(m, tg.tensor([0, 1, 2, 4], device="cpu"))
    assert len(ran) == 2


def test_a_chain_is_one_function_once_it_has_run() -> None:
    x = tg.rand(3, 4, device="cpu")
    fn = chained(lambda x, n: (tg.softmax(x, n), x.sum() * 2, tg.ones(2, device="cpu") + 1))
    before = Waiting.calls
    Waiting.calls = 1
    try:
        with one_by_one():
            want = listed(fn(x, 1))
        assert [listed(fn(x, 1)) for _ in range(3)] == [want] * 3
    finally:
        Waiting.calls = before


def test_a_training_step_takes_chains_where_nothing_is_recorded(ran: list[Chain]) -> None:
    """What a loss needs of its classes, the derivatives of products, and parameters as one vector."""

    def trained() -> list[Any]:
        layer = tg.nn.Linear(4, 4, device="cpu")
        layer.load_state_dict({"weight": numbers(3), "bias": numbers(4)[0]})
        optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)
        for classes in ([3, 0, -100, 1], [2, 0, 2, -100], [0, 1, 2, 3]):
            optimizer.zero_grad()
            y = layer(numbers(5).requires_grad_())
            F.cross_entropy(y, tg.tensor(classes, device="cpu")).backward()
            optimizer.step()
        return listed((layer.weight.detach(), layer.bias.detach()))

    found = trained()
    ops = {op.name for chain in ran for op, *_ in chain.told if op is not None}
    assert ops >= {"checked", "matmul", "cat", "slice"}
    with one_by_one():
        assert trained() == found
