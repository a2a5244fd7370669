"""What the recorded cases can't show: states across calls, options that decide, and wrong inputs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.nn.utils import rnn as sequences


@pytest.fixture(autouse=True)
def on_cpu() -> Any:
    tg.set_default_device("cpu")
    tg.manual_seed(0)
    yield
    tg.set_default_device(None)


def near(a: Any, b: Any, tolerance: float = 1e-6) -> bool:
    return tuple(a.shape) == tuple(b.shape) and bool((a - b).abs().max().item() < tolerance)


# Recurrent layers


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("order", [[5, 3, 3, 1], [1, 5, 3, 2]])
def test_packed_sequences_are_sequences_by_themselves(kind: str, order: list[int]) -> None:
    layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True)
    rows = [tg.randn(n, 3) for n in order]
    packed = sequences.pack_sequence(rows, enforce_sorted=order == sorted(order, reverse=True))
    y, final = layer(packed)
    finals = final if kind == "LSTM" else (final,)
    for i, (row, out) in enumerate(zip(rows, sequences.unpack_sequence(y), strict=True)):
        alone, its = layer(row)
        assert near(out, alone)
        for a, b in zip(finals, its if kind == "LSTM" else (its,), strict=True):
            assert near(a[:, i], b)


def test_packing_and_padding() -> None:
    rows = [tg.arange(n).float() + 1 for n in (2, 4, 1)]
    padded = sequences.pad_sequence(rows, batch_first=True, padding_value=-1.0)
    assert padded.tolist() == [[1, 2, -1, -1], [1, 2, 3, 4], [1, -1, -1, -1]]
    left = sequences.pad_sequence(rows, batch_first=True, padding_side="left")
    assert left.tolist() == [[0, 0, 1, 2], [1, 2, 3, 4], [0, 0, 0, 1]]
    packed = sequences.pack_padded_sequence(padded, [2, 4, 1], True, enforce_sorted=False)
    assert packed.data.tolist() == [1, 1, 1, 2, 2, 3, 4]
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.sorted_indices is not None
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    back, lengths = sequences.pad_packed_sequence(packed, True, -1.0, total_length=5)
    assert back.tolist() == [[1, 2, -1, -1, -1], [1, 2, 3, 4, -1], [1, -1, -1, -1, -1]]
    assert lengths.tolist() == [2, 4, 1]
    assert [r.tolist() for r in sequences.unpad_sequence(padded, [2, 4, 1], True)] == [
        r.tolist() for r in rows
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match="sorted in decreasing order"):
        sequences.pack_sequence(rows)
    with pytest.raises(ValueError, match="expected 3 lengths"):
        sequences.pack_padded_sequence(padded, [1, 2], True)
    with pytest.raises(ValueError, match="at least 4"):
        sequences.pad_packed_sequence(packed, total_length=3)


def test_a_state_carries_over() -> None:
    layer = nn.LSTM(3, 4)
    x = tg.randn(6, 2, 3)
    whole, (h, c) = layer(x)
    first, state = layer(x[:4])
    second, (h2, c2) = layer(x[4:], state)
    assert near(tg.cat([first, second]), whole)
    assert near(h, h2)
    assert near(c, c2)
    cell = nn.LSTMCell(3, 4)
    cell.load_state_dict({k.replace("_l0", ""): v for k, v in layer.state_dict().items()})
    own: Any = None
    for t in range(6):
        own = cell(x[t], own)
    assert near(own[0], h[0])


def test_recurrent_errors() -> None:
    with pytest.raises(RuntimeError, match=r"Expected 3, got 5"):
        nn.GRU(3, 4)(tg.zeros(2, 2, 5))
    with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 2, 4\), got \[1, 3, 4\]"):
        nn.GRU(3, 4)(tg.zeros(2, 2, 3), tg.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="Unknown nonlinearity"):
        nn.RNN(3, 4, nonlinearity="cubic")
    with pytest.raises(ValueError, match="2D or 3D"):
        nn.RNN(3, 4)(tg.zeros(3))


# Attention


def test_causal_attention_does_not_look_ahead() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    assert mask[0].tolist() == [0.0] + [float("-inf")] * 4
    x = tg.randn(1, 5, 8)
    before = layer(x, src_mask=mask, is_causal=True)
    changed = x.clone()
    changed[0, 3:] = 1.0
    after = layer(changed, src_mask=mask)
    assert near(before[:, :3], after[:, :3])
    assert not near(before[:, 3:], after[:, 3:])


def test_attention_weights_and_masks() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = tg.randn(2, 4, 8)
    padding = tg.tensor([[False, False, False, True], [False] * 4])
    y, weights = layer(x, x, x, key_padding_mask=padding)
    assert weights.shape == (2, 4, 4)
    assert weights[0, :, 3].abs().max().item() == 0
    assert near(weights.sum(-1), tg.ones(2, 4))
    lean, none = layer(x, x, x, key_padding_mask=padding, need_weights=False)
    assert none is None
    assert near(y, lean, 1e-5)
    _, each = layer(x, x, x, average_attn_weights=False)
    assert each.shape == (2, 2, 4, 4)
    blocked = tg.zeros(4, 4).bool().expand(4, 4, 4)
    assert near(layer(x, x, x, attn_mask=blocked)[0], layer(x, x, x)[0])
    assert layer(x[0], x[0], x[0])[0].shape == (4, 8)
    with pytest.raises(AssertionError, match="divisible by num_heads"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(ValueError, match="greater than 0"):
        nn.MultiheadAttention(0, 3)
    with pytest.raises(RuntimeError, match="Need attn_mask"):
        layer(x, x, x, is_causal=True)


def test_transformer_layers_are_copies() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    stack = nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(8))
    assert len(list(stack.parameters())) == 3 * 12 + 2
    assert stack.layers[0].linear1.weight is not stack.layers[1].linear1.weight
    with pytest.raises(RuntimeError, match="relu/gelu"):
        nn.TransformerEncoderLayer(8, 2, activation="cubic")
    with pytest.raises(RuntimeError, match="must be equal to d_model"):
        nn.Transformer(8, 2, 1, 1, 8)(tg.zeros(2, 1, 4), tg.zeros(2, 1, 8))


# Norms, dropout, embeddings


def test_batch_norm_learns_statistics_and_uses_them() -> None:
    layer = nn.BatchNorm1d(2, momentum=None)
    x = tg.randn(3, 64, 2) * 2 + 5
    for batch in x:
        layer(batch)
    assert layer.num_batches_tracked.item() == 3
    assert near(layer.running_mean, x.mean((0, 1)), 1e-4)
    layer.eval()
    before = layer.running_mean.tolist()
    layer(x[0])
    assert layer.running_mean.tolist() == before
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1.0, 1.0]
    assert layer.num_batches_tracked.item() == 0
    with pytest.raises(ValueError, match=r"expected 2D or 3D input \(got 4D input\)"):
        layer(tg.zeros(1, 2, 3, 3))


def test_old_state_dicts_without_a_count_load() -> None:
    layer = nn.BatchNorm1d(2)
    layer.load_state_dict({k: v for k, v in layer.state_dict().items() if "num" not in k})


def test_dropout_scales_what_it_keeps() -> None:
    layer = nn.Dropout(0.25)
    y = layer(tg.ones(10000))
    kept = (y != 0).float().mean().item()
    assert kept == pytest.approx(0.75, abs=0.02)
    assert y.max().item() == pytest.approx(1 / 0.75)
    assert layer.eval()(tg.ones(5)).tolist() == [1.0] * 5
    channels = nn.Dropout2d(0.5)(tg.ones(64, 32, 2, 2))
    assert ((channels == 0).all(-1).all(-1) | (channels != 0).all(-1).all(-1)).all().item()
    with pytest.raises(ValueError, match=r"between 0 and 1, but got 1\.5"):
        nn.Dropout(1.5)


def test_embedding_options() -> None:
    table = nn.Embedding(5, 3, padding_idx=-5)
    assert table.padding_idx == 0
    table(tg.tensor([0, 2, 2])).sum().backward()
    assert table.weight.grad.sum(1).tolist() == [0.0, 0.0, 6.0, 0.0, 0.0]
    given = nn.Embedding.from_pretrained(tg.eye(3), max_norm=0.5)
    assert not given.weight.requires_grad
    assert given(tg.tensor([1])).tolist() == [[0.0, pytest.approx(0.5, rel=1e-4), 0.0]]
    with pytest.raises(AssertionError, match="Padding_idx must be within num_embeddings"):
        nn.Embedding(5, 3, padding_idx=5)
    assert "sparse=True" in repr(nn.Embedding(5, 3, sparse=True))


def test_convolution_options() -> None:
    for make, message in (
        (lambda: nn.Conv2d(3, 4, 3, groups=2), r"in_channels \(3\) must be divisible"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), r"out_channels \(3\) must be divisible"),
        (lambda: nn.Conv2d(4, 4, (3, 3, 3)), "expected an int or 2 ints"),
        (lambda: nn.Conv2d(4, 4, 3, padding="most"), "Invalid padding string"),
        (lambda: nn.Conv2d(4, 4, 3, padding="same", stride=2), "strided"),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="odd"), "padding_mode must be one of"),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), "Only 'zeros'"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    up = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = tg.zeros(1, 2, 4, 4)
    assert up(x).shape == (1, 3, 7, 7)
    assert up(x, output_size=(8, 7)).shape == (1, 3, 8, 7)
    with pytest.raises(ValueError, match="axis 0 can have sizes from 7 to 8"):
        up(x, output_size=(9, 7))


# Gradients and parameters together


def test_clipping() -> None:
    a, b = (tg.zeros(2, requires_grad=True) for _ in range(2))
    a.grad, b.grad = tg.tensor([3.0, 0.0]), tg.tensor([0.0, 4.0])
    assert nn.utils.clip_grad_norm_([a, b], 10.0).item() == 5.0
    assert a.grad.tolist() == [3.0, 0.0]
    assert nn.utils.clip_grad_norm_([a, b], 1.0).item() == 5.0
    assert b.grad.tolist() == [0.0, pytest.approx(0.8)]
    assert nn.utils.get_total_norm([a.grad, b.grad], float("inf")).item() == pytest.approx(0.8)
    assert nn.utils.get_total_norm([a.grad, b.grad], 1).item() == pytest.approx(1.4)
    nn.utils.clip_grad_value_([a, b], 0.5)
    assert a.grad.tolist() == [0.5, 0.0]
    a.grad = tg.tensor([float("nan"), 0.0])
    with pytest.raises(RuntimeError, match=r"total norm of order 2\.0 is nan"):
        nn.utils.clip_grad_norm_([a, b], 1.0, error_if_nonfinite=True)
    assert nn.utils.clip_grad_norm_([tg.zeros(1)], 1.0).item() == 0.0
    double = tg.zeros(1, dtype=tg.float64, requires_grad=True)
    b.grad, double.grad = tg.tensor([0.0, 3.0]), tg.tensor([4.0], dtype=tg.float64)
    assert nn.utils.clip_grad_norm_([b, double], 1.0).item() == 5.0
    assert (b.grad[1].item(), double.grad.item()) == pytest.approx((0.6, 0.8))


def test_parameters_as_a_vector() -> None:
    layer = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,)
    nn.utils.vector_to_parameters(vector * 0 + tg.arange(9), layer.parameters())
    assert layer.weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert layer.bias.tolist() == [6, 7, 8]
    assert layer.weight.requires_grad
    assert layer.weight.is_leaf
    with pytest.raises(TypeError, match="expected a Tensor"):
        nn.utils.vector_to_parameters([1.0], layer.parameters())


def test_statistics_that_are_tracked_no_more_stay(device: str) -> None:
    for norm in (nn.BatchNorm1d(2, device=device), nn.BatchNorm1d(2, momentum=None, device=device)):
        norm(tg.rand(4, 2, device=device))
        norm.track_running_stats = False
        before = norm.running_mean.tolist(), norm.num_batches_tracked.item()
        norm(tg.rand(4, 2, device=device))
        assert (norm.running_mean.tolist(), norm.num_batches_tracked.item()) == before


def test_lazy_layers_are_pickled() -> None:
    made = pickle.loads(pickle.dumps(nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())))
    assert made(tg.ones(2, 5)).shape == (2, 3)
    assert type(made[0]) is nn.Linear


@pytest.mark.every_host
def test_a_packed_sequence_has_tensors_as_fields(device: str) -> None:
    x = tg.arange(6.0, device=device).reshape(3, 2)
    lengths = tg.tensor([1, 3], device="cpu")
    packed = sequences.pack_padded_sequence(x, lengths, enforce_sorted=False)
    data, batch_sizes, order, _ = packed
    assert (batch_sizes.device.type, batch_sizes.dtype) == ("cpu", tg.int64)
    assert order is not None
    assert order.device == data.device
    assert (batch_sizes.tolist(), order.tolist()) == ([2, 1, 1], [1, 0])
    for other in (
        copy.deepcopy(packed),
        pickle.loads(pickle.dumps(packed)),
        packed.half().float(),
    ):
        assert type(other) is sequences.PackedSequence
        assert other.data.tolist() == [1, 0, 3, 5]
        assert other.batch_sizes.tolist() == [2, 1, 1]
    doubled = packed._replace(data=packed.data * 2)
    padded, found = sequences.pad_packed_sequence(doubled)
    assert padded.tolist() == [[0, 2], [0, 6], [0, 10]]
    assert (found.tolist(), found.device.type) == ([1, 3], "cpu")
    by_tensors = sequences.PackedSequence(data, batch_sizes, order)
    assert [r.tolist() for r in sequences.unpack_sequence(by_tensors)] == [[0], [1, 3, 5]]
    layer = tg.nn.LSTM(2, 3).to(device)
    rows = sequences.pack_padded_sequence(
        tg.randn(3, 2, 2, device=device), [1, 3], enforce_sorted=False
    )
    y, (h, _) = layer(rows)
    compiled = tg.compile(lambda p: layer(p)[0].data)
    tg.testing.assert_close(compiled(rows), y.data)
    assert h.shape == (1, 2, 3)
    assert packed.cpu().data.device.type == "cpu"


def test_pruning_again_across_modules_prunes_what_is_left() -> None:
    from tabgrad.nn.utils import prune

    first, second = tg.nn.Linear(3, 2, device="cpu"), tg.nn.Linear(3, 2, device="cpu")
    with tg.no_grad():
        first.weight.copy_(tg.arange(1.0, 7.0).reshape(2, 3))
        second.weight.copy_(tg.arange(7.0, 13.0).reshape(2, 3))
    prune.l1_unstructured(first, "weight", amount=2)
    prune.global_unstructured(
        [(first, "weight"), (second, "weight")], prune.L1Unstructured, amount=6
    )
    assert first.weight.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert second.weight.tolist() == [[0, 0, 9], [10, 11, 12]]
