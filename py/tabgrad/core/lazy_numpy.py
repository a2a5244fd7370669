"""NumPy, imported at first use: in a browser the core runs without it."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _NumPy:
    """Stands for the numpy module until the first attribute is read."""

    def __getattr__(self, name: str) -> Any:
        try:
            import numpy
        except ModuleNotFoundError as e:
            raise ModuleNotFoundError(
                'NumPy is needed for device="cpu", for .numpy() and for NumPy inputs. In Pyodide: '
                '`import micropip; await micropip.install("numpy")` or pyodide.loadPackage("numpy"); '
                "elsewhere: pip install numpy"
            ) from e
        value = getattr(numpy, name)
        setattr(self, name, value)
        return value


class Late:
    """Stands for a module, here one of bodies in NumPy, until the first attribute is read."""

    def __init__(self, name: str) -> None:
        self.__name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name), name)
        setattr(self, name, value)
        return value


np: Any = _NumPy()
