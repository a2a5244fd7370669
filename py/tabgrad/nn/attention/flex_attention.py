"""Attention whose scores and mask are functions of the places: `flex_attention` and its masks.

The matrix of scores is computed whole. Functions of places are called once, with `vmap` over batches, heads,
queries and keys, so they take scalar tensors, which may index other tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import tabgrad as tg
from tabgrad.core.errors import ShapeError

if TYPE_CHECKING:
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor
MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
_DEFAULT_SPARSE_BLOCK_SIZE = 128


class AuxRequest(NamedTuple):
    """What `flex_attention` is to return beside its output."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for by AuxRequest, of shape (B, H, L); None for the rest."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """Let every query see every key."""
    return (batch * 0).to(tg.bool).logical_not()


def _joined(join: Callable[[Tensor, Tensor], Tensor], masks: tuple[MaskMod, ...]) -> MaskMod:
    if not all(callable(m) for m in masks):
        raise RuntimeError(f"All inputs should be callable mask_mods: {masks}")

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        found = masks[0](b, h, q_idx, kv_idx)
        for mask in masks[1:]:
            found = join(found, mask(b, h, q_idx, kv_idx))
        return found

    return mask_mod


def and_masks(*mask_mods: MaskMod) -> MaskMod:
    """Return the mask that is true where all are true."""
    return _joined(lambda a, b: a & b, mask_mods or (noop_mask,))


def or_masks(*mask_mods: MaskMod) -> MaskMod:
    """Return the mask that is true where some mask is true."""
    return _joined(lambda a, b: a | b, mask_mods)


def _over_places(fn: Callable[..., Tensor], scores: int, sizes: tuple[int, ...], where: Any) -> Any:
    """Return `fn` of each place; its first `scores` arguments have a value for each place."""
    for axis in reversed(range(4)):
        places = [0 if k == axis else None for k in range(4)]
        fn = tg.vmap(fn, in_dims=(*[0] * scores, *places))
    rows = [tg.arange(n, device=where) for n in sizes]
    return lambda *given: fn(*given, *rows)


def create_mask(
    mod_fn: Callable[..., Tensor], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int,
    device: DeviceLike | None = None,
) -> Tensor:  # fmt: skip
    """Return the mask of a function of places, of bools and of shape (B, H, Q_LEN, KV_LEN); None is one.

    >>> import tabgrad as tg
    >>> create_mask(lambda b, h, q, k: q >= k, None, None, 2, 2, "cpu").long().tolist()
    [[[[1, 0], [1, 1]]]]
    """
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    found: Tensor = _over_places(mod_fn, 0, sizes, device)()
    return found if found.dtype is tg.bool else found != 0


