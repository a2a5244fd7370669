"""Functions of neural networks at the root take PyTorch's arguments there, and compute what `nn` does."""

from __future__ import annotations

import pytest

import tabgrad as tg
from tabgrad import nn

F = nn.functional
pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        tg.manual_seed(0)
        yield


def same(found, wanted) -> None:
    assert tg.allclose(found, wanted, atol=1e-6), (found, wanted)


def test_activations_in_place() -> None:
    x = tg.randn(2, 3).t()
    for name, args in (
        ("relu", ()), ("elu", (0.5,)), ("selu", ()), ("celu", (0.5,)), ("leaky_relu", (0.1,)),
        ("hardtanh", (-0.2, 0.3)), ("threshold", (0.1, 7.0)), ("rrelu", (0.1, 0.2)),
    ):  # fmt: skip
        y = x.clone()
        assert getattr(F, f"{name}_")(y, *args) is y
        same(y, getattr(F, name)(x, *args))
        assert not tg.equal(y, x), name
        if hasattr(tg, f"{name}_"):
            z = x.clone()
            assert getattr(tg, f"{name}_")(z, *args) is z
            same(z, y)
        with pytest.raises(RuntimeError, match="leaf Variable"):
            getattr(F, f"{name}_")(x.clone().requires_grad_(), *args)
    same(tg.prelu(x, tg.tensor([0.3])), F.prelu(x, tg.tensor([0.3])))
    out = tg.empty(3, 2)
    assert tg.hardshrink(x, 0.2, out=out) is out
    same(x.hardshrink(0.2), out)
    same(tg.threshold(x, 0.1, 7.0), F.threshold(x, 0.1, 7.0))


def test_dropout() -> None:
    x = tg.ones(40, 4, 3)
    for name in ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"):
        fn = getattr(tg, name)
        assert tg.equal(fn(x, 0.5, False), x)
        tg.manual_seed(1)
        y = fn(x, 0.5, True)
        tg.manual_seed(1)
        z = x.clone()
        assert getattr(tg, f"{name}_")(z, 0.5, True) is z
        assert tg.equal(y, z)
        assert 20 < (y != y.amax()).sum() < 460, name
        if "feature" in name:
            assert tg.equal(y[:, :, :1].expand(40, 4, 3), y), name


def test_windows_and_convolutions() -> None:
    x = tg.randn(2, 4, 6)
    values, places = tg.max_pool1d_with_indices(x, 2)
    same(values, tg.max_pool1d(x, 2))
    same(x.gather(2, places), values)
    same(tg.avg_pool1d(x, 2), F.avg_pool1d(x, 2))
    values, places = tg.adaptive_max_pool1d(x, 2)
    same(x.gather(2, places), values)
    for n in (1, 2, 3):
        for name in (f"max_pool{n}d", f"adaptive_max_pool{n}d"):
            y = tg.randn(1, 2, *(4,) * n)
            values, places = getattr(F, f"{name}_with_indices")(y, 2)
            same(values, getattr(F, name)(y, 2))
            same(y.flatten(2).gather(2, places.flatten(2)), values.flatten(2))
    w, b = tg.randn(4, 2, 3), tg.randn(4)
    same(
        tg.convolution(x, w, b, [2], [1], [1], False, [0], 2),
        F.conv1d(x, w, b, 2, 1, 1, 2),
    )
    same(
        tg.convolution(x, w, None, [2], [1], [1], True, [1], 2),
        F.conv_transpose1d(x, w, None, 2, 1, 1, 2),
    )
    t, v = x.permute(2, 0, 1), tg.randn(3, 4, 5)
    found = tg.conv_tbc(t, v, tg.arange(5.0), 1)
    same(found.permute(1, 2, 0), F.conv1d(x, v.permute(2, 1, 0), tg.arange(5.0), padding=1))
    same(tg.constant_pad_nd(x, (1, 0), 3.0), F.pad(x, (1, 0), value=3.0))
    with pytest.raises(RuntimeError, match="input channels"):
        tg.conv_tbc(x, v, tg.arange(5.0))


def test_norms_and_tables() -> None:
    x, w, b = tg.randn(3, 4, 5), tg.rand(4), tg.rand(4)
    mean, var = tg.zeros(4), tg.ones(4)
    same(
        tg.batch_norm(x, w, b, mean, var, True, 0.1, 1e-5, True),
        F.batch_norm(x, None, None, w, b, True),
    )
    assert mean.any()
    same(
        tg.instance_norm(x, w, b, None, None, True, 0.1, 1e-5, True),
        F.instance_norm(x, None, None, w, b),
    )
    same(tg.group_norm(x, 2, w, b), F.group_norm(x, 2, w, b))
    same(tg.layer_norm(x, (5,), eps=0.1), F.layer_norm(x, (5,), eps=0.1))
    same(tg.rms_norm(x, (5,)), F.rms_norm(x, (5,)))
    table, index = tg.randn(6, 2, requires_grad=True), tg.tensor([[1, 5]])
    same(tg.embedding(table, index), table[index])
    tg.embedding(table, index, 5).sum().backward()
    assert table.grad[5].tolist() == [0, 0]
    scaled = table.detach().clone()
    assert tg.embedding_renorm_(scaled, index, 0.1, 2.0) is scaled
    assert scaled[index].norm(dim=-1).max() <= 0.1
    assert tg.equal(scaled[0], table[0])
    image, grid = (
        tg.randn(1, 2, 3, 3),
        tg.affine_grid_generator(tg.eye(2, 3)[None] * 0.7, (1, 2, 4, 4), False),
    )
    for fn in (tg.grid_sampler, tg.grid_sampler_2d):
        found = fn(image, grid, 1, 2, False)
        same(found, F.grid_sample(image, grid, "nearest", "reflection", False))


