"""Gradient clipping, parameters as one vector, and sequences of different lengths."""

from tabgrad.nn.utils import rnn as rnn
from tabgrad.nn.utils.clip_grad import (
    adaptive_clip_grad_ as adaptive_clip_grad_,
    clip_each_grad_norm_ as clip_each_grad_norm_,
    clip_grad_norm_ as clip_grad_norm_,
    clip_grad_value_ as clip_grad_value_,
    clip_grads_with_norm_ as clip_grads_with_norm_,
    get_total_norm as get_total_norm,
)  # fmt: skip
from tabgrad.nn.utils.convert_parameters import (
    parameters_to_vector as parameters_to_vector,
    vector_to_parameters as vector_to_parameters,
)  # fmt: skip
