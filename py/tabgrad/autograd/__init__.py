"""Derivatives of recorded computations; PyTorch's `autograd`."""

from tabgrad.autograd import graph as graph
from tabgrad.autograd.grad_mode import (
    enable_grad as enable_grad, inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled, is_inference_mode_enabled as is_inference_mode_enabled,
    no_grad as no_grad, set_grad_enabled as set_grad_enabled,
    set_multithreading_enabled as set_multithreading_enabled,
)  # fmt: skip
from tabgrad.transforms.backward import backward as backward, grad as grad
