"""Multi-head attention, and what PyTorch keeps under this name; `flex_attention` is imported by its path."""

from tabgrad.nn.attention.multi_head import (
    MultiheadAttention as MultiheadAttention,
    SDPBackend as SDPBackend,
    sdpa_kernel as sdpa_kernel,
)
