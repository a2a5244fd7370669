"""Attention in several heads, with the projections of inputs and output."""

from __future__ import annotations

import math
from typing import NamedTuple

import tabgrad as tg
from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.nn.functional.attention import scaled_dot_product_attention
from tabgrad.nn.functional.dropout import dropout
from tabgrad.nn.functional.linear import linear
from tabgrad.nn.functional.padding import pad

Tensor = tg.Tensor


class Heads(NamedTuple):
    """What attention in `number` heads is made of: projections, extra keys, dropout probability.

    `joined` is the weight of all three inputs, None if they have `separate` ones.
    """

    number: int
    joined: Tensor | None
    separate: tuple[Tensor | None, Tensor | None, Tensor | None]
    bias: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None
    add_zero: bool
    dropout: float
    out_weight: Tensor
    out_bias: Tensor | None

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, padding: Tensor | None = None,
        mask: Tensor | None = None, weights: bool = True, average: bool = True,
        static_k: Tensor | None = None, static_v: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Return the output (N, T, E), and the weights (N, [heads,] T, S) or None, for inputs (N, T, E)."""
        q, k, v = self._projected(query, key, value)
        total = self._mask(mask, padding, q)
        k, v, total = self._extended(k, v, total)
        q, k, v = (self._split(x) for x in (q, k, v))
        if static_k is not None:
            k = static_k.reshape(*k.shape[:2], *static_k.shape[1:])
        if static_v is not None:
            v = static_v.reshape(*v.shape[:2], *static_v.shape[1:])
        if self.add_zero:
            k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
            total = None if total is None else pad(total, (0, 1))
        y, found = self._weighted(q, k, v, total, weights)
        y = y.transpose(1, 2).reshape(*query.shape[:2], -1)
        y = linear(y, self.out_weight, self.out_bias)
        return y, found.mean(1) if average and found is not None else found

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        bias = (None,) * 3 if self.bias is None else self.bias.chunk(3)
        if self.joined is None:
            weights: tuple[Tensor | None, ...] = self.separate
        elif query is key and key is value:
            return list(linear(query, self.joined, self.bias).chunk(3, -1))
        else:
            weights = self.joined.chunk(3)
        return [
            linear(x, w, b)  # type: ignore[arg-type]
            for x, w, b in zip((query, key, value), weights, bias, strict=True)
        ]

    def _split(self, x: Tensor) -> Tensor:
        """Split (N, T, E) into heads: (N, heads, T, E / heads)."""
        return x.reshape(*x.shape[:2], self.number, -1).transpose(1, 2)

    def _extended(
        self, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        if self.bias_k is None or self.bias_v is None:
            return k, v, mask
        n = k.shape[0]
        k = tg.cat([k, self.bias_k.expand(n, 1, -1)], 1)
        v = tg.cat([v, self.bias_v.expand(n, 1, -1)], 1)
        return k, v, None if mask is None else pad(mask, (0, 1))

    def _mask(self, mask: Tensor | None, padding: Tensor | None, q: Tensor) -> Tensor | None:
        """Combine both masks to one that is added to the scores (N, heads, T, S), or None."""
        total = None
        if mask is not None:
            total = _added(mask, q)
            if total.ndim == 3:
                total = total.reshape(-1, self.number, *total.shape[1:])
        if padding is not None:
            more = _added(padding, q)[:, None, None, :]
            total = more if total is None else total + more
        return total

    def _weighted(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, wanted: bool
    ) -> tuple[Tensor, Tensor | None]:
        if not wanted:
            y = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout)
            return y, None
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
        weights = tg.softmax(scores if mask is None else scores + mask, -1)
        weights = dropout(weights, self.dropout) if self.dropout else weights
        return weights @ v, weights


def _added(mask: Tensor, q: Tensor) -> Tensor:
    """Return a mask as what is added: a bool one is -inf where it is True."""
    if mask.dtype is tg.bool:
        zero = tg.zeros((), dtype=q.dtype, device=mask.device)
        return tg.where(mask, float("-inf"), zero)
    return mask.to(q.dtype)


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None,
    bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
    out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
    need_weights: bool = True, attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None, static_v: Tensor | None = None,
    average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attend in `num_heads` heads (Vaswani et al. 2017), as `nn.MultiheadAttention` does; see there.

    Inputs are (T, N, E), or (T, E); the result is the output of that shape, and the weights (N, T, S), with
    a dim of heads unless they are averaged, or None. `in_proj_weight` (3 E, E) projects all three inputs,
    with `use_separate_proj_weight` each has its own. `static_k` and `static_v` (N · heads, S, E / heads) take
    the place of the projected keys and values.

    >>> import tabgrad as tg
    >>> x, w = tg.ones(3, 1, 4, device="cpu"), tg.ones(12, 4, device="cpu")
    >>> y, weights = tg.nn.functional.multi_head_attention_forward(
    ...     x, x, x, 4, 2, w, None, None, None, False, 0.0, w[:4], None)
    >>> y.shape, weights.shape
    (tabgrad.Size([3, 1, 4]), tabgrad.Size([1, 3, 3]))
    """
    width = query.shape[-1]
    if width != embed_dim_to_check:
        raise ShapeError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}"
        )
    if num_heads <= 0 or width % num_heads:
        raise ArgumentError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    joined = None if use_separate_proj_weight else in_proj_weight
    heads = Heads(
        num_heads, joined, (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias, bias_k,
        bias_v, add_zero_attn, dropout_p if training else 0.0, out_proj_weight, out_proj_bias,
    )  # fmt: skip
    single = query.ndim == 2
    turned = {id(x): x.unsqueeze(0) if single else x.transpose(0, 1) for x in (query, key, value)}
    if single and key_padding_mask is not None:
        key_padding_mask = key_padding_mask.unsqueeze(0)
    y, weights = heads.attend(
        turned[id(query)], turned[id(key)], turned[id(value)], padding=key_padding_mask,
        mask=attn_mask, weights=need_weights, average=average_attn_weights, static_k=static_k,
        static_v=static_v,
    )  # fmt: skip
    if single:
        return y.squeeze(0), None if weights is None else weights.squeeze(0)
    return y.transpose(0, 1), weights


__all__ = ["multi_head_attention_forward"]
