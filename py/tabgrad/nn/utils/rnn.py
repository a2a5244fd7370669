"""Sequences of different lengths: padded to one length, or packed without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tabgrad as tg
from tabgrad.utils._pytree import register_pytree_node

Tensor = tg.Tensor


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


class PackedSequence(_Packed):
    """Sequences side by side: all first elements, all second ones, and so on, longest sequence first.

    `batch_sizes[t]` says how many sequences have an element t; it is int64 on the CPU, or beside `data` where
    there is no NumPy. `sorted_indices` reordered the batch longest first, and `unsorted_indices` restores its
    order; they are beside `data`, or None. Sizes given as a list are not read from a device. `data` may also
    be the pair of both, PyTorch's old form.
    """

    sizes: list[int]
    """The batch sizes as numbers."""

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> PackedSequence:  # fmt: skip
        if batch_sizes is None:
            data, batch_sizes = data
        sizes = _as_ints(batch_sizes)
        if not isinstance(batch_sizes, Tensor):
            batch_sizes = host_ints(sizes, data)
        order = _as_index(sorted_indices, data)
        back = _as_index(unsorted_indices, data)
        if back is None and order is not None:
            back = invert_permutation(order)
        self = super().__new__(cls, data, batch_sizes, order, back)
        self.sizes = sizes
        return self

    def _replace(self, **changed: Any) -> PackedSequence:
        made = PackedSequence(**{**self._asdict(), "batch_sizes": self.sizes, **changed})
        return made if "batch_sizes" in changed else made._with_sizes(self.batch_sizes)

    def _with_sizes(self, batch_sizes: Tensor) -> PackedSequence:
        made = _Packed.__new__(
            PackedSequence, self.data, batch_sizes, self.sorted_indices, self.unsorted_indices
        )
        made.sizes = self.sizes
        return made

    def __reduce__(self) -> Any:
        return PackedSequence, tuple(self)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move or cast the data; the indices of the order stay beside it."""
        data = self.data.to(*args, **kwargs)
        order, back = (x if x is None else x.to(data.device) for x in self[2:])
        return self._replace(data=data, sorted_indices=order, unsorted_indices=back)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move to the accelerator."""
        return self.to(self.data.cuda(*args, **kwargs).device)

    def cpu(self) -> PackedSequence:
        """Move to the CPU."""
        return self.to("cpu")

    def double(self) -> PackedSequence:
        """Cast the data to float64."""
        return self.to(tg.float64)

    def float(self) -> PackedSequence:
        """Cast the data to float32."""
        return self.to(tg.float32)

    def half(self) -> PackedSequence:
        """Cast the data to float16."""
        return self.to(tg.float16)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on the accelerator that programs call cuda."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in pinned memory."""
        return self.data.is_pinned()

    def lengths(self) -> list[int]:
        """Compute the lengths, longest first."""
        n = self.sizes[0] if self.sizes else 0
        return [sum(size > i for size in self.sizes) for i in range(n)]


def _children(packed: PackedSequence) -> tuple[list[Any], Any]:
    return [packed.data, *packed[2:]], tuple(packed.sizes)


def _repacked(children: Any, sizes: Any) -> PackedSequence:
    return PackedSequence(children[0], list(sizes), *children[1:])


# the sizes are no leaf: a program that is compiled for them knows them
register_pytree_node(PackedSequence, _children, _repacked)


def host_ints(numbers: Sequence[int], like: Tensor) -> Tensor:
    """Return int64 numbers on the CPU, or beside `like` where there is no NumPy for it."""
    try:
        return tg.tensor(numbers, dtype=tg.int64, device="cpu")
    except ModuleNotFoundError:
        return tg.tensor(numbers, device=like.device)


def _as_index(order: Any, like: Tensor) -> Tensor | None:
    if order is None or isinstance(order, Tensor):
        return order
    return tg.tensor(order, device=like.device)


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
        input = input.index_select(1, tg.tensor(order, device=input.device))
    batch_sizes = [sum(size > t for size in sizes) for t in range(max(sizes, default=0))]
    rows = [input[t, :n] for t, n in enumerate(batch_sizes)]
    return PackedSequence(tg.cat(rows), batch_sizes, order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Undo `pack_padded_sequence`: return the padded batch and the lengths, int64 as `batch_sizes` is."""
    sizes = sequence.sizes
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
    lengths = host_ints(sequence.lengths(), data)
    back = sequence.unsorted_indices
    if back is not None:
        padded = padded.index_select(1, back)
        lengths = lengths[back.to(lengths.device)]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


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
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return [padded[i, :n] for i, n in enumerate(_as_ints(lengths))]


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Return the permutation that undoes this one; None for None.

    >>> import tabgrad as tg
    >>> tg.nn.utils.rnn.invert_permutation(tg.tensor([2, 0, 1], device="cpu"))
    tensor([1, 2, 0])
    """
    return None if permutation is None else tg.argsort(permutation)
