"""LSTMs that NumPy runs over all times at once, beside the loop of ops."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad.nn import rnn
from tabgrad.nn.functional import recurrent


def made(dtype: Any = tg.float64, **options: Any) -> tuple[Any, list[Any]]:
    """Return a layer, and an input with states before it."""
    tg.manual_seed(2)
    layer = tg.nn.LSTM(3, 4, dtype=dtype, device="cpu", **options)
    many = layer.num_layers * (2 if layer.bidirectional else 1)
    shapes = ((5, 2, 3), (many, 2, 4), (many, 2, 4))
    return layer, [tg.randn(s, dtype=dtype, device="cpu", requires_grad=True) for s in shapes]


def found(layer: Any, given: list[Any], pick: Any) -> list[Any]:
    """Return results and gradients of a layer."""
    y, (h, c) = layer(given[0], tuple(given[1:]))
    chosen = pick(y, h, c)
    loss = sum((part * part.cos()).sum() for part in chosen)
    inputs = [*given, *layer.parameters()]
    grads = tg.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return [x.detach() for x in (y, h, c, *grads)]


PICKS = {
    "outputs": lambda y, h, c: [y],
    "cell": lambda y, h, c: [c],
    "last": lambda y, h, c: [y[-1]],
    "all": lambda y, h, c: [y, h, c],
}


@pytest.mark.parametrize("pick", PICKS.values(), ids=PICKS)
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False}])
def test_it_agrees_with_the_loop(
    options: dict[str, Any], pick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dtype, near in ((tg.float64, 1e-12), (tg.float32, 1e-5)):
        layer, given = made(dtype, **options)
        quick = found(layer, given, pick)
        with monkeypatch.context() as changed:
            changed.setattr(rnn, "suits", lambda *_: False)
            slow = found(layer, given, pick)
        for a, b in zip(quick, slow, strict=True):
            assert a.dtype is b.dtype
            assert tg.allclose(a, b, rtol=near, atol=near)


def test_numpy_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, (x, _, _) = made()
    monkeypatch.setattr(rnn, "_loop", None)
    layer(x)[0].sum().backward()
    assert x.grad.shape == x.shape


def test_derivatives_of_any_order_and_kind() -> None:
    layer = tg.nn.LSTM(1, 2, dtype=tg.float64, device="cpu")
    shapes = ((2, 1, 1), (1, 1, 2), (1, 1, 2))
    given = [tg.randn(s, dtype=tg.float64, device="cpu", requires_grad=True) for s in shapes]
    names = dict(layer.named_parameters())

    def run(x: Any, h: Any, c: Any, w: Any) -> Any:
        parameters = {**names, "weight_hh_l0": w}
        y, (_, cell) = tg.func.functional_call(layer, parameters, (x, (h, c)))
        return y, cell

    args = (*given, names["weight_hh_l0"])
    assert tg.autograd.gradcheck(run, args)
    assert tg.autograd.gradgradcheck(run, args)
    y, _ = run(*args)
    some = tg.stack([tg.ones_like(y), tg.zeros_like(y), y.detach()])
    (whole,) = tg.autograd.grad(y, given[:1], some, is_grads_batched=True, retain_graph=True)
    (last,) = tg.autograd.grad(y, given[:1], some[2])
    assert tg.allclose(whole[2], last)


def test_large_numbers_reach_their_limits() -> None:
    layer, (x, h, c) = made(tg.float32)
    y, (_, cell) = layer(x.detach() * 1e30, (h, c))
    assert y.isfinite().all()
    y, _ = layer(x.detach() * tg.nan, (h, c))
    assert y.isnan().all()
    assert cell.shape == (1, 2, 4)


def test_what_it_leaves_to_the_loop() -> None:
    layer, (x, h, c) = made()
    half = tg.zeros(2, dtype=tg.float16, device="cpu")
    assert recurrent.suits(x, h, c)
    assert not recurrent.suits(x, h.float())
    assert not recurrent.suits(half)
    assert not recurrent.suits(x[:0])
    with tg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        assert not recurrent.suits(x)
    tg.func.vmap(lambda row: layer(row)[0])(x.detach()[None])
