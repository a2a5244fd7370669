"""Counters of optimizers: Python numbers while they run, tensors in state dicts, as PyTorch's are.

A number changes at each step without the device and is read without waiting. `optimizer.state[p]["step"]` is
that number: assign another, or a tensor of one element, to change it.
"""

from __future__ import annotations

import struct
from typing import Any

import tabgrad as tg
from tabgrad.core.trace import MODE, using

Tensor = tg.Tensor


def rounded(x: float) -> float:
    """Return `x` as PyTorch's state holds it: in float32, unless float64 is the default."""
    if tg.get_default_dtype() is tg.float64:
        return x
    return float(struct.unpack("f", struct.pack("f", x))[0])


def as_number(name: str, value: Any) -> Any:
    """Return a counter as a number; a tensor is read. Raises ValueError for one of several elements."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(
                f"optimizer: the state {name!r} must be one number, got shape {tuple(value.shape)}"
            )
        with using(MODE.get().replace(capture=None)):
            value = float(value.detach())
    whole = name == "step" and isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


def as_tensor(value: Any, p: Tensor, group: dict[str, Any]) -> Tensor:
    """Return a counter as a state dict has it: on the CPU, on the parameter's device if that is asked for."""
    dtype = tg.float64 if tg.get_default_dtype() is tg.float64 else tg.float32
    near = group.get("capturable") or group.get("fused") or not _has_cpu()
    return tg.tensor(float(value), dtype=dtype, device=p.device if near else "cpu")


def _has_cpu() -> bool:
    """Whether there is a CPU device: not in a page without NumPy."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        return False
    return True
