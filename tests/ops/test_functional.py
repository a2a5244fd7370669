"""nn.functional where there is more than a formula: state, chance, in-place, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
import tabgrad.nn.functional as F

pytestmark = pytest.mark.every_host


def near(x: Any, want: Any, tolerance: float = 1e-5) -> bool:
    got = x.detach().reshape(-1).tolist()
    return len(got) == len(want) and all(
        abs(a - b) <= tolerance for a, b in zip(got, want, strict=True)
    )


def test_batch_norm_moves_its_running_statistics(device: str) -> None:
    x = tg.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]], device=device)
    mean, var = tg.zeros(2, device=device), tg.ones(2, device=device)
    F.batch_norm(x, mean, var, training=True, momentum=0.1)
    assert near(mean, [0.3, 2.0])
    # the running variance is the unbiased one: 4 and 100
    assert near(var, [0.9 + 0.4, 0.9 + 10.0])
    y = F.batch_norm(x, mean, var, training=False, eps=0.0)
    assert near(y[:, 0], [(v - 0.3) / math.sqrt(1.3) for v in (1, 3, 5)])


def test_running_statistics_carry_no_history(device: str) -> None:
    x = tg.ones(4, 2, device=device, requires_grad=True)
    mean, var = tg.zeros(2, device=device), tg.ones(2, device=device)
    F.batch_norm(x * 2, mean, var, training=True)
    assert not mean.requires_grad
    assert not var.requires_grad


def test_dropout_keeps_the_mean_and_its_gradient_is_its_mask(device: str) -> None:
    tg.manual_seed(0)
    x = tg.ones(200, 50, device=device, requires_grad=True)
    y = F.dropout(x, 0.25)
    assert {round(v, 5) for v in y.detach().reshape(-1).tolist()} == {0.0, 1.33333}
    assert abs(y.detach().mean().item() - 1.0) < 0.03
    y.sum().backward()
    assert x.grad.tolist() == y.detach().tolist()


def test_dropout_repeats_after_the_same_seed(device: str) -> None:
    x = tg.ones(64, device=device)
    tg.manual_seed(7)
    first = F.dropout(x).tolist()
    again = F.dropout(x).tolist()
    tg.manual_seed(7)
    assert F.dropout(x).tolist() == first
    assert first != again


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.5, False)])
def test_dropout_that_does_nothing_returns_its_input(device: str, p: float, training: bool) -> None:
    x = tg.ones(3, device=device)
    assert F.dropout(x, p, training) is x


def test_dropout_of_channels_drops_whole_ones(device: str) -> None:
    tg.manual_seed(1)
    y = F.dropout2d(tg.ones(4, 8, 3, 3, device=device)).reshape(32, 9)
    assert {len(set(row)) for row in y.tolist()} == {1}
    assert {row[0] for row in y.tolist()} == {0.0, 2.0}


def test_alpha_dropout_keeps_mean_and_variance(device: str) -> None:
    tg.manual_seed(2)
    x = tg.randn(200, 100, device=device)
    y = F.alpha_dropout(x, 0.3, training=True)
    assert abs(y.mean().item()) < 0.05
    assert abs(y.std().item() - 1.0) < 0.05


def test_gumbel_softmax_hard_is_one_hot_with_a_soft_gradient(device: str) -> None:
    tg.manual_seed(3)
    logits = tg.zeros(50, 4, device=device, requires_grad=True)
    y = F.gumbel_softmax(logits, hard=True)
    assert all(
        sorted(round(v, 5) for v in row) == [0.0, 0.0, 0.0, 1.0] for row in y.detach().tolist()
    )
    (y * tg.tensor([1.0, 2.0, 3.0, 4.0], device=device)).sum().backward()
    assert any(abs(v) > 1e-3 for v in logits.grad.reshape(-1).tolist())


def test_gumbel_softmax_at_temperature_zero_is_no_number(device: str) -> None:
    logits = tg.zeros(2, 3, device=device)
    assert F.gumbel_softmax(logits, tau=0).isnan().any()
    assert F.gumbel_softmax(logits, tau=0, hard=True).shape == (2, 3)


@pytest.mark.parametrize("name", ["relu", "silu", "elu", "leaky_relu", "hardtanh", "mish"])
def test_in_place_activations_change_their_input(device: str, name: str) -> None:
    x = tg.tensor([-2.0, 0.5, 3.0], device=device)
    want = getattr(F, name)(x).tolist()
    y = getattr(F, name)(x, inplace=True)
    assert y is x
    assert x.tolist() == want


GATES = {"glu": tg.sigmoid, "swiglu": F.silu, "geglu": F.gelu, "reglu": tg.relu}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gated_units_are_products_of_halves(name: str, dim: int, device: str) -> None:
    leaf = tg.tensor(
        [[(-1.0) ** i * (i + 5 * j) / 7 for i in range(4)] for j in range(6)], device=device
    )
    x = leaf.requires_grad_().T * 1.5
    a, b = x.chunk(2, dim)
    # the sigmoid of GLU is on the second half, as Dauphin et al. (2017) have it; the others gate the first
    want = a * tg.sigmoid(b) if name == "glu" else GATES[name](a) * b
    ct = tg.tensor(
        [[(i - j) / 3 for j in range(want.shape[1])] for i in range(want.shape[0])], device=device
    )
    y = getattr(F, name)(x, dim)
    assert tg.allclose(y, want, atol=1e-6)
    firsts = [tg.autograd.grad(z, leaf, ct, create_graph=True)[0] for z in (y, want)]
    assert tg.allclose(*firsts, atol=1e-5)
    seconds = [tg.autograd.grad((g * g).sum(), leaf, retain_graph=True)[0] for g in firsts]
    assert tg.allclose(*seconds, atol=1e-4)


def test_in_place_relu_is_differentiated(device: str) -> None:
    a = tg.tensor([-2.0, 0.5], device=device, requires_grad=True)
    x = a * 3
    F.relu(x, inplace=True)
    x.sum().backward()
    assert a.grad.tolist() == [0.0, 3.0]


def test_a_class_out_of_range_raises_and_an_ignored_one_costs_nothing(device: str) -> None:
    logits = tg.zeros(3, 4, device=device, requires_grad=True)
    with pytest.raises(IndexError, match=r"Target 4 is out of bounds for the 4 classes of cross_"):
        F.cross_entropy(logits, tg.tensor([1, 4, -100], device=device), reduction="none").tolist()
    rows = F.cross_entropy(logits, tg.tensor([1, 3, -100], device=device), reduction="none")
    got = rows.detach().tolist()
    assert got[0] == got[1] == pytest.approx(math.log(4))
    assert got[2] == 0.0
    ignored = F.cross_entropy(logits[:1], tg.tensor([-100], device=device))
    assert math.isnan(ignored.item())


def test_cross_entropy_of_huge_logits_is_finite(device: str) -> None:
    x = tg.tensor([[1e4, -1e4, 0.0]], device=device, requires_grad=True)
    loss = F.cross_entropy(x, tg.tensor([1], device=device))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert x.grad.tolist() == [[1.0, -1.0, 0.0]]


def test_embedding_with_max_norm_scales_the_rows_it_reads(device: str) -> None:
    table = tg.tensor([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]], device=device)
    y = F.embedding(tg.tensor([1, 2], device=device), table, max_norm=1.0)
    assert near(y, [0.6, 0.8, 0.3, 0.4])
    assert near(table, [3.0, 4.0, 0.6, 0.8, 0.3, 0.4])


def test_one_hot_finds_the_number_of_classes(device: str) -> None:
    assert F.one_hot(tg.tensor([2, 0], device=device)).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_max_unpool_undoes_max_pool(device: str) -> None:
    x = tg.tensor([[[1.0, 4.0, 2.0, 3.0]]], device=device)
    y, at = F.max_pool1d(x, 2, return_indices=True)
    assert at.tolist() == [[[1, 3]]]
    assert F.max_unpool1d(y, at, 2).tolist() == [[[0.0, 4.0, 0.0, 3.0]]]


def test_attention_weights_can_be_dropped(device: str) -> None:
    tg.manual_seed(4)
    q = tg.zeros(1, 4, 8, device=device)
    v = tg.ones(1, 16, 2, device=device)
    y = F.scaled_dot_product_attention(q, tg.zeros(1, 16, 8, device=device), v, dropout_p=0.5)
    assert y.reshape(-1).tolist() != [1.0] * 8
    assert abs(y.mean().item() - 1.0) < 0.5


BAD: list[tuple[str, Callable[[Any], Any], type[Exception], str]] = [
    ("linear", lambda z: F.linear(z(2, 3), z(4, 5)), ValueError, r"linear: .*\(4, 5\).*\(2, 3\)"),
    (
        "conv2d channels",
        lambda z: F.conv2d(z(1, 3, 4, 4), z(2, 2, 3, 3)),
        ValueError,
        r"input with 2 channels.*\(1, 3, 4, 4\)",
    ),
    (
        "conv2d kernel",
        lambda z: F.conv2d(z(1, 1, 2, 2), z(1, 1, 3, 3)),
        ValueError,
        r"kernel covers 3 .* input's 2",
    ),
    (
        "conv2d rank",
        lambda z: F.conv2d(z(4, 4), z(1, 1, 3, 3)),
        ValueError,
        r"3 or 4 dimensions.*\(4, 4\)",
    ),
    (
        "conv2d same",
        lambda z: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), stride=2, padding="same"),
        ValueError,
        "strided",
    ),
    (
        "conv2d bias",
        lambda z: F.conv2d(z(1, 1, 4, 4), z(2, 1, 3, 3), z(3)),
        ValueError,
        r"bias must have shape \(2,\)",
    ),
    (
        "layer_norm",
        lambda z: F.layer_norm(z(2, 3), (4,)),
        ValueError,
        r"end with normalized_shape \(4,\).*\(2, 3\)",
    ),
    (
        "batch_norm",
        lambda z: F.batch_norm(z(1, 3), None, None, training=True),
        ValueError,
        "more than 1 value",
    ),
    ("cross_entropy", lambda z: F.cross_entropy(z(3, 4), z(3)), TypeError, "class indices"),
    (
        "nll shape",
        lambda z: F.nll_loss(z(3, 4), z(4).to(tg.int32)),
        ValueError,
        r"\(3, 4\).*got \(4,\)",
    ),
    (
        "reduction",
        lambda z: F.mse_loss(z(2), z(2), reduction="avg"),
        ValueError,
        "'none', 'mean' or 'sum', got 'avg'",
    ),
    (
        "max_pool2d",
        lambda z: F.max_pool2d(z(1, 1, 2, 2), 3),
        ValueError,
        "larger than the padded input",
    ),
    (
        "pool padding",
        lambda z: F.max_pool2d(z(1, 1, 4, 4), 2, padding=2),
        ValueError,
        "at most half",
    ),
    ("pad", lambda z: F.pad(z(2, 3), (3, 0), "reflect"), ValueError, "reflection"),
    ("pad odd", lambda z: F.pad(z(3), (1,)), ValueError, "even number"),
    ("dropout", lambda z: F.dropout(z(3), 1.5), ValueError, "between 0 and 1, but got 1.5"),
    ("embedding", lambda z: F.embedding(z(3), z(4, 2)), TypeError, "scalar types: Long, Int"),
    ("softmax", lambda z: F.softmax(z(3).to(tg.int32), 0), TypeError, "pass dtype"),
    ("glu", lambda z: F.glu(z(3)), ValueError, "even"),
    (
        "attention",
        lambda z: F.scaled_dot_product_attention(z(2, 3), z(2, 4), z(2, 4)),
        ValueError,
        r"\(2, 3\), \(2, 4\)",
    ),
    (
        "interpolate",
        lambda z: F.interpolate(z(1, 1, 4), 2, mode="bilinear"),
        ValueError,
        "4 dimensions",
    ),
    ("pixel_shuffle", lambda z: F.pixel_shuffle(z(1, 3, 2, 2), 2), ValueError, "divisible by 4"),
]


@pytest.mark.parametrize(("call", "kind", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_says_what_was_wrong(
    device: str, call: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        call(lambda *shape: tg.zeros(*shape, device=device))
