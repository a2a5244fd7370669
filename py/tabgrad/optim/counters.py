"""Counters of optimizers: Python numbers while they run, tensors in state dicts, as PyTorch's are.

A number changes at each step without the device, and is read without waiting; the tensors in state dicts
follow it. `optimizer.state[p]["step"]` is that number; to change it assign another, or a tensor of one element.
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.core.trace import MODE, using

if TYPE_CHECKING:
    from tabgrad.optim.flat import Flat, States

Tensor = tg.Tensor


def rounded(x: float) -> float:
    """Return `x` as PyTorch's state holds it: in float32, unless float64 is the default."""
    if tg.get_default_dtype() is tg.float64:
        return x
    return float(struct.unpack("f", struct.pack("f", x))[0])


def as_number(name: str, value: float | Tensor) -> Any:
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


def as_tensor(value: float, p: Tensor, group: dict[str, Any]) -> Tensor:
    """Return a counter as a state dict's tensor: on the CPU, or with `capturable` on the parameter's device."""
    dtype = tg.float64 if tg.get_default_dtype() is tg.float64 else tg.float32
    near = group.get("capturable") or group.get("fused") or not _has_cpu()
    return tg.tensor(float(value), dtype=dtype, device=p.device if near else "cpu")


class Loose:
    """The place of a state that does not lie beside others yet."""

    retired = True


LOOSE = Loose()


class Given:
    """The tensors that state dicts hold: while they are in use they follow the state, as in PyTorch.

    Tensors of counters follow the numbers. Tensors of the state are views of the vectors that it lies in, and
    move with it when parameters are arranged anew.
    """

    def __init__(self) -> None:
        self._refs: dict[tuple[Tensor, str], tuple[weakref.ref[Tensor], Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy shares no state dicts with the original
        return (Given, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> Given:
        return Given()

    def tensor(
        self, p: Tensor, name: str, value: float | Tensor, group: dict[str, Any],
        flat: Flat | Loose | None,
    ) -> Tensor:  # fmt: skip
        """Return the tensor of a part of the state, the same while somebody holds it.

        `flat` is what a tensor lies in, LOOSE for one that lies alone, None for a counter.
        """
        ref, where = self._refs.get((p, name), (None, None))
        # a state that lies alone now has not moved
        same = where is flat or (flat is LOOSE and where is not None and where.retired)
        found = ref() if ref is not None and same else None
        if found is None:
            found = value if isinstance(value, Tensor) else as_tensor(value, p, group)
            self._refs[p, name] = weakref.ref(found), flat
        return found

    def follow(self, state: States, loaded: bool = False) -> None:
        """Update the tensors from `state`; `loaded` says that all of it may have been replaced."""
        if not self._refs:
            return
        with using(MODE.get().replace(capture=None)), tg.no_grad():
            for (p, name), (ref, flat) in list(self._refs.items()):
                x, own = ref(), state[p] if p in state else {}
                value = None if x is None else own.get(name)
                if x is None or value is None or isinstance(value, Tensor) is (flat is None):
                    del self._refs[p, name]
                elif flat is None:
                    x.fill_(value)
                elif loaded or (flat.retired and p in state.home):
                    x.data = value
                    self._refs[p, name] = ref, state.home[p][0] if p in state.home else LOOSE


class Undo:
    """Undoes the last step of an optimizer on the Python side; a copy has none."""

    def __init__(self) -> None:
        self.kept: Callable[[], None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (Undo, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> Undo:
        return Undo()


def _has_cpu() -> bool:
    """Whether there is a CPU device: not in a page without NumPy."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        return False
    return True


def moved(value: Any, p: Tensor) -> Any:
    """Copy a part of a state to the parameter's device, and floating-point tensors to its dtype."""
    if isinstance(value, Tensor):
        dtype = p.dtype if value.is_floating_point() else value.dtype
        return value.detach().to(device=p.device, dtype=dtype).clone()
    if isinstance(value, dict):
        return {k: moved(v, p) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([moved(v, p) for v in value])
    return value
