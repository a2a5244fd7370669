"""The context in which PyTorch lets a scalar tensor index a tensor under vmap."""

from __future__ import annotations


class TransformGetItemToIndex:
    """A context that changes nothing: vmap here always takes scalar tensors as indices.

    >>> import tabgrad as tg
    >>> row = tg.tensor([5.0, 7.0, 9.0])
    >>> with TransformGetItemToIndex():
    ...     tg.vmap(lambda i: row[i])(tg.tensor([2, 0]))
    tensor([9., 5.])
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None
