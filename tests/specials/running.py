"""Making a call with either library, and its results as bits."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tests.specials.points import environment

GRADIENTS = ("float32", "float64")
"""The dtypes whose derivatives are compared."""


def tensors(t: Any, result: Any) -> list[Any]:
    """Return the tensors in a result."""
    if isinstance(result, t.Tensor):
        return [result]
    return (
        [y for part in result for y in tensors(t, part)] if isinstance(result, tuple | list) else []
    )


def bits(t: Any, y: Any) -> dict[str, Any]:
    """Return dtype, shape and the bytes of a tensor; bfloat16 as the upper half of float32."""
    y = y.detach()
    dtype = str(y.dtype).rpartition(".")[2]
    if dtype == "bfloat16":
        raw = np.ascontiguousarray(y.float().numpy(force=True)).view(np.uint32) >> 16
        data = raw.astype(np.uint16).tobytes()
    else:
        data = np.ascontiguousarray(y.numpy(force=True)).tobytes()
    return {"dtype": dtype, "shape": list(y.shape), "data": data.hex()}


def outcome(t: Any, call: str, dtype: str, device: str) -> dict[str, Any] | None:
    """Return results and gradients of a call; None where the library refuses it.

    Nothing is read before all is recorded: a device computes a call with its gradients at once.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = environment(t, dtype, device, dtype in GRADIENTS)
        inputs = {name: x for name, x in env.items() if name != "t"}
        try:
            results = tensors(t, eval(call, env))
        except Exception:
            return None
        grads = gradients(t, call, inputs, results) if dtype in GRADIENTS else None
        try:
            found: dict[str, Any] = {"results": [bits(t, y) for y in results]}
        except Exception:
            return None
        if dtype in GRADIENTS:
            found["requires_grad"] = [bool(y.requires_grad) for y in results]
            found["gradients"] = grads and {name: bits(t, g) for name, g in grads.items()}
    return found


def gradients(
    t: Any, call: str, inputs: dict[str, Any], results: list[Any]
) -> dict[str, Any] | None:
    """Return the gradient of each input that has one; None where the library refuses them."""
    # the leaves themselves, before the call put anything else in their place
    wanting = [y for y in results if y.requires_grad and y.grad_fn is not None]
    used = [(name, x) for name, x in inputs.items() if name in call_names(call)]
    if not wanting or not used:
        return {}
    ones = [t.ones_like(y) for y in wanting]
    try:
        grads = t.autograd.grad(wanting, [x for _, x in used], ones, allow_unused=True)
    except Exception:
        return None
    return {name: g for (name, _), g in zip(used, grads, strict=True) if g is not None}


def call_names(call: str) -> set[str]:
    """Return the names that a call uses."""
    return set(compile(call, "<call>", "eval").co_names)
