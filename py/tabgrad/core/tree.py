"""Nested containers (pytrees): flatten to leaves and back.

Containers are dict, list, tuple and namedtuple, and what `register` adds; None is a leafless node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Tree = Any

_REGISTERED: dict[
    type, tuple[Callable[[Any], tuple[list[Any], Any]], Callable[[list[Any], Any], Any]]
] = {}


class Leaf:
    """The structure of a single leaf."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "*"

    def __reduce__(self) -> str:
        return "LEAF"


LEAF = Leaf()
Structure = Any
"""A hashable description of a tree: LEAF, None, or (kind, keys, child structures)."""


def register(
    kind: type,
    flatten_node: Callable[[Any], tuple[list[Any], Any]],
    unflatten_node: Callable[[list[Any], Any], Any],
) -> None:
    """Make instances of `kind` containers: `flatten_node` gives children and a hashable context."""
    _REGISTERED[kind] = (flatten_node, unflatten_node)


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """Split a tree into its leaves, from left to right, and its structure."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Tree, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if tree is None:
        return None
    if kind is tuple or kind is list:
        return (kind, None, tuple([_flatten(t, leaves) for t in tree]))
    found = _REGISTERED.get(kind)
    if found is not None:
        children, context = found[0](tree)
        return (kind, context, tuple([_flatten(t, leaves) for t in children]))
    if isinstance(tree, dict):
        return (kind, tuple(tree), tuple([_flatten(t, leaves) for t in tree.values()]))
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return (kind, "fields", tuple([_flatten(t, leaves) for t in tree]))
    leaves.append(tree)
    return LEAF


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Tree:
    """Rebuild the tree of this structure from its `leaves`: the inverse of `flatten`."""
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Iterator[Any]) -> Tree:
    if structure is LEAF:
        return next(leaves)
    if structure is None:
        return None
    kind, keys, children = structure
    values = [_unflatten(c, leaves) for c in children]
    if kind in _REGISTERED:
        return _REGISTERED[kind][1](values, keys)
    if kind is tuple or kind is list:
        return kind(values)
    if keys == "fields":
        return kind(*values)
    items = dict(zip(keys, values, strict=True))
    if kind is dict:
        return items
    try:
        return kind(items)
    except TypeError:
        return items


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves from left to right."""
    return flatten(tree)[0]


def map(fn: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Apply `fn` to the matching leaves of trees of one structure, and return the tree of the results."""
    first, structure = flatten(tree)
    others = []
    for other in rest:
        found, its = flatten(other)
        if its != structure:
            raise ValueError(f"tree.map: structures differ: {structure} and {its}")
        others.append(found)
    return unflatten(structure, [fn(*each) for each in zip(first, *others, strict=True)])


def count(structure: Structure) -> int:
    """Count the leaves of a tree of this structure."""
    if structure is LEAF:
        return 1
    return 0 if structure is None else sum(count(child) for child in structure[2])
