"""Tables of vectors, looked up by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn import init
from tabgrad.nn.functional.embedding import padding_row
from tabgrad.nn.module import Layer, unusual
from tabgrad.nn.parameter import Parameter

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


class _Table(Layer):
    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None,
        max_norm: float | None, norm_type: float, scale_grad_by_freq: bool, sparse: bool,
        given: Tensor | None, device: DeviceLike | None, dtype: DType | None,
    ) -> None:  # fmt: skip
        super().__init__()
        if padding_idx is not None:
            padding_idx = padding_row("nn.Embedding", padding_idx, num_embeddings)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if given is None:
            shape = (num_embeddings, embedding_dim)
            self.weight = Parameter(tg.empty(shape, device=device, dtype=dtype))
            self.reset_parameters()
        else:
            if tuple(given.shape) != (num_embeddings, embedding_dim):
                raise ValueError(
                    f"_weight: expected shape {(num_embeddings, embedding_dim)}, "
                    f"got {tuple(given.shape)}"
                )
            self.weight = Parameter(given)

    def reset_parameters(self) -> None:
        """Draw normal numbers; the vector of the padding index is zero."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self) -> None:
        if self.padding_idx is not None:
            with tg.no_grad():
                self.weight[self.padding_idx].fill_(0)

    def extra_repr(self) -> str:
        """Describe the sizes, and options that differ from their defaults."""
        return f"{self.num_embeddings}, {self.embedding_dim}" + unusual(
            self,
            padding_idx=None,
            max_norm=None,
            norm_type=2,
            scale_grad_by_freq=False,
            sparse=False,
        )


class Embedding(_Table):
    """Row i of `weight` for each index i: (*) to (*, embedding_dim).

    The row `padding_idx` gets no gradient; rows longer than `max_norm` are shortened when looked up.
    `scale_grad_by_freq` divides the gradient of a row by how often it is read; with `sparse`
    the gradient is a sparse tensor, which SGD, Adagrad and SparseAdam take.

    >>> import tabgrad as tg
    >>> table = tg.nn.Embedding(10, 3, device="cpu")
    >>> table(tg.tensor([[1, 2], [4, 9]], device="cpu")).shape
    tabgrad.Size([2, 2, 3])
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        sparse: bool = False, _weight: Tensor | None = None, _freeze: bool = False,
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, _weight, device, dtype,
        )  # fmt: skip
        self.weight.requires_grad_(not _freeze)

    def forward(self, input: Tensor) -> Tensor:
        """Look up the rows."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None,
        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:  # fmt: skip
        """Make an Embedding with the rows of `embeddings`, which is trained only if `freeze` is off."""
        rows, columns = _rows_of(embeddings)
        return cls(
            rows, columns, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            _weight=embeddings, _freeze=freeze,
        )  # fmt: skip


def _rows_of(embeddings: Tensor) -> tuple[int, ...]:
    if embeddings.ndim != 2:
        raise AssertionError(
            f"Embeddings parameter is expected to be 2-dimensional, got {embeddings.ndim}"
        )
    return tuple(embeddings.shape)


class EmbeddingBag(_Table):
    """The sum, mean or maximum of the rows in each bag, without storing the rows.

    A 2-D input holds one bag in each row; a 1-D input needs `offsets`, the first index of each bag.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
        sparse: bool = False, _weight: Tensor | None = None, include_last_offset: bool = False,
        padding_idx: int | None = None, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, _weight, device, dtype,
        )  # fmt: skip
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(
        self, input: Tensor, offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Compute one vector for each bag."""
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.mode, self.sparse, per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
        sparse: bool = False, include_last_offset: bool = False, padding_idx: int | None = None,
    ) -> EmbeddingBag:  # fmt: skip
        """Make an EmbeddingBag with the rows of `embeddings`, which is trained only if `freeze` is off."""
        rows, columns = _rows_of(embeddings)
        made = cls(
            rows, columns, max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings,
            include_last_offset, padding_idx,
        )  # fmt: skip
        made.weight.requires_grad_(not freeze)
        return made

    def extra_repr(self) -> str:
        """Describe the sizes, options that differ from their defaults, and the mode."""
        return super().extra_repr() + f", mode={self.mode!r}"
