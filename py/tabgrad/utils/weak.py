"""Dicts whose keys are held weakly and compared by identity, as tensors must be; PyTorch's `utils.weak`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any


class WeakIdRef(weakref.ref[Any]):
    """A weak reference that is equal to another one of the same object."""

    __slots__ = ("_id",)
    _id: int

    def __init__(self, key: Any, callback: Callable[[Any], object] | None = None) -> None:
        super().__init__(key, callback)  # type: ignore[call-arg]
        self._id = id(key)

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeakIdRef):
            return False
        mine, theirs = self(), other()
        return self is other if mine is None or theirs is None else mine is theirs


class WeakIdKeyDictionary(MutableMapping[Any, Any]):
    """A dict that forgets a key when nobody else holds it; keys are the same if they are one object.

    >>> import tabgrad as tg
    >>> known, x = WeakIdKeyDictionary(), tg.ones(1)
    >>> known[x] = "seen"
    >>> known[x], tg.ones(1) in known
    ('seen', False)
    >>> del x
    >>> len(known)
    0
    """

    def __init__(self, dict: Mapping[Any, Any] | None = None, ref_type: Any = WeakIdRef) -> None:
        self.data: Any = {}
        self.ref_type = ref_type
        forget = weakref.WeakMethod(self._forget)
        self._callback = lambda ref: (call := forget()) is not None and call(ref)
        self.update(dict or {})

    def _forget(self, ref: Any) -> None:
        self.data.pop(ref, None)

    def __getitem__(self, key: Any) -> Any:
        return self.data[self.ref_type(key)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[self.ref_type(key, self._callback)] = value

    def __delitem__(self, key: Any) -> None:
        del self.data[self.ref_type(key)]

    def __contains__(self, key: object) -> bool:
        return self.ref_type(key) in self.data

    def __iter__(self) -> Iterator[Any]:
        return iter([key for ref in list(self.data) if (key := ref()) is not None])

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}>"


WeakTensorKeyDictionary = WeakIdKeyDictionary

__all__ = ["WeakIdKeyDictionary", "WeakIdRef", "WeakTensorKeyDictionary"]
