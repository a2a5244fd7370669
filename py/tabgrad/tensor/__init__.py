"""Tensor, and PyTorch's functions of tensors by topic.

A function has one home: the file of its topic. That it takes `out` is said at its definition (`takes_out`), its
aliases stand under it, and the end of the file says which functions are methods of Tensor, which of them
have an in-place twin, and which are public (`__all__`).
"""

from tabgrad.tensor.tensor import Tensor as Tensor
