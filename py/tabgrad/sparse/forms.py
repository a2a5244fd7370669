"""Finds the form of a public function that was called with a sparse tensor."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.errors import SparseError
from tabgrad.sparse.methods import FUNCTIONS
from tabgrad.sparse.tensor import is_sparse, refused

_FORMS: dict[Any, Any] = {}


def plain(fn: Any) -> Any:
    """Return the function that a public form stands for."""
    while hasattr(fn, "__wrapped__"):
        fn = fn.__wrapped__
    return getattr(fn, "fn", fn)


def _forms() -> dict[Any, Any]:
    if not _FORMS:
        _FORMS.update(
            {
                plain(getattr(tg, name)): form
                for name, form in FUNCTIONS.items()
                if hasattr(tg, name)
            }
        )
    return _FORMS


def answer(fn: Any, error: SparseError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what the form of `fn` for sparse tensors gives; raise SparseError where there is none."""
    form = _forms().get(plain(fn))
    given = [x for x in tree.leaves((args, kwargs)) if is_sparse(x)]
    if not given:
        raise error
    if form is None:
        raise refused(given[0], f"{fn.__name__}()") from None
    return form(*args, **kwargs)