def test_losses_have_numbers_for_reductions() -> None:
    x, y = tg.rand(3, 4), tg.rand(3, 4)
    sign = tg.tensor([1.0, -1.0, 1.0])
    steps = tg.randn(5, 2, 3).log_softmax(-1)
    targets = tg.tensor([[1, 2], [2, 1]])
    for number, name in enumerate(("none", "mean", "sum")):
        for found, wanted in (
            (tg.binary_cross_entropy_with_logits(x, y, None, None, number), "binary_cross_entropy_with_logits"),
            (tg.kl_div(x, y, number), "kl_div"),
            (tg.poisson_nll_loss(x, y, True, False, 1e-8, number), "poisson_nll_loss"),
        ):  # fmt: skip
            same(found, getattr(F, wanted)(x, y, reduction=name))
        same(
            tg.cosine_embedding_loss(x, y, sign, 0.1, number),
            F.cosine_embedding_loss(x, y, sign, 0.1, reduction=name),
        )
        same(
            tg.margin_ranking_loss(x[:, 0], y[:, 0], sign, 0.1, number),
            F.margin_ranking_loss(x[:, 0], y[:, 0], sign, 0.1, reduction=name),
        )
        same(
            tg.hinge_embedding_loss(x[:, 0], sign, 0.9, number),
            F.hinge_embedding_loss(x[:, 0], sign, 0.9, reduction=name),
        )
        same(
            tg.triplet_margin_loss(x, y, x + 1, reduction=number),
            F.triplet_margin_loss(x, y, x + 1, reduction=name),
        )
        same(
            tg.ctc_loss(steps, targets, [5, 4], [2, 1], 0, number),
            F.ctc_loss(steps, targets, [5, 4], [2, 1], 0, name),
        )
    assert tg.kl_div(x, y).shape == tg.binary_cross_entropy_with_logits(x, y).shape == (3, 4)
    assert tg.ctc_loss(steps, targets, [5, 4], [2, 1]).shape == (2,)
    assert tg.hinge_embedding_loss(x[:, 0], sign).shape == (3,)
    assert tg.margin_ranking_loss(x[:, 0], y[:, 0], sign).shape == (3,)
    assert tg.triplet_margin_loss(x, y, x + 1).shape == (3,)
    assert tg.cosine_embedding_loss(x, y, sign).shape == (3,)
    with pytest.raises(ValueError, match="reduction must be 0"):
        tg.kl_div(x, y, 3)


def test_recurrent_layers() -> None:
    x = tg.randn(4, 2, 3)
    packed = nn.utils.rnn.pack_padded_sequence(x, [4, 2])
    for fn, kind, options in (
        (tg.lstm, nn.LSTM, {"proj_size": 2}), (tg.lstm, nn.LSTM, {"bias": False}), (tg.gru, nn.GRU, {}),
        (tg.rnn_tanh, nn.RNN, {}), (tg.rnn_relu, nn.RNN, {"nonlinearity": "relu"}),
    ):  # fmt: skip
        layer = kind(3, 5, 2, bidirectional=True, **options)
        params = list(layer.parameters())
        h = tg.randn(4, 2, options.get("proj_size", 5))
        hx = (h, tg.randn(4, 2, 5)) if kind is nn.LSTM else h
        rest = (hx, params, options.get("bias", True), 2, 0.0, True, True)
        y, final = layer(x, hx)
        found = fn(x, *rest, False)
        finals = final if kind is nn.LSTM else (final,)
        for a, b in zip(found, (y, *finals), strict=True):
            same(a, b)
        same(fn(x.transpose(0, 1), *rest, True)[0].transpose(0, 1), y)
        wanted, _ = layer(packed, hx)
        same(fn(packed.data, packed.batch_sizes, *rest)[0], wanted.data)
        with pytest.raises(RuntimeError, match="weights for each of 4 layers and directions"):
            fn(x, hx, params[1:], *rest[2:], False)


def test_cells() -> None:
    x, h = tg.randn(2, 3), tg.randn(2, 5)
    for fn, kind, options in (
        (tg.lstm_cell, nn.LSTMCell, {}), (tg.gru_cell, nn.GRUCell, {}),
        (tg.rnn_tanh_cell, nn.RNNCell, {"bias": False}),
        (tg.rnn_relu_cell, nn.RNNCell, {"nonlinearity": "relu"}),
    ):  # fmt: skip
        cell = kind(3, 5, **options)
        assert isinstance(cell, nn.RNNCellBase)
        hx = (h, h + 1) if kind is nn.LSTMCell else h
        found, wanted = fn(x, hx, *cell.parameters()), cell(x, hx)
        for a, b in zip(
            *((y,) if isinstance(y, tg.Tensor) else y for y in (found, wanted)), strict=True
        ):
            same(a, b)


def test_what_is_no_tensor_is_refused() -> None:
    for call in (
        lambda: tg.relu_([1.0]), lambda: tg.layer_norm([1.0], (1,)),
        lambda: tg.embedding([1.0], tg.tensor([0])),
        lambda: tg.dropout([1.0], 0.5, True), lambda: tg.conv1d([1.0], [1.0]),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="must be Tensor, not list"):
            call()
