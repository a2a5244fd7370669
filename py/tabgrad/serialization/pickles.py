"""Reads pickles: safely, or those of people who are trusted, which can run any code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from tabgrad.core.errors import FileFormatError
from tabgrad.serialization.names import in_tabgrad
from tabgrad.serialization.safe import BUILDERS, find, table
from tabgrad.serialization.unpickling import Allowed, Unpickler


class _Unpickler(pickle.Unpickler):
    """Builds what a pickle says, with our names for PyTorch's."""

    def __init__(self, file: io.BytesIO, persistent: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self.persistent = persistent

    def find_class(self, module: str, name: str) -> Any:
        """Return the object of a name, ours for PyTorch's."""
        found = table().get(f"{module}.{name}") if module.partition(".")[0] == "torch" else None
        if found is not None:
            return found if type(found) is not Allowed else found.value or found.call
        ours = in_tabgrad(module, name)
        return super().find_class(module, name) if ours is None else ours

    def persistent_load(self, pid: Any) -> Any:
        """Return a storage."""
        return self.persistent(pid)


def unpickled(data: memoryview, persistent: Callable[[Any], Any], safe: bool) -> tuple[Any, int]:
    """Read one pickle; return the object and how many bytes it takes."""
    if safe:
        reader = Unpickler(data, find, persistent, BUILDERS)
        return reader.load(), reader.at
    file = io.BytesIO(data)
    try:
        return _Unpickler(file, persistent).load(), file.tell()
    except (pickle.UnpicklingError, EOFError) as fault:
        raise FileFormatError(f"the pickle is broken: {fault}") from None
