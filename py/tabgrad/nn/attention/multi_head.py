"""Multi-head attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.nn import init
from tabgrad.nn.functional.multi_head import Heads
from tabgrad.nn.linear import NonDynamicallyQuantizableLinear
from tabgrad.nn.module import Module
from tabgrad.nn.parameter import Parameter

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


class MultiheadAttention(Module):
    """softmax(q kᵀ / √head_dim + masks) v in `num_heads` parallel projections (Vaswani et al. 2017).

    Inputs are (T, N, embed_dim), (N, T, embed_dim) with `batch_first`, or (T, embed_dim). `kdim` and `vdim`
    are the sizes of keys and values if they differ from embed_dim. `add_bias_kv` appends a learned key and
    value, `add_zero_attn` a zero one.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got {embed_dim} and {num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertionError(
                f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}"
            )
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        together = self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        shapes: dict[str, tuple[int, ...] | None] = {
            "in_proj_weight": (3 * embed_dim, embed_dim) if together else None,
            "q_proj_weight": None if together else (embed_dim, embed_dim),
            "k_proj_weight": None if together else (embed_dim, self.kdim),
            "v_proj_weight": None if together else (embed_dim, self.vdim),
            "in_proj_bias": (3 * embed_dim,) if bias else None,
            "bias_k": (1, 1, embed_dim) if add_bias_kv else None,
            "bias_v": (1, 1, embed_dim) if add_bias_kv else None,
        }
        for name, shape in shapes.items():
            new = None if shape is None else Parameter(tg.empty(shape, **where))
            self.register_parameter(name, new)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **where)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name, p in self._parameters.items():
            if p is not None and name.endswith("weight"):
                init.xavier_uniform_(p)
            elif p is not None and name.startswith("bias_"):
                init.xavier_normal_(p)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def _heads(self) -> Heads:
        separate = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return Heads(
            self.num_heads, self.in_proj_weight, separate, self.in_proj_bias, self.bias_k, self.bias_v,
            self.add_zero_attn, self.dropout if self.training else 0.0, self.out_proj.weight,
            self.out_proj.bias,
        )  # fmt: skip

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None,
        average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Attend to `key` and `value`; the result is (output, weights).

        `weights` is None without `need_weights`; with `average_attn_weights` it is the mean over the heads.

        `key_padding_mask` (N, S) and `attn_mask` (T, S) or (N · heads, T, S) are True where attention is
        not allowed, or are added to the scores. `is_causal` is a hint that `attn_mask` is the causal one.
        """
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        single = query.ndim == 2
        same = query is key and key is value
        if single or not self.batch_first:
            query, key, value = (
                x.unsqueeze(0) if single else x.transpose(0, 1) for x in (query, key, value)
            )
            if same:
                key = value = query
        if single and key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
        y, weights = self._heads().attend(
            query, key, value, padding=key_padding_mask, mask=attn_mask, weights=need_weights,
            average=average_attn_weights,
        )  # fmt: skip
        if single:
            return y.squeeze(0), None if weights is None else weights.squeeze(0)
        return (y if self.batch_first else y.transpose(0, 1)), weights


class SDPBackend(Enum):
    """PyTorch's kernels of `scaled_dot_product_attention`; here each device has one kernel of its own."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(
    backends: Sequence[SDPBackend] | SDPBackend, set_priority: bool = False
) -> Iterator[None]:
    """Say which of PyTorch's kernels may compute attention: its numbers are the same with each of them.

    >>> import tabgrad as tg
    >>> from tabgrad.nn.attention import SDPBackend, sdpa_kernel
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     tg.nn.functional.scaled_dot_product_attention(*[tg.ones(1, 2, device="cpu")] * 3)
    tensor([[1., 1.]])
    """
    given = [backends] if isinstance(backends, SDPBackend) else list(backends)
    if not given or not all(isinstance(b, SDPBackend) for b in given):
        raise TypeError(f"sdpa_kernel: expected SDPBackend, or a list of them, got {backends!r}")
    yield
