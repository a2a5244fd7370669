"""Small functions that layers of PyTorch, and of programs, are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that makes a tuple of n: a single value is repeated."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else tuple(repeat(x, n))

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(t: Iterable[Any], n: int) -> tuple[Any, ...]:
    """Return the elements from the last to the first, each n times: padding as `F.pad` takes it."""
    return tuple(x for x in reversed(tuple(t)) for _ in range(n))


def _list_with_default(out_size: Iterable[int | None] | int, defaults: list[int]) -> Any:
    """Return sizes with those that are None taken from the end of `defaults`."""
    if isinstance(out_size, int):
        return out_size
    sizes = list(out_size)
    if len(defaults) <= len(sizes):
        raise ValueError(f"Input dimension should be at least {len(sizes) + 1}")
    ends = defaults[-len(sizes) :]
    return [d if v is None else v for v, d in zip(sizes, ends, strict=True)]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take a prefix, such as "module.", from the keys of a state dict, in place.

    >>> state = {"module.weight": 1, "bias": 2}
    >>> consume_prefix_in_state_dict_if_present(state, "module.")
    >>> sorted(state)
    ['bias', 'weight']
    """
    _shorten(state_dict, prefix)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        _shorten(metadata, prefix)
        metadata[""] = metadata.pop(prefix.rstrip("."), metadata.get("", {}))


def _shorten(table: dict[str, Any], prefix: str) -> None:
    for key in [k for k in table if k.startswith(prefix)]:
        table[key[len(prefix) :]] = table.pop(key)
