"""Checks of the gradients and tangents that a user's rule returned: their number, shapes and dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import Spec
from tabgrad.core.trace import Box


def gradients(
    name: str, found: Any, specs: Sequence[Spec | None], needs: tuple[bool, ...]
) -> list[Any]:
    """Check the gradients that a Function's backward returned, one for each argument of forward."""
    grads = list(found) if isinstance(found, tuple | list) else [found]
    n = len(specs)
    if len(grads) < n or any(g is not None for g in grads[n:]):
        raise GradientError(
            f"{name}: backward must return a gradient or None for each of the {n} arguments of forward, "
            f"it returned {len(grads)}"
        )
    return [gradient(name, i, g, specs[i], needs[i]) for i, g in enumerate(grads[:n])]


def gradient(name: str, i: int, g: Any, spec: Spec | None, need: bool) -> Any:
    """Convert a gradient to the dtype of argument `i` and sum it to its shape, as PyTorch does."""
    if g is None:
        return None
    if spec is None:
        raise GradientError(
            f"{name}: backward must return None for argument {i}, which is no tensor"
        )
    if not need:
        return None
    if not isinstance(g, Box):
        raise TypeError(
            f"{name}: backward returned {type(g).__name__} for argument {i}; expected a tensor or None"
        )
    if g.spec.shape != spec.shape:
        g = _summed(name, i, g, spec)
    return _cast(g, spec)


def _cast(x: Box, spec: Spec) -> Any:
    return x if x.spec.dtype is spec.dtype else REGISTRY["cast"].bind(x, dtype=spec.dtype)


def _summed(name: str, i: int, g: Box, spec: Spec) -> Any:
    """Sum `g` to the shape of `spec`, which must broadcast to the shape of `g`."""
    shape, want = g.spec.shape, spec.shape
    lead = len(shape) - len(want)
    if lead < 0 or any(w not in (1, n) for w, n in zip(want, shape[max(lead, 0) :], strict=True)):
        raise GradientError(
            f"{name}: backward returned a gradient of shape {shape} for argument {i}; expected {want}"
        )
    axes = tuple(k for k, n in enumerate(shape) if k < lead or (want[k - lead] == 1 and n != 1))
    g = REGISTRY["reduce_sum"].bind(g, axes=axes) if axes else g
    return REGISTRY["reshape"].bind(g, shape=want)


def tangents(name: str, found: Any, outputs: Sequence[Any]) -> list[Any]:
    """Check the tangents that a Function's jvp returned, one for each of `outputs`."""
    ts = list(found) if isinstance(found, tuple) else [found]
    if len(ts) != len(outputs):
        raise GradientError(
            f"{name}: jvp must return a tangent for each of the {len(outputs)} outputs, got {len(ts)}"
        )
    checked: list[Any] = []
    for k, (t, y) in enumerate(zip(ts, outputs, strict=True)):
        if t is None or not isinstance(y, Box):
            checked.append(None)
            continue
        if not isinstance(t, Box):
            raise TypeError(
                f"{name}: jvp returned {type(t).__name__} for output {k}; expected a tensor or None"
            )
        if t.spec.shape != y.spec.shape:
            raise GradientError(
                f"{name}: jvp returned a tangent of shape {t.spec.shape} for output {k}; "
                f"expected {y.spec.shape}"
            )
        checked.append(_cast(t, y.spec))
    return checked


def like(name: str, what: str, found: Sequence[Any], of: str, specs: Sequence[Any]) -> list[Any]:
    """Check that each of `found` is None or a tensor of its spec's shape, and convert it to its spec's dtype.

    A leaf whose spec is None belongs to a value without a derivative, and is dropped.
    """
    checked: list[Any] = []
    for x, spec in zip(found, specs, strict=True):
        if x is None or spec is None:
            checked.append(None)
            continue
        if not isinstance(x, Box):
            raise TypeError(f"{name}: expected tensors or None as {what}s, got {type(x).__name__}")
        if x.spec.shape != spec.shape:
            raise GradientError(
                f"{name}: a {what} of shape {x.spec.shape} for an {of} of shape {spec.shape}"
            )
        checked.append(_cast(x, spec))
    return checked


def differentiable(leaves: Sequence[Any]) -> list[Any]:
    """Give the Specs of those of `leaves` that can have a derivative, None for the others."""
    return [
        x.spec if isinstance(x, Box) and x.spec.dtype.is_differentiable else None for x in leaves
    ]


__all__ = ["differentiable", "gradient", "gradients", "like", "tangents"]
