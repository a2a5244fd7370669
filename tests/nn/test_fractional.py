"""Pooling over random windows, the cross entropy of a linear map, and old names of modules."""

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


def test_windows_at_given_places() -> None:
    # the places that PyTorch 2.13 chooses by these random numbers
    x = tg.arange(30.0).reshape(1, 1, 5, 6).requires_grad_()
    y, at = F.fractional_max_pool2d(
        x, 2, (2, 3), return_indices=True, _random_samples=tg.tensor([[[0.7, 0.2]]])
    )
    assert at.tolist() == [[[[7, 9, 11], [25, 27, 29]]]]
    assert y.tolist() == at.tolist()
    (y * y).sum().backward()
    assert x.grad.flatten()[tg.tensor([0, 11, 29])].tolist() == [0, 22, 58]
    z = F.fractional_max_pool3d(tg.randn(2, 3, 6, 5, 7), 2, output_ratio=0.5)
    assert z.shape == (2, 3, 3, 2, 3)
    values, at = F.fractional_max_pool3d_with_indices(tg.randn(3, 6, 5, 7), 2, 3)
    assert values.shape == at.shape == (3, 3, 3, 3)
    layer = nn.FractionalMaxPool2d(2, output_ratio=0.5, return_indices=True)
    image = tg.randn(2, 6, 8)
    values, at = layer(image)
    assert tg.equal(image.flatten(1).gather(1, at.flatten(1)), values.flatten(1))
    for call, message in (
        (lambda: F.fractional_max_pool2d(x, 2), "either an output_size or an output_ratio"),
        (lambda: F.fractional_max_pool2d(x, 4, 3), "too large relative to input"),
        (lambda: F.fractional_max_pool2d(x[0, 0], 2, 2), "input of 3 or 4 dimensions"),
        (lambda: nn.FractionalMaxPool2d(2), "exactly one of output_size and output_ratio"),
        (lambda: nn.FractionalMaxPool3d(2, output_ratio=1.5), "between 0 and 1"),
    ):
        with pytest.raises((RuntimeError, ValueError), match=message):
            call()


def test_linear_cross_entropy() -> None:
    x, w, b = tg.randn(5, 4), tg.randn(3, 4), tg.randn(3)
    t = tg.tensor([0, 2, 1, 1, -100])
    for options in ({}, {"reduction": "sum", "label_smoothing": 0.1}, {"ignore_index": 1}):
        target = t.clamp(0, 2) if "ignore_index" in options else t
        found = F.linear_cross_entropy(x, w, target, linear_bias=b, **options)
        assert tg.allclose(found, F.cross_entropy(F.linear(x, w, b), target, **options))
    layer = nn.LinearCrossEntropyLoss(4, 3, out_features=(2,), bias=True)
    assert layer.linear.weight.shape == (6, 4)
    wide = tg.stack([t.clamp(0, 2), t.clamp(0, 1)], 1)
    logits = layer.linear(x).reshape(5, 3, 2)
    assert tg.allclose(layer(x, wide), F.cross_entropy(logits, wide))
    assert F.linear_cross_entropy(x[0], w, t[0], linear_bias=b).shape == ()
    for call, message in (
        (lambda: F.linear_cross_entropy(x, w[:, :2], t), "last dimensions"),
        (lambda: F.linear_cross_entropy(x, w, t, linear_bias=b[:2]), "expected linear_bias shape"),
        (lambda: F.linear_cross_entropy(x, w, x @ w.t(), ignore_index=0), "contains probabilities"),
        (lambda: nn.LinearCrossEntropyOptions(acc_policy="fast"), "invalid acc_policy"),
    ):
        with pytest.raises((RuntimeError, ValueError), match=message):
            call()


def test_old_names() -> None:
    x = tg.randn(1, 4, 3, 3)
    assert tg.equal(nn.CrossMapLRN2d(3, k=2)(x), F.local_response_norm(x, 3, k=2))
    with pytest.raises(ValueError, match="Expected input to be 4D"):
        nn.CrossMapLRN2d(3)(x[0])
    for fn, options in (
        (F.upsample, {"mode": "nearest"}), (F.upsample_nearest, {"mode": "nearest"}),
        (F.upsample_bilinear, {"mode": "bilinear", "align_corners": True}),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match="interpolate"):
            found = fn(x, scale_factor=2)
        assert tg.allclose(found, F.interpolate(x, scale_factor=2, **options))
    buffer = nn.UninitializedBuffer()
    assert repr(buffer) == "<UninitializedBuffer>"
    buffer.materialize((2, 3))
    assert type(buffer) is nn.Buffer
    assert buffer.shape == (2, 3)


def test_numbers_of_another_dtype_are_refused() -> None:
    with tg.device("cpu"):
        samples = tg.rand(1, 2, 2, dtype=tg.float64)
        with pytest.raises(tg.DTypeError, match="same dtype as input"):
            tg.nn.FractionalMaxPool2d(2, 3, _random_samples=samples)(tg.rand(1, 2, 7, 7))
