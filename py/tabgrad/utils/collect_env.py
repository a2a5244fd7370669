"""What a report of a fault needs: versions and devices; PyTorch's `utils.collect_env`."""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from tabgrad.version import __version__

PACKAGES = ("tabgrad", "numpy", "scipy", "wgpu", "cupy-cuda12x", "mpi4py")
"""Packages whose versions matter."""


def get_pretty_env_info() -> str:
    """Return versions of Python, of the system and of packages, and the accelerator, a line for each.

    >>> get_pretty_env_info().splitlines()[0].startswith("PyTorch's names of version: ")
    True
    """
    lines = [f"PyTorch's names of version: {__version__}"]
    lines += [f"Python version: {sys.version}", f"Python platform: {platform.platform()}"]
    accelerator = import_module("tabgrad.accelerator").current_accelerator()
    lines.append(f"Accelerator: {'none' if accelerator is None else accelerator}")
    for name in PACKAGES:
        try:
            lines.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines)


def main() -> None:
    """Print the report."""
    print(get_pretty_env_info())


__all__ = ["get_pretty_env_info", "main"]

if __name__ == "__main__":
    main()