class BlockMask:
    """A mask of attention, made by `create_block_mask`. The whole mask is kept, not only its blocks."""

    def __init__(self, mask: Tensor, mask_mod: MaskMod, block: tuple[int, int]) -> None:
        self._mask, self.mask_mod, self.BLOCK_SIZE = mask, mask_mod, block

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes (B, H, Q_LEN, KV_LEN)."""
        return tuple(self._mask.shape)

    @property
    def seq_lengths(self) -> tuple[int, int]:
        """The numbers of queries and keys."""
        return self.shape[-2], self.shape[-1]

    def numel(self) -> int:
        """Return the number of pairs of a query and a key."""
        return self._mask.numel()

    def to_dense(self) -> Tensor:
        """Return 1 for each block in which some query sees some key, else 0, of shape (B, H, rows, columns)."""
        high, wide = self.BLOCK_SIZE
        below, right = (-n % block for n, block in zip(self.seq_lengths, (high, wide), strict=True))
        whole = tg.nn.functional.pad(self._mask.int(), (0, right, 0, below))
        blocks = whole.unflatten(-1, (-1, wide)).unflatten(-3, (-1, high))
        return blocks.amax((-3, -1))

    def sparsity(self) -> float:
        """Return how many of a hundred blocks hold nothing."""
        blocks = self.to_dense()
        return 100.0 * (1 - float(blocks.sum().item()) / blocks.numel())

    def to(self, device: DeviceLike) -> BlockMask:
        """Return the mask on a device."""
        return BlockMask(self._mask.to(device), self.mask_mod, self.BLOCK_SIZE)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: MaskMod, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int,
    device: DeviceLike | None = None, BLOCK_SIZE: int | tuple[int, int] = 128,
    _compile: bool = False, separate_full_blocks: bool = True,
    compute_dq_write_order: bool = False, dq_kv_order: bool = True,
) -> BlockMask:  # fmt: skip
    """Return the mask of `mask_mod(b, h, q_idx, kv_idx)`, a function of places that gives True where seen.

    >>> import tabgrad as tg
    >>> create_block_mask(lambda b, h, q, k: q >= k, None, None, 4, 4, "cpu", BLOCK_SIZE=2).to_dense().tolist()
    [[[[1, 0], [1, 1]]]]
    """
    block = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    return BlockMask(create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device), mask_mod, block)


def _part_of(mask: BlockMask, queries: int, keys: int) -> Tensor:
    high, wide = mask.seq_lengths
    if queries > high or keys > wide:
        raise ValueError(
            f"flex_attention: block_mask is for {high} queries and {wide} keys, got {queries} and {keys}"
        )
    return mask._mask[..., :queries, :keys]


def _checked(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ShapeError(
            f"flex_attention: query, key and value have 4 dims, got {tuple(query.shape)}, "
            f"{tuple(key.shape)} and {tuple(value.shape)}"
        )
    if not query.dtype is key.dtype is value.dtype:
        raise ValueError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype}, key.dtype: {key.dtype}, and value.dtype: {value.dtype} instead."
        )
    heads, theirs = query.shape[1], key.shape[1]
    if heads != theirs and not enable_gqa:
        raise ValueError(
            "Expect query and key/value to have the same number of heads "
            f"but got Hq={heads} and Hkv={theirs}. Try setting enable_gqa=True for GQA."
        )
    if heads % theirs:
        raise ValueError(
            "Expect number of query heads to be a multiple of kv heads for GQA but got "
            f"Hq={heads} and Hkv={theirs}."
        )


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, score_mod: Callable[..., Tensor] | None = None,
    block_mask: BlockMask | None = None, scale: float | None = None, enable_gqa: bool = False,
    return_lse: bool = False, kernel_options: Any = None, *, return_aux: AuxRequest | None = None,
) -> Any:  # fmt: skip
    """Return softmax(mod(q kᵀ · scale)) v for queries (B, Hq, L, E), keys (B, H, S, E), values (B, H, S, Ev).

    `score_mod(score, b, h, q_idx, kv_idx)` changes a score; `block_mask` says which keys a query sees, and one
    that sees none gives zeros. `scale` is 1/√E by default. With `return_lse` the logarithms of the sums of
    exponentials come second, of shape (B, Hq, L); `return_aux` asks for them or for the largest scores.
    `kernel_options` are PyTorch's, and have no effect.

    >>> import tabgrad as tg
    >>> x = tg.eye(2, device="cpu").reshape(1, 1, 2, 2)
    >>> causal = create_block_mask(lambda b, h, q, k: q >= k, None, None, 2, 2, "cpu")
    >>> flex_attention(x, x, x, block_mask=causal)[0, 0, 0]
    tensor([1., 0.])
    """
    _checked(query, key, value, enable_gqa)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    # half floats have too few bits for the scores
    small = query.dtype in (tg.float16, tg.bfloat16)
    scores = (query.float() if small else query) @ (key.float() if small else key).mT * factor
    if score_mod is not None:
        sizes = tuple(scores.shape)
        scores = _over_places(score_mod, 1, sizes, query.device)(scores)
    if block_mask is not None:
        seen = _part_of(block_mask, scores.shape[-2], scores.shape[-1])
        scores = scores.masked_fill(~seen, float("-inf"))
    top = scores.detach().amax(-1, keepdim=True)
    top = tg.where(top == float("-inf"), 0.0, top)
    weights = (scores - top).exp()
    total = weights.sum(-1, keepdim=True)
    out = (weights / tg.where(total == 0, 1.0, total)).to(value.dtype) @ value
    if not return_lse and return_aux is None:
        return out
    lse = (total.log() + top).squeeze(-1)
    if return_aux is None:
        return out, lse
    most = scores.amax(-1)
    return out, AuxOutput(lse if return_aux.lse else None, most if return_aux.max_scores else None)


__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask",
    "flex_attention", "noop_mask", "or_masks",
]  # fmt: skip
