"""How notebooks show objects of the library: by a function that is imported when one asks."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def shown_by(name: str) -> Callable[[Any], str | None]:
    """Return a method `_repr_html_` that calls the function of this name in `viz.showing`."""

    def _repr_html_(self: Any) -> str | None:
        """Return what notebooks show; None for the plain text."""
        found: str | None = getattr(import_module("tabgrad.viz.showing"), name)(self)
        return found

    return _repr_html_
