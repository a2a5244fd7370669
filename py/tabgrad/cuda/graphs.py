"""CUDA graphs by name: none is captured here, and `compile` does what they are for."""

from __future__ import annotations

from typing import Any, NoReturn

_NONE = "{}: no CUDA graphs are captured here; tabgrad.compile captures a function and replays it"


class CUDAGraph:
    """A class that a program may name; making an instance raises RuntimeError."""

    def __new__(cls, keep_graph: bool = False) -> NoReturn:
        """Raise RuntimeError."""
        raise RuntimeError(_NONE.format("CUDAGraph"))


class graph:
    """A context that a program may name; making one raises RuntimeError."""

    def __init__(self, cuda_graph: Any, pool: Any = None, stream: Any = None, **how: Any) -> None:
        raise RuntimeError(_NONE.format("graph"))


def graph_pool_handle() -> NoReturn:
    """Raise RuntimeError: there are no graphs."""
    raise RuntimeError(_NONE.format("graph_pool_handle"))


def make_graphed_callables(callables: Any, sample_args: Any, **how: Any) -> NoReturn:
    """Raise RuntimeError: there are no graphs."""
    raise RuntimeError(_NONE.format("make_graphed_callables"))


def is_current_stream_capturing() -> bool:
    """Whether a CUDA graph is captured: none is.

    >>> import tabgrad as tg
    >>> tg.cuda.is_current_stream_capturing()
    False
    """
    return False
