"""Nested containers by PyTorch's names: flatten to leaves and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tabgrad.core import tree as _tree

PyTree = Any
Context = Any


class TreeSpec:
    """The structure of a tree."""

    def __init__(self, structure: Any) -> None:
        self._structure = structure

    @property
    def num_leaves(self) -> int:
        """The number of leaves."""
        return _tree.count(self._structure)

    def is_leaf(self) -> bool:
        """Whether the tree is one leaf."""
        return self._structure is _tree.LEAF

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """Return the tree with these leaves."""
        return tree_unflatten(leaves, self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and self._structure == other._structure

    def __hash__(self) -> int:
        return hash(self._structure)

    def __repr__(self) -> str:
        return f"TreeSpec({self._structure})"


def tree_flatten(
    tree: PyTree, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], TreeSpec]:
    """Split a tree into its leaves, from left to right, and its structure; None is a leaf.

    >>> leaves, spec = tree_flatten({"a": 1, "b": (2, 3)})
    >>> leaves
    [1, 2, 3]
    >>> tree_unflatten([4, 5, 6], spec)
    {'a': 4, 'b': (5, 6)}
    """
    leaves, structure = _tree.flatten(_guarded(tree, is_leaf))
    return [leaf.it if isinstance(leaf, _Whole) else leaf for leaf in leaves], TreeSpec(structure)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """Return the tree of a structure with these leaves."""
    given = list(leaves)
    if len(given) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten: the structure has {treespec.num_leaves} leaves, got {len(given)}"
        )
    return _tree.unflatten(treespec._structure, given)


def tree_leaves(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """Return the leaves of a tree."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """Return the structure of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(
    func: Callable[..., Any], tree: PyTree, *rests: PyTree,
    is_leaf: Callable[[Any], bool] | None = None,
) -> PyTree:  # fmt: skip
    """Return the tree of what `func` makes of each leaf, and of the leaves of the other trees beside it.

    >>> tree_map(lambda x: 2 * x, [1, {"a": 2}])
    [2, {'a': 4}]
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_leaves(rest, is_leaf) for rest in rests]
    return tree_unflatten([func(*row) for row in zip(leaves, *others, strict=True)], spec)


def tree_map_only(kind: Any, func: Callable[[Any], Any], tree: PyTree) -> PyTree:
    """Return the tree with `func` of the leaves that are of a type, or of one of several."""
    return tree_map(lambda x: func(x) if isinstance(x, kind) else x, tree)


def tree_all(pred: Callable[[Any], bool], tree: PyTree) -> bool:
    """Whether `pred` is true of all leaves."""
    return all(map(pred, tree_leaves(tree)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree) -> bool:
    """Whether `pred` is true of some leaf."""
    return any(map(pred, tree_leaves(tree)))


def register_pytree_node(
    cls: type, flatten_fn: Callable[[Any], tuple[list[Any], Any]],
    unflatten_fn: Callable[[Iterable[Any], Any], Any], **kwargs: Any,
) -> None:  # fmt: skip
    """Make instances of a class containers: `flatten_fn` gives children and a hashable context."""
    _tree.register(cls, flatten_fn, unflatten_fn)


class MappingKey(NamedTuple):
    """The place of a value in a dict."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: dict[Any, Any]) -> Any:
        """Return the value that is there."""
        return mapping[self.key]


def _dict_flatten(d: dict[Any, Any]) -> tuple[list[Any], Context]:
    return list(d.values()), list(d)


def _dict_flatten_with_keys(d: dict[Any, Any]) -> tuple[list[tuple[MappingKey, Any]], Context]:
    return [(MappingKey(key), value) for key, value in d.items()], list(d)


def _dict_unflatten(values: Iterable[Any], context: Context) -> dict[Any, Any]:
    return dict(zip(context, values, strict=True))


class _Whole:
    """A part of a tree that is to be a leaf."""

    def __init__(self, it: Any) -> None:
        self.it = it


def _guarded(tree: Any, is_leaf: Callable[[Any], bool] | None) -> Any:
    if tree is None or (is_leaf is not None and is_leaf(tree)):
        return _Whole(tree)
    if type(tree) in (list, tuple):
        return type(tree)([_guarded(t, is_leaf) for t in tree])
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[_guarded(t, is_leaf) for t in tree])
    if type(tree) is dict:
        return {k: _guarded(t, is_leaf) for k, t in tree.items()}
    return tree
