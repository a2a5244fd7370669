"""Saves and loads objects: PyTorch's files both ways, safetensors both ways, GGUF, NPZ and NPY to read."""

from tabgrad.serialization.files import load as load, save as save, save_async as save_async
from tabgrad.serialization.safe import (
    add_safe_globals as add_safe_globals,
    clear_safe_globals as clear_safe_globals,
    get_safe_globals as get_safe_globals,
    safe_globals as safe_globals,
)

__all__ = [
    "add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save", "save_async",
]  # fmt: skip
