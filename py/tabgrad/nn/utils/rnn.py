"""Sequences of different lengths: padded to one length, or packed without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tabgrad as tg

Tensor = tg.Tensor


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: list[int]
    sorted_indices: list[int] | None = None
    unsorted_indices: list[int] | None = None


class PackedSequence(_Packed):
    """Sequences side by side: all first elements, all second ones, and so on, longest sequence first.

    `batch_sizes[t]` says how many sequences have an element t; `sorted_indices` reordered the batch
    longest first, and `unsorted_indices` restores its order. They are plain lists: nothing is read from
    a device to find them. `data` may also be the pair of both, PyTorch's old form.
    """

    __slots__ = ()

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> PackedSequence:  # fmt: skip
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None and sorted_indices is not None:
            sorted_indices = _as_ints(sorted_indices)
            unsorted_indices = _inverse(sorted_indices)
        return super().__new__(cls, data, _as_ints(batch_sizes), sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move or cast the data."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def lengths(self) -> list[int]:
        """Compute the lengths, longest first."""
        n = self.batch_sizes[0] if self.batch_sizes else 0
        return [sum(size > i for size in self.batch_sizes) for i in range(n)]


def _as_ints(lengths: Tensor | Sequence[int]) -> list[int]:
    return [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:  # fmt: skip
    """Pack (T, N, ...), or (N, T, ...) with `batch_first`, whose sequences have these lengths.

    With `enforce_sorted` they must be in descending order. A list of lengths costs nothing; a Tensor of
    them is read.
    """
    sizes = _as_ints(lengths)
    if batch_first:
        input = input.transpose(0, 1)
    if len(sizes) != input.shape[1]:
        raise ValueError(
            f"expected {input.shape[1]} lengths, one for each sequence, got {len(sizes)}"
        )
    if min(sizes, default=1) <= 0:
        raise RuntimeError(f"every length has to be larger than zero, got {sizes}")
    order = None
    if enforce_sorted:
        if sizes != sorted(sizes, reverse=True):
            raise RuntimeError(
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True"
            )
    else:
        order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        sizes = [sizes[i] for i in order]
        input = input.index_select(1, _index(order, input))
    batch_sizes = [sum(size > t for size in sizes) for t in range(max(sizes, default=0))]
    rows = [input[t, :n] for t, n in enumerate(batch_sizes)]
    return PackedSequence(tg.cat(rows), batch_sizes, order, _inverse(order))


def _index(order: list[int], like: Tensor) -> Tensor:
    return tg.tensor(order, device=like.device)


def _inverse(order: list[int] | None) -> list[int] | None:
    return None if order is None else sorted(range(len(order)), key=order.__getitem__)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Undo `pack_padded_sequence`: return the padded batch and the lengths."""
    sizes = sequence.batch_sizes
    longest = len(sizes)
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                f"expected total_length to be at least {longest}, the longest sequence, "
                f"got {total_length}"
            )
        longest = total_length
    n = sizes[0]
    data = sequence.data
    rest = tuple(data.shape[1:])
    rows, at = [], 0
    for t in range(longest):
        here = sizes[t] if t < len(sizes) else 0
        part = data[at : at + here]
        if here < n:
            fill = tg.full((n - here, *rest), padding_value, dtype=data.dtype, device=data.device)
            part = tg.cat([part, fill])
        rows.append(part)
        at += here
    padded = tg.stack(rows)
    lengths = sequence.lengths()
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, _index(sequence.unsorted_indices, padded))
        lengths = [lengths[i] for i in sequence.unsorted_indices]
    where = tg.tensor(lengths, device=data.device)
    return (padded.transpose(0, 1) if batch_first else padded), where


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:  # fmt: skip
    """Stack tensors (L_i, *) of different lengths, padded to the longest: (T, N, *).

    >>> import tabgrad as tg
    >>> rows = [tg.ones(2, device="cpu"), tg.ones(3, device="cpu")]
    >>> tg.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    tensor([[1., 1., 0.],
            [1., 1., 1.]])
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', got {padding_side!r}")
    given = list(sequences)
    longest = max(s.shape[0] for s in given)
    padded = []
    for s in given:
        missing = longest - s.shape[0]
        if missing:
            shape = (missing, *s.shape[1:])
            fill = tg.full(shape, padding_value, dtype=s.dtype, device=s.device)
            s = tg.cat([s, fill] if padding_side == "right" else [fill, s])
        padded.append(s)
    return tg.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False
) -> list[Tensor]:
    """Undo `pad_sequence`: return the sequences with these lengths."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [padded_sequences[i, :n] for i, n in enumerate(_as_ints(lengths))]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack tensors (L_i, *) of different lengths."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo `pack_sequence`."""
    padded, _ = pad_packed_sequence(packed_sequences, batch_first=True)
    lengths = packed_sequences.lengths()
    if packed_sequences.unsorted_indices is not None:
        lengths = [lengths[i] for i in packed_sequences.unsorted_indices]
    return [padded[i, :n] for i, n in enumerate(lengths)]


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Return the permutation that undoes this one; None for None.

    >>> import tabgrad as tg
    >>> tg.nn.utils.rnn.invert_permutation(tg.tensor([2, 0, 1], device="cpu"))
    tensor([1, 2, 0])
    """
    return None if permutation is None else tg.argsort(permutation)
