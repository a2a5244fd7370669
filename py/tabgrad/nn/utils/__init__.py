"""Gradient clipping, parameters as one vector, computed weights, and sequences of different lengths."""

import typing as _typing
from importlib import import_module as _import_module

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.nn.utils import rnn as rnn
from tabgrad.nn.utils.clip_grad import (
    adaptive_clip_grad_ as adaptive_clip_grad_,
    clip_each_grad_norm_ as clip_each_grad_norm_,
    clip_grad_norm as clip_grad_norm,
    clip_grad_norm_ as clip_grad_norm_,
    clip_grad_value_ as clip_grad_value_,
    clip_grads_with_norm_ as clip_grads_with_norm_,
    get_total_norm as get_total_norm,
)  # fmt: skip
from tabgrad.nn.utils.convert_parameters import (
    parameters_to_vector as parameters_to_vector,
    vector_to_parameters as vector_to_parameters,
)  # fmt: skip
from tabgrad.nn.utils.fusion import (
    fuse_conv_bn_eval as fuse_conv_bn_eval,
    fuse_conv_bn_weights as fuse_conv_bn_weights,
    fuse_linear_bn_eval as fuse_linear_bn_eval,
    fuse_linear_bn_weights as fuse_linear_bn_weights,
)  # fmt: skip
from tabgrad.nn.utils.init import skip_init as skip_init
from tabgrad.nn.utils.memory_format import (
    convert_conv2d_weight_memory_format as convert_conv2d_weight_memory_format,
    convert_conv3d_weight_memory_format as convert_conv3d_weight_memory_format,
)  # fmt: skip
from tabgrad.nn.utils.reparametrized import (
    remove_spectral_norm as remove_spectral_norm,
    remove_weight_norm as remove_weight_norm,
    spectral_norm as spectral_norm,
    weight_norm as weight_norm,
)  # fmt: skip

if _typing.TYPE_CHECKING:
    from tabgrad.nn.utils import (
        parametrizations as parametrizations,
        parametrize as parametrize,
        prune as prune,
    )
else:
    _missing = _missing_from(__name__)

    def __getattr__(name: str) -> object:
        """Import a module that few programs need when it is first asked for."""
        if name in ("parametrizations", "parametrize", "prune"):
            return _import_module(f"{__name__}.{name}")
        return _missing(name)
