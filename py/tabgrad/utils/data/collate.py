"""Batches of examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tabgrad as tg


def default_collate(batch: list[Any]) -> Any:
    """Return one batch of a list of examples.

    Tensors are stacked, numbers become a tensor, strings a list; arrays become tensors; containers keep
    their structure, with a batch in each place.

    >>> import tabgrad as tg
    >>> tg.utils.data.default_collate([("a", 1), ("b", 2)])[0]
    ['a', 'b']
    """
    first = batch[0]
    if isinstance(first, tg.Tensor):
        return tg.stack(batch)
    if hasattr(first, "__array_interface__"):
        return tg.stack([tg.tensor(a) for a in batch])
    if isinstance(first, (bool, int, float)):
        return tg.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([one[key] for one in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        for one in batch:
            if len(one) != len(first):
                raise RuntimeError(
                    "each element in list of batch should be of equal size, got "
                    f"{sorted({len(other) for other in batch})}"
                )
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        if isinstance(first, tuple) and hasattr(first, "_fields"):
            return type(first)(*columns)
        return columns
    raise TypeError(
        "default_collate: batch must contain tensors, arrays, numbers, dicts or lists; "
        f"found {type(first).__name__}; give the loader a collate_fn of your own"
    )
