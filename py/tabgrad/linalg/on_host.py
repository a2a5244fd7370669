"""What runs on `cpu` for tensors of any device, because no kernel computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tabgrad.core.errors import warn
from tabgrad.tensor import Tensor

ON_HOST = {
    "linalg.eig": "a general matrix needs shifts that depend on values, step by step",
    "linalg.eigvals": "as linalg.eig",
    "linalg.ldl_factor": "the pivots of symmetric matrices depend on values, step by step",
    "linalg.ldl_solve": "as linalg.ldl_factor",
}
"""The functions, and why there is no kernel. Each warns once."""

_WARNED: set[str] = set()


def on_host(name: str, fun: Callable[..., Any], *given: Tensor, **params: Any) -> Any:
    """Apply `fun`, which uses `moved`, with one warning; only a function in the table may be applied so."""
    device = given[0].device
    reason = ON_HOST[name]
    if device.type != "cpu" and name not in _WARNED:
        _WARNED.add(name)
        warn(
            f"{name}: runs on cpu, with NumPy, for a tensor on {device}: {reason}. Move the tensor with "
            ".to('cpu') to choose this yourself",
            UserWarning,
        )
    return fun(*given, **params)


def moved(fun: Callable[..., Any], *given: Tensor, **params: Any) -> Any:
    """Apply `fun` on `cpu`, and move the results back.

    The values are read for that, which waits for them: it raises where a program can't wait. It is for the
    function of a formula, which runs below all transforms.
    """
    device = given[0].device
    if device.type == "cpu":
        return fun(*given, **params)
    found = fun(*(x.to("cpu") for x in given), **params)
    if isinstance(found, tuple):
        return tuple(y.to(device) for y in found)
    return found.to(device)


__all__ = ["ON_HOST", "moved", "on_host"]
