"""Names of classes and functions in files: PyTorch's, for what PyTorch has too."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core.errors import FileFormatError

_MODULES = {
    "activation": (
        "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish "
        "MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus "
        "Softshrink Softsign Tanh Tanhshrink Threshold"
    ),
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "batchnorm": (
        "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d SyncBatchNorm"
    ),
    "channelshuffle": "ChannelShuffle",
    "container": "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "conv": (
        "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d "
        "LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d"
    ),
    "distance": "CosineSimilarity PairwiseDistance",
    "dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": (
        "InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d "
        "LazyInstanceNorm3d"
    ),
    "linear": "Bilinear Identity LazyLinear Linear",
    "loss": (
        "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss "
        "HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss MarginRankingLoss "
        "MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d PoissonNLLLoss "
        "SmoothL1Loss SoftMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss"
    ),
    "module": "Module",
    "normalization": "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "padding": (
        "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d "
        "ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d "
        "ZeroPad2d ZeroPad3d"
    ),
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": (
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d "
        "AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d "
        "LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d"
    ),
    "rnn": "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "sparse": "Embedding EmbeddingBag",
    "transformer": (
        "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer"
    ),
    "upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}  # fmt: skip
"""The modules by the file of `torch.nn.modules` that they are in."""
_HOMES = {
    name: f"torch.nn.modules.{file}" for file, names in _MODULES.items() for name in names.split()
}


_OTHERS = {"NonDynamicallyQuantizableLinear": "Linear", "Parameter": "Parameter"}
"""Classes in files that are other ones here."""


def in_files(what: Any) -> tuple[str, str] | None:
    """Return module and name of one of our modules or optimizers in files, None for anything else."""
    name = getattr(what, "__name__", "")
    if not isinstance(what, type):
        home = getattr(what, "__module__", None) or ""
        if (
            home.startswith("tabgrad.nn.functional")
            and getattr(tg.nn.functional, name, None) is what
        ):
            return "torch.nn.functional", name
        return ("torch", name) if home.startswith("tabgrad.tensor") and hasattr(tg, name) else None
    if name in _HOMES and getattr(tg.nn, name, None) is what:
        return _HOMES[name], name
    return None


def in_tabgrad(module: str, name: str) -> Any:
    """Return our class or function for a name in a file that PyTorch's modules have, or None.

    Raises FileFormatError for an optimizer or a schedule: theirs hold other things than ours.
    """
    if module.startswith("torch.optim."):
        raise FileFormatError(f"the file has a whole {name}; save its state_dict()")
    if _HOMES.get(name) == module:
        return getattr(tg.nn, name, None)
    if name in _OTHERS:
        return getattr(tg.nn, _OTHERS[name])
    if module in ("torch.nn.functional", "torch._C._nn"):
        return getattr(tg.nn.functional, name, None)
    if module in ("torch", "torch._C._VariableFunctions") and not name.startswith("_"):
        return getattr(tg, name, None)
    return None
