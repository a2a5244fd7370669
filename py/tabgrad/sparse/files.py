"""Sparse tensors in files: a description of each, whose dense parts the file holds as tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.core.errors import FileFormatError
from tabgrad.sparse.creation import sparse_compressed_tensor, sparse_coo_tensor
from tabgrad.tensor import layout

PARTS = {"sparse_coo": 1, "sparse_csr": 2, "sparse_csc": 2, "sparse_bsr": 2, "sparse_bsc": 2}
"""The number of index tensors of each layout."""


def described(x: Any, name: Callable[[Any, str], str]) -> dict[str, Any]:
    """Describe a sparse tensor; `name` stores one of its parts and returns its name."""
    p = x._parts
    indices = [name(t.detach(), f"indices{i}") for i, t in enumerate(p.tensors)]
    told = [p.layout.name, list(p.shape), bool(p.coalesced), bool(x.requires_grad)]
    return {"sparse": [*told, name(p.values.detach(), "values"), *indices]}


def restored(told: Any, tensor: Callable[[Any], Any], place: str) -> Any:
    """Return the sparse tensor of a description; raise FileFormatError for one that can't be."""
    if type(told) is not list or len(told) < 4 or PARTS.get(str(told[0])) != len(told) - 5:
        raise FileFormatError(f"{place}: expected the description of a sparse tensor")
    name, shape, tidy, tracked = told[:4]
    sizes = type(shape) is list and all(type(n) is int and n >= 0 for n in shape)
    if not sizes or type(tidy) is not bool or type(tracked) is not bool:
        raise FileFormatError(f"{place}: a sparse tensor has sizes and two flags")
    values, *indices = map(tensor, told[4:])
    try:
        if name == "sparse_coo":
            x = sparse_coo_tensor(indices[0], values, shape)
            # that its elements are in order is not taken from the file
            x = x.coalesce() if tidy else x
        else:
            kind = getattr(layout, name)
            x = sparse_compressed_tensor(indices[0], indices[1], values, shape, layout=kind)
        return x.requires_grad_() if tracked else x
    except (ValueError, TypeError, IndexError, RuntimeError) as fault:
        raise FileFormatError(f"{place}: {fault}") from None
