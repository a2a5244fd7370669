"""How the library was built; PyTorch's `__config__`."""

from __future__ import annotations

import os
import platform

from tabgrad.version import __version__


def show() -> str:
    """Return a description of what computes: Python, and the release of PyTorch that is followed.

    >>> import tabgrad as tg
    >>> tg.__config__.show().splitlines()[0]
    'tabgrad built with:'
    """
    return (
        f"tabgrad built with:\n  - Python {platform.python_version()}, {platform.platform()}\n"
        f"  - names and answers of PyTorch {__version__}\n"
    )


def parallel_info() -> str:
    """Return the number of processors; NumPy decides by itself how many its products take."""
    return f"processors : {os.cpu_count() or 1}\n"
