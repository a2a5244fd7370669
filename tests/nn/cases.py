"""Module calls whose results PyTorch has told: the calls, and the numbers they start from.

A case is a module written as an expression of `nn`, and the shapes of its inputs ("i10:3x4" is an int64 input
below 10). Parameters, buffers and inputs are drawn by Python's generator from their names, so both
libraries start from the same numbers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple


class Case(NamedTuple):
    module: str
    inputs: tuple[str, ...]
    train: bool = False
    pick: int | None = None  # which output, where there are several
    repr: bool = True


def numbers(seed: str, count: int) -> list[float]:
    rng = random.Random(seed)
    # Few bits, so that sums are exact and float32 starts from the same values everywhere.
    return [rng.randrange(-64, 65) / 64 for _ in range(count)]


def integers(seed: str, count: int, below: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(below) for _ in range(count)]


def parsed(spec: str) -> tuple[int, tuple[int, ...]]:
    """Return the bound of the integers (0: floats) and the shape."""
    below = 0
    if spec.startswith("i"):
        bound, _, spec = spec[1:].partition(":")
        below = int(bound)
    return below, tuple(int(n) for n in spec.split("x")) if spec else ()


def elementwise() -> Iterator[Case]:
    for call in (
        "ReLU()", "ReLU6()", "SiLU()", "Mish()", "Hardswish()", "Hardsigmoid()", "SELU()",
        "ELU(1.3)", "CELU(0.7)", "LeakyReLU(0.2)", "RReLU(0.1, 0.3)", "Hardtanh(-0.5, 0.6)",
        "Threshold(0.1, 20)", "PReLU()", "PReLU(3)", "GELU()", "GELU('tanh')", "Sigmoid()",
        "LogSigmoid()", "Tanh()", "Tanhshrink()", "Softsign()", "Softplus(2)",
        "Hardshrink()", "Softshrink(0.3)", "GLU(2)", "Softmax(1)", "Softmin(-1)",
        "LogSoftmax(1)", "Softmax2d()", "ReLU(inplace=True)", "ELU(inplace=True)",
    ):  # fmt: skip
        yield Case(f"nn.{call}", ("2x3x4x5",))


def layers() -> Iterator[Case]:
    yield Case("nn.Identity(54, unused=1)", ("2x3",))
    yield Case("nn.Linear(4, 5)", ("2x3x4",))
    yield Case("nn.Linear(4, 5, bias=False)", ("4",))
    yield Case("nn.Bilinear(3, 4, 2)", ("5x3", "5x4"))
    for conv in (
        "Conv1d(4, 6, 3)", "Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)",
        "Conv1d(4, 6, 4, padding='same', bias=False)", "Conv1d(4, 2, 3, padding=2, padding_mode='circular')",
        "ConvTranspose1d(4, 6, 3, stride=3, padding=1, output_padding=2, groups=2)",
    ):  # fmt: skip
        yield Case(f"nn.{conv}", ("2x4x9",))
    for conv in (
        "Conv2d(4, 6, 3)", "Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0))",
        "Conv2d(4, 4, 3, groups=4, dilation=2)", "Conv2d(4, 2, 3, padding='same')",
        "Conv2d(4, 2, 3, padding=1, padding_mode='reflect')",
        "Conv2d(4, 2, 3, padding=1, padding_mode='replicate')",
        "ConvTranspose2d(4, 6, 3, stride=2, padding=1, dilation=2)",
    ):  # fmt: skip
        yield Case(f"nn.{conv}", ("2x4x8x7",))
    yield Case("nn.Conv2d(4, 6, 3)", ("4x8x7",), repr=False)
    yield Case("nn.Conv3d(2, 4, 2, stride=2)", ("2x2x5x4x6",))
    yield Case("nn.ConvTranspose3d(2, 4, 2, stride=2)", ("1x2x3x2x3",))
    yield Case("nn.Embedding(10, 3)", ("i10:2x4",))
    yield Case("nn.Embedding(10, 3, padding_idx=2)", ("i10:2x4",))
    yield Case("nn.EmbeddingBag(10, 3)", ("i10:2x4",))
    yield Case("nn.EmbeddingBag(10, 3, mode='sum')", ("i10:2x4",))


def pools() -> Iterator[Case]:
    for call in (
        "MaxPool1d(2)", "MaxPool1d(3, stride=2, padding=1, dilation=2, ceil_mode=True)", "AvgPool1d(2)",
        "AvgPool1d(3, 2, padding=1, count_include_pad=False)", "AdaptiveAvgPool1d(4)",
        "AdaptiveMaxPool1d(4)", "LPPool1d(2, 3, stride=2)",
    ):  # fmt: skip
        yield Case(f"nn.{call}", ("2x3x9",))
    for call in (
        "MaxPool2d(2)", "MaxPool2d((3, 2), stride=(2, 1), padding=1)", "AvgPool2d(2)",
        "AvgPool2d((3, 2), stride=2, padding=1)", "AvgPool2d(2, divisor_override=3)",
        "AdaptiveAvgPool2d(1)", "AdaptiveAvgPool2d((None, 3))", "AdaptiveMaxPool2d((3, 2))",
        "LPPool2d(2, 2)",
    ):  # fmt: skip
        yield Case(f"nn.{call}", ("2x3x8x7",))
    yield Case("nn.MaxPool2d(2, return_indices=True)", ("2x3x8x6",), pick=1, repr=False)
    yield Case("nn.MaxPool3d(2)", ("1x2x4x4x6",))
    yield Case("nn.AvgPool3d(2)", ("1x2x4x4x6",))
    yield Case("nn.AdaptiveAvgPool3d(2)", ("1x2x4x4x6",))
    yield Case("nn.AdaptiveMaxPool3d(2)", ("1x2x4x4x6",))


def norms() -> Iterator[Case]:
    for train in (True, False):
        yield Case("nn.BatchNorm1d(3)", ("5x3",), train)
        yield Case("nn.BatchNorm1d(3, affine=False)", ("5x3x4",), train)
        yield Case("nn.BatchNorm2d(3, momentum=0.3)", ("2x3x4x5",), train)
        yield Case("nn.BatchNorm2d(3, momentum=None)", ("2x3x4x5",), train)
        yield Case("nn.BatchNorm2d(3, track_running_stats=False)", ("2x3x4x5",), train)
        yield Case("nn.BatchNorm3d(3)", ("2x3x2x3x2",), train)
        yield Case("nn.InstanceNorm2d(3, affine=True)", ("2x3x4x5",), train)
        yield Case("nn.InstanceNorm2d(3, track_running_stats=True)", ("2x3x4x5",), train)
    yield Case("nn.InstanceNorm1d(3)", ("3x8",))
    yield Case("nn.InstanceNorm3d(3)", ("2x3x2x3x2",))
    yield Case("nn.LayerNorm(5)", ("2x4x5",))
    yield Case("nn.LayerNorm((4, 5), eps=1e-3, bias=False)", ("2x4x5",))
    yield Case("nn.LayerNorm(5, elementwise_affine=False)", ("2x4x5",))
    yield Case("nn.RMSNorm(5)", ("2x4x5",))
    yield Case("nn.RMSNorm((4, 5), eps=1e-2)", ("2x4x5",))
    yield Case("nn.GroupNorm(2, 4)", ("2x4x3x3",))
    yield Case("nn.GroupNorm(4, 4, affine=False)", ("2x4x3",))
    yield Case("nn.LocalResponseNorm(3, alpha=0.1)", ("2x4x3x3",))
    yield Case("nn.LPPool3d(2, 2)", ("2x3x4x4x4",))
    yield Case("nn.NLLLoss2d()", ("2x4x3x3", "i4:2x3x3"))
    for pick in (0, 1):
        yield Case(
            "nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], 2.0)", ("6x8", "i20:6"), pick=pick
        )
    yield Case("nn.AdaptiveLogSoftmaxWithLoss(8, 9, [4], head_bias=True)", ("8", "i9:"), pick=0)
    for call in ("nn.Linear(4, 5)", "nn.Conv2d(2, 3, 3)", "nn.ConvTranspose1d(3, 2, 3)"):
        x = {"L": "2x4", "C": "2x2x5x5"}[call[3]] if "Tr" not in call else "2x3x6"
        for norm in ("weight_norm", "spectral_norm"):
            for train in (False, True):
                yield Case(f"nn.utils.{norm}({call})", (x,), train=train)
    yield Case("nn.utils.weight_norm(nn.Conv2d(2, 3, 3), dim=None)", ("2x2x5x5",))
    yield Case("nn.utils.weight_norm(nn.Conv2d(2, 3, 3), dim=1)", ("2x2x5x5",))
    yield Case("nn.utils.weight_norm(nn.Linear(4, 5), 'bias')", ("2x4",))
    yield Case(
        "nn.utils.spectral_norm(nn.Conv2d(2, 3, 3), n_power_iterations=3, dim=2)",
        ("2x2x5x5",),
        train=True,
    )
    yield Case("nn.utils.remove_weight_norm(nn.utils.weight_norm(nn.Linear(4, 5)))", ("2x4",))
    for fused in (
        "conv_bn_eval(nn.Conv2d(2, 3, 3).eval(), nn.BatchNorm2d(3).eval())",
        "conv_bn_eval(nn.ConvTranspose1d(3, 2, 3).eval(), nn.BatchNorm1d(2).eval(), True)",
        "conv_bn_eval(nn.Conv1d(3, 2, 3, bias=False).eval(), nn.BatchNorm1d(2, affine=False).eval())",
        "linear_bn_eval(nn.Linear(4, 5).eval(), nn.BatchNorm1d(5).eval())",
    ):
        x = {"nn.Conv2d": "2x2x5x5", "nn.Linear": "2x4"}.get(fused.split("(")[1], "2x3x6")
        yield Case(f"nn.utils.fuse_{fused}", (x,))


def shapes() -> Iterator[Case]:
    for call in (
        "Flatten()", "Flatten(0, 1)", "Unflatten(1, (2, 2))", "PixelShuffle(2)", "PixelUnshuffle(2)",
        "ChannelShuffle(2)", "Unfold(2, stride=2)", "ZeroPad2d(1)", "ConstantPad2d((1, 0, 2, 1), 3.5)",
        "ReflectionPad2d(2)", "ReplicationPad2d((1, 2, 0, 1))", "CircularPad2d(1)",
        "Upsample(scale_factor=2)", "Upsample(size=(8, 3))", "UpsamplingNearest2d(scale_factor=2)",
        "Upsample(scale_factor=2, mode='bilinear')",
        "Upsample(size=(7, 9), mode='bilinear', align_corners=True)", "UpsamplingBilinear2d(scale_factor=2)",
        "Upsample(scale_factor=2, mode='bicubic')",
        "Dropout(0.3)", "Dropout2d()", "AlphaDropout(0.2)", "FeatureAlphaDropout()",
    ):  # fmt: skip
        yield Case(f"nn.{call}", ("2x4x4x6",))
    yield Case("nn.Fold((4, 5), (2, 2))", ("2x12x12",))
    for call in ("ZeroPad1d(2)", "ConstantPad1d((0, 2), 1.5)", "ReflectionPad1d(2)", "CircularPad1d(2)",
                 "ReplicationPad1d(3)", "Upsample(scale_factor=2, mode='linear')"):  # fmt: skip
        yield Case(f"nn.{call}", ("2x3x5",))
    for call in ("ZeroPad3d(1)", "ConstantPad3d(1, 2)", "ReflectionPad3d(1)", "CircularPad3d(1)",
                 "ReplicationPad3d(1)", "Upsample(scale_factor=2, mode='trilinear')"):  # fmt: skip
        yield Case(f"nn.{call}", ("1x2x3x2x4",))


def losses() -> Iterator[Case]:
    for reduction in ("mean", "sum", "none"):
        for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "PoissonNLLLoss",
                     "BCEWithLogitsLoss", "SoftMarginLoss", "HingeEmbeddingLoss"):  # fmt: skip
            yield Case(f"nn.{name}(reduction={reduction!r})", ("3x4", "3x4"))
        yield Case(f"nn.CrossEntropyLoss(reduction={reduction!r})", ("5x4", "i4:5"))
    yield Case("nn.SmoothL1Loss(beta=0.3)", ("3x4", "3x4"))
    yield Case("nn.HuberLoss(delta=0.3)", ("3x4", "3x4"))
    yield Case("nn.CrossEntropyLoss(ignore_index=2)", ("5x4x3", "i4:5x3"))
    yield Case("nn.CrossEntropyLoss(label_smoothing=0.2)", ("5x4", "i4:5"))
    yield Case("nn.CrossEntropyLoss()", ("5x4", "5x4"))
    yield Case("nn.NLLLoss()", ("5x4", "i4:5"))
    yield Case("nn.KLDivLoss(reduction='batchmean', log_target=True)", ("3x4", "3x4"))
    yield Case("nn.GaussianNLLLoss(eps=0.1)", ("3x4", "3x4", "i4:3x4"))
    yield Case("nn.MarginRankingLoss(margin=0.2)", ("4", "4", "4"))
    yield Case("nn.CosineEmbeddingLoss()", ("3x4", "3x4", "i2:3"))
    yield Case("nn.TripletMarginLoss(swap=True)", ("3x4", "3x4", "3x4"))
    yield Case("nn.TripletMarginWithDistanceLoss(margin=0.5)", ("3x4", "3x4", "3x4"), repr=False)
    yield Case("nn.MultiLabelSoftMarginLoss()", ("3x4", "i2:3x4"))
    yield Case("nn.MultiMarginLoss()", ("3x4", "i4:3"))
    yield Case("nn.CosineSimilarity()", ("3x4", "3x4"))
    yield Case("nn.PairwiseDistance()", ("3x4", "3x4"))


def recurrent() -> Iterator[Case]:
    for options in (
        "",
        ", num_layers=2",
        ", bidirectional=True",
        ", batch_first=True",
        ", bias=False",
    ):
        for name in ("RNN", "LSTM", "GRU"):
            yield Case(f"nn.{name}(3, 4{options})", ("5x2x3",), pick=0)
    yield Case("nn.RNN(3, 4, nonlinearity='relu')", ("5x3",), pick=0, repr=False)
    yield Case("nn.RNN(3, 4, 2, bidirectional=True)", ("5x2x3", "4x2x4"), pick=1)
    yield Case("nn.LSTM(3, 4, 2, proj_size=2)", ("5x2x3",), pick=0)
    yield Case("nn.GRU(3, 4)", ("5x3", "1x4"), pick=1)
    yield Case("nn.RNNCell(3, 4)", ("2x3", "2x4"))
    yield Case("nn.GRUCell(3, 4)", ("2x3",))
    yield Case("nn.LSTMCell(3, 4)", ("2x3",), pick=1)


def attention() -> Iterator[Case]:
    mha = "nn.MultiheadAttention(6, 2{})"
    for options in (
        "",
        ", bias=False",
        ", kdim=4, vdim=5",
        ", add_bias_kv=True, add_zero_attn=True",
    ):
        sizes = (4, 5) if "kdim" in options else (6, 6)
        shapes = ("3x2x6", f"5x2x{sizes[0]}", f"5x2x{sizes[1]}")
        for pick in (0, 1):
            yield Case(mha.format(options), shapes, pick=pick, repr=False)
    yield Case(mha.format(", batch_first=True"), ("2x3x6", "2x5x6", "2x5x6"), pick=0, repr=False)
    for options in ("", ", norm_first=True, activation='gelu', batch_first=True", ", bias=False"):
        yield Case(f"nn.TransformerEncoderLayer(6, 2, 8{options})", ("3x2x6",), repr=False)
        yield Case(f"nn.TransformerDecoderLayer(6, 2, 8{options})", ("3x2x6", "3x2x6"), repr=False)
    yield Case("nn.Transformer(6, 2, 2, 2, 8)", ("3x2x6", "4x2x6"), repr=False)


CASES = [
    *elementwise(), *layers(), *pools(), *norms(), *shapes(), *losses(), *recurrent(), *attention(),
]  # fmt: skip


def name(case: Case) -> str:
    tail = " train" * case.train + (f" [{case.pick}]" if case.pick is not None else "")
    return f"{case.module} {' '.join(case.inputs)}{tail}"


def summary(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return what of a result is kept: its shape, its first elements, and its sum by random weights."""
    weights = numbers("summary", len(flat))
    total = sum(x * w for x, w in zip(flat, weights, strict=True))
    return [list(shape), [round(float(x), 7) for x in flat[:6]], round(float(total), 6)]
