"""PyTorch's layouts and memory formats: taken where PyTorch takes one; dense elements are row-major."""

from __future__ import annotations

from typing import Any

from tabgrad.core.errors import ArgumentError, ShapeError
from tabgrad.core.naming import Package


class memory_format:
    """How PyTorch would lay out a tensor's elements.

    What asks for one by name, as `to` and `clone`, gives strides as in PyTorch; results of ops are row-major.

    >>> import tabgrad as tg
    >>> tg.channels_last
    tabgrad.channels_last
    """

    def __init__(self, name: str, rank: int | None = None) -> None:
        self.name = name
        self.rank = rank

    def __repr__(self) -> str:
        return f"{Package.name}.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last", 4)
channels_last_3d = memory_format("channels_last_3d", 5)


def check_format(name: str, given: Any, rank: int | None) -> None:
    """Raise unless `given` is None or a memory format that a tensor of this rank, if told, can have."""
    if given is None:
        return
    if not isinstance(given, memory_format):
        raise TypeError(
            f"{name}(): argument 'memory_format' must be tabgrad.memory_format, not {type(given).__name__}"
        )
    if rank is not None and given.rank not in (None, rank):
        raise ShapeError(f"required rank {given.rank} tensor to use {given.name} format")


class layout:
    """How elements are stored: all of them, `strided`, or only some, `sparse_coo` and its relatives."""

    name: str
    title: str

    def __repr__(self) -> str:
        return f"{Package.name}.{self.name}"

    def __reduce__(self) -> str:
        return self.name


def _layout(name: str, title: str) -> layout:
    made = layout()
    made.name, made.title = name, title
    return made


strided = _layout("strided", "Strided")
sparse_coo = _layout("sparse_coo", "Sparse")
sparse_csr, sparse_csc = _layout("sparse_csr", "SparseCsr"), _layout("sparse_csc", "SparseCsc")
sparse_bsr, sparse_bsc = _layout("sparse_bsr", "SparseBsr"), _layout("sparse_bsc", "SparseBsc")


def check_layout(given: layout | None) -> None:
    """Raise unless `given` is None or the layout of dense tensors."""
    if given is not None and given is not strided:
        raise ArgumentError(
            f"layout: expected tabgrad.strided, got {given!r}; make sparse tensors with sparse_coo_tensor, "
            "sparse_csr_tensor or to_sparse"
        )


__all__ = [
    "channels_last", "channels_last_3d", "contiguous_format", "layout", "memory_format",
    "preserve_format", "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc", "sparse_csr", "strided",
]  # fmt: skip
