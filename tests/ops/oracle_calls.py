"""The calls that `oracle.py` asks of PyTorch: (function, arguments, label)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.arguments import Input

CALLS: list[tuple[str, Callable[[Any], tuple[Any, dict[str, Any]]], str]] = []


def call(function: str, make: Callable[[Any], Any], label: str = "", **kwargs: Any) -> None:
    """Add a call; `make(m)` gives the positional arguments, or them and keyword arguments."""

    def arguments(m: Any) -> tuple[Any, dict[str, Any]]:
        made = make(m)
        given = made if isinstance(made, tuple) else (made,)
        named = {k: v(m) if callable(v) else v for k, v in kwargs.items()}
        return given, named

    shown = ",".join(f"{k}={'tensor' if callable(v) else v}" for k, v in kwargs.items())
    CALLS.append((function, arguments, (label or shown).replace(" ", "")))


# -- rows and activations --------------------------------------------------------------------------

call("softmax", lambda m: (m.normal(3, 4, 5), 1), "middle")
call("softmax", lambda m: (m.normal(6, scale=30.0), 0), "large")
call("softmax", lambda m: (m.normal(3, 1), 1), "one")
call("log_softmax", lambda m: (m.normal(3, 4, 5), -1))
call("softmin", lambda m: (m.normal(3, 4), 0))
call("logsumexp", lambda m: (m.normal(3, 4, 5), (0, 2)))
call("logsumexp", lambda m: (m.normal(3, 4), 1, True), "keepdim")
for name in (
    "relu",
    "silu",
    "mish",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "hardshrink",
    "softshrink",
    "tanhshrink",
    "softsign",
    "logsigmoid",
    "sigmoid",
    "tanh",
    "gelu",
    "softplus",
    "glu",
):
    call(name, lambda m: m.normal(3, 4, scale=3.0))
call("gelu", lambda m: m.normal(3, 4, scale=3.0), approximate="tanh")
call("elu", lambda m: (m.normal(3, 4), 0.7), "alpha")
call("celu", lambda m: (m.normal(3, 4), 0.7), "alpha")
call("hardtanh", lambda m: (m.normal(3, 4), -0.5, 0.25), "bounds")
call("softplus", lambda m: (m.normal(3, 4, scale=9.0), 2.0, 5.0), "threshold")
call("threshold", lambda m: (m.normal(3, 4), 0.1, 2.0))
call("prelu", lambda m: (m.normal(2, 3, 4), m.normal(3)))
call("prelu", lambda m: (m.normal(2, 3), m.normal(1)), "one")
call("glu", lambda m: (m.normal(4, 3), 0), "dim0")
call("rrelu", lambda m: m.normal(3, 4))
call("logit", lambda m: m.uniform(3, 4))

# -- norms -----------------------------------------------------------------------------------------

call("layer_norm", lambda m: (m.normal(3, 4, 5), (4, 5), m.normal(4, 5), m.normal(4, 5)), "affine")
call("layer_norm", lambda m: (m.normal(3, 5), (5,)), "plain")
call("rms_norm", lambda m: (m.normal(3, 4, 5), (5,), m.normal(5)))
call("group_norm", lambda m: (m.normal(3, 4, 5, 2), 2, m.normal(4), m.normal(4)))
call(
    "batch_norm",
    lambda m: (m.normal(3, 4, 5), None, None, m.normal(4), m.normal(4), True),
    "training",
)
call(
    "batch_norm",
    lambda m: (m.normal(6, 4), m.fixed(4), m.uniform(4, grad=False), m.normal(4), m.normal(4)),
    "eval",
)
call("instance_norm", lambda m: m.normal(3, 4, 5, 2))
call("local_response_norm", lambda m: (m.normal(3, 5, 4), 3))
call("normalize", lambda m: m.normal(3, 4))
call("normalize", lambda m: (m.normal(3, 4), 3.0, 0), "p3")

# -- losses ----------------------------------------------------------------------------------------

for reduction in ("none", "mean", "sum"):
    call("cross_entropy", lambda m: (m.normal(5, 4), m.integers(4, 5)), reduction=reduction)
    call(
        "cross_entropy",
        lambda m: (m.normal(5, 4), m.integers(4, 5)),
        reduction=reduction,
        ignore_index=2,
        weight=lambda m: m.uniform(4, grad=False),
        label_smoothing=0.1,
    )
    call(
        "nll_loss",
        lambda m: (m.normal(5, 4), m.integers(4, 5)),
        reduction=reduction,
        ignore_index=1,
        weight=lambda m: m.uniform(4, grad=False),
    )
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        call(name, lambda m: (m.normal(3, 4), m.normal(3, 4)), reduction=reduction)
call("cross_entropy", lambda m: (m.normal(2, 4, 3), m.integers(4, 2, 3)), "spatial")
call("cross_entropy", lambda m: (m.normal(4), m.integers(4)), "single")
call(
    "cross_entropy",
    lambda m: (m.normal(5, 4, 3), m.uniform(5, 4, 3)),
    "probabilities",
    label_smoothing=0.2,
)
call("smooth_l1_loss", lambda m: (m.normal(3, 4), m.normal(3, 4)), beta=0.3)
call("huber_loss", lambda m: (m.normal(3, 4), m.normal(3, 4)), delta=0.3)
call("binary_cross_entropy", lambda m: (m.uniform(3, 4), m.uniform(3, 4, grad=False)))
call("binary_cross_entropy_with_logits", lambda m: (m.normal(3, 4, scale=9.0), m.uniform(3, 4)))
call(
    "binary_cross_entropy_with_logits",
    lambda m: (m.normal(3, 4), m.uniform(3, 4, grad=False)),
    pos_weight=lambda m: m.uniform(4, grad=False),
    weight=lambda m: m.uniform(4, grad=False),
)
call("kl_div", lambda m: (m.normal(3, 4), m.uniform(3, 4)), reduction="batchmean")
call("kl_div", lambda m: (m.normal(3, 4), m.normal(3, 4)), reduction="sum", log_target=True)
call(
    "poisson_nll_loss", lambda m: (m.normal(3, 4), m.uniform(3, 4, high=5.0, grad=False)), full=True
)
call("gaussian_nll_loss", lambda m: (m.normal(3, 4), m.normal(3, 4), m.uniform(3, 4)), full=True)
call("margin_ranking_loss", lambda m: (m.normal(5), m.normal(5), m.signs(5), 0.3))
call("hinge_embedding_loss", lambda m: (m.normal(5), m.signs(5)))
call("soft_margin_loss", lambda m: (m.normal(5), m.signs(5)))
call("cosine_embedding_loss", lambda m: (m.normal(4, 3), m.normal(4, 3), m.signs(4), 0.1))
call("triplet_margin_loss", lambda m: (m.normal(4, 3), m.normal(4, 3), m.normal(4, 3)), swap=True)
call(
    "multi_margin_loss",
    lambda m: (m.normal(4, 3), m.integers(3, 4)),
    p=2,
    weight=lambda m: m.uniform(3, grad=False),
)
call("multilabel_margin_loss", lambda m: (m.normal(3, 4), _labels()))
call("multilabel_soft_margin_loss", lambda m: (m.normal(3, 4), m.uniform(3, 4, grad=False)))


def _labels() -> Any:
    return Input(np.array([[3, 0, -1, 1], [1, -1, 2, 2], [0, 1, 2, 3]]))


# -- linear maps, convolution, attention -----------------------------------------------------------

call("linear", lambda m: (m.normal(2, 3, 4), m.normal(5, 4), m.normal(5)))
call("linear", lambda m: (m.normal(4), m.normal(5, 4)), "vector")
call("bilinear", lambda m: (m.normal(2, 3, 4), m.normal(2, 3, 5), m.normal(6, 4, 5), m.normal(6)))
call("conv1d", lambda m: (m.normal(2, 4, 7), m.normal(6, 4, 2), m.normal(6), 3), "stride>kernel")
call("conv1d", lambda m: (m.normal(2, 3, 8), m.normal(4, 3, 3)), padding="same")
call(
    "conv2d",
    lambda m: (m.normal(2, 4, 7, 8), m.normal(6, 2, 3, 2), m.normal(6), (2, 1), (1, 2), (1, 2), 2),
    "all",
)
call("conv2d", lambda m: (m.normal(2, 3, 6, 5), m.normal(4, 3, 3, 3), m.normal(4)), padding=1)
call(
    "conv2d",
    lambda m: (m.normal(2, 3, 6, 5), m.normal(4, 3, 2, 4)),
    padding="same",
    dilation=(1, 2),
)
call("conv2d", lambda m: (m.normal(1, 3, 5, 5), m.normal(6, 1, 3, 3)), "depthwise", groups=3)
call("conv3d", lambda m: (m.normal(1, 2, 3, 4, 3), m.normal(3, 2, 2, 2, 2), m.normal(3), 1, 1))
call(
    "conv_transpose1d",
    lambda m: (m.normal(2, 3, 4), m.normal(3, 2, 3)),
    stride=2,
    padding=1,
    output_padding=1,
)
call(
    "conv_transpose2d",
    lambda m: (
        m.normal(2, 4, 5, 4),
        m.normal(4, 3, 3, 2),
        m.normal(6),
        (2, 3),
        1,
        (1, 2),
        2,
        (2, 1),
    ),
)
call(
    "scaled_dot_product_attention",
    lambda m: (m.normal(2, 2, 3, 5), m.normal(2, 2, 4, 5), m.normal(2, 2, 4, 6)),
)
call(
    "scaled_dot_product_attention",
    lambda m: (m.normal(2, 4, 5), m.normal(2, 4, 5), m.normal(2, 4, 3)),
    is_causal=True,
)
call(
    "scaled_dot_product_attention",
    lambda m: (m.normal(2, 3, 5), m.normal(2, 4, 5), m.normal(2, 4, 6), m.normal(3, 4)),
    "added mask",
)
call(
    "scaled_dot_product_attention",
    lambda m: (m.normal(2, 3, 5), m.normal(2, 4, 5), m.normal(2, 4, 6), _mask()),
    "mask",
)
call(
    "scaled_dot_product_attention",
    lambda m: (m.normal(2, 4, 3, 5), m.normal(2, 2, 4, 5), m.normal(2, 2, 4, 6)),
    enable_gqa=True,
    scale=0.3,
)


def _mask() -> Any:
    # the second query sees nothing
    return Input(np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]], dtype=bool))


# -- pooling and windows ---------------------------------------------------------------------------

for k, s, p, d, c in (
    (2, None, 0, 1, False),
    (3, 2, 1, 1, False),
    (3, 2, 1, 1, True),
    ((2, 3), (1, 2), (1, 1), (2, 1), True),
    (2, 3, 0, 1, False),
):
    call(
        "max_pool2d",
        lambda m: m.normal(2, 3, 9, 8),
        kernel_size=k,
        stride=s,
        padding=p,
        dilation=d,
        ceil_mode=c,
        return_indices=True,
    )
    if d == 1:
        for include in (True, False):
            call(
                "avg_pool2d",
                lambda m: m.normal(2, 3, 9, 8),
                kernel_size=k,
                stride=s,
                padding=p,
                ceil_mode=c,
                count_include_pad=include,
            )
call("max_pool1d", lambda m: m.normal(3, 7), kernel_size=3, stride=1, padding=1)
call("max_pool3d", lambda m: m.normal(1, 2, 4, 5, 4), kernel_size=2)
call("avg_pool3d", lambda m: m.normal(1, 2, 4, 5, 4), kernel_size=2, stride=1)
call("lp_pool2d", lambda m: m.uniform(2, 3, 4, 4), norm_type=3.0, kernel_size=2)
for size in (1, 3, (2, 5), (None, 2)):
    call("adaptive_avg_pool2d", lambda m: m.normal(2, 3, 7, 8), output_size=size)
    call(
        "adaptive_max_pool2d", lambda m: m.normal(2, 3, 7, 8), output_size=size, return_indices=True
    )
call("unfold", lambda m: (m.normal(2, 3, 7, 8), (2, 3), 2, 1, 2))
call("fold", lambda m: (m.normal(2, 18, 12), (7, 8), (2, 3), 2, 1, 2))

# -- padding, lookup, images -----------------------------------------------------------------------

for mode in ("reflect", "replicate", "circular"):
    call("pad", lambda m: (m.normal(2, 3, 4, 5), (1, 2, 2, 1)), mode=mode)
call("pad", lambda m: (m.normal(2, 3, 4), (1, 2, 0, 1)), value=2.5)
call("pad", lambda m: (m.normal(2, 3, 4, 5), (-1, 2, 2, -1)), "crop", value=3.0)
call("embedding", lambda m: (m.integers(4, 2, 5), m.normal(4, 3), 1), "padding_idx")
call(
    "embedding_bag",
    lambda m: (m.integers(4, 2, 5), m.normal(4, 3)),
    mode="sum",
    per_sample_weights=lambda m: m.uniform(2, 5),
)
call("one_hot", lambda m: m.integers(4, 2, 3), num_classes=5)
call("cosine_similarity", lambda m: (m.normal(3, 4), m.normal(3, 4)))
call("pairwise_distance", lambda m: (m.normal(3, 4), m.normal(3, 4)))
call("pairwise_distance", lambda m: (m.normal(3, 4), m.normal(3, 4), 3.0), "p3", keepdim=True)
call("pixel_shuffle", lambda m: (m.normal(2, 8, 2, 3), 2))
call("pixel_unshuffle", lambda m: (m.normal(2, 2, 4, 6), 2))
call("channel_shuffle", lambda m: (m.normal(2, 4, 2), 2))
for mode in ("nearest", "nearest-exact", "area", "linear"):
    for size in (3, 14, 9):
        call("interpolate", lambda m: m.normal(2, 3, 7), size=size, mode=mode)
for mode in ("bilinear", "bicubic"):
    for corners in (False, True):
        call(
            "interpolate",
            lambda m: m.normal(1, 2, 5, 6),
            size=(9, 4),
            mode=mode,
            align_corners=corners,
        )
    call("interpolate", lambda m: m.normal(1, 2, 5, 6), scale_factor=1.7, mode=mode)
    call("interpolate", lambda m: m.normal(1, 2, 5, 6), size=(3, 4), mode=mode, antialias=True)
call("interpolate", lambda m: m.normal(1, 2, 2, 3, 2), scale_factor=2, mode="trilinear")
for mode in ("bilinear", "nearest"):
    for beyond in ("zeros", "border", "reflection"):
        call(
            "grid_sample",
            lambda m: (m.normal(2, 3, 5, 4), m.normal(2, 3, 4, 2)),
            mode=mode,
            padding_mode=beyond,
            align_corners=beyond == "border",
        )
call("affine_grid", lambda m: (m.normal(2, 2, 3), (2, 3, 4, 5)), align_corners=False)

# -- order, scans, special functions ---------------------------------------------------------------

call("sort", lambda m: m.normal(3, 5), dim=0)
call("sort", lambda m: m.normal(3, 5), descending=True)
call("topk", lambda m: (m.normal(4, 5), 2, 0))
call("topk", lambda m: (m.normal(4, 5), 3, 1, False), "smallest")
call("kthvalue", lambda m: (m.normal(4, 5), 2, 0, True))
call("median", lambda m: (m.normal(4, 5), 0))
call("searchsorted", lambda m: (_edges(), m.integers(7, 3, 8, low=-1)))
call("searchsorted", lambda m: (_edges(), m.integers(7, 3, 8, low=-1)), right=True)
call("cumsum", lambda m: (m.normal(4, 5), 0))
call("cumprod", lambda m: (_zeros(), 1))
call("logcumsumexp", lambda m: (m.normal(4, 5, scale=10.0), 1))
call("cummax", lambda m: (m.integers(4, 3, 8), 1))
call("cummin", lambda m: (m.normal(3, 8), 1))
call("erfinv", lambda m: m.uniform(20, low=-0.999, high=0.999))
call("lgamma", lambda m: m.uniform(20, low=0.1, high=20.0))
call("digamma", lambda m: m.uniform(20, low=-5.0, high=20.0))
call("sinc", lambda m: m.uniform(20, low=-3.0, high=3.0))
for n in (1, 2, 3):
    call("polygamma", lambda m, n=n: (n, m.uniform(10, low=0.5, high=20.0)), f"n={n}")
call("xlogy", lambda m: (m.uniform(3, 4), m.uniform(3, 4)))


for name in ("i0", "i0e", "i1", "i1e", "ndtr", "log_ndtr"):
    call(name, lambda m: m.uniform(20, low=-8.0, high=8.0))
call("i0e", lambda m: m.uniform(10, low=-900.0, high=900.0), "large")
call("log_ndtr", lambda m: m.uniform(10, low=-40.0, high=-5.0), "tail")
call(
    "zeta",
    lambda m: (m.uniform(10, low=1.1, high=9.0, grad=False), m.uniform(10, low=0.3, high=40.0)),
)
call("multigammaln", lambda m: (m.uniform(6, low=1.5, high=20.0), 3))
call("xlog1py", lambda m: (m.uniform(3, 4), m.uniform(3, 4)))
call("entr", lambda m: m.uniform(3, 4))


def _edges() -> Any:
    return Input(np.sort(np.random.default_rng(0).integers(0, 6, size=(3, 7)), axis=1))


def _zeros() -> Any:
    return Input(np.array([[1.0, 2, 0, 3, 0, 4], [3.0, 1, 2, 0.5, -1, 2]]))
