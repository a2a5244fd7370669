"""What a Function's forward hands to its rules."""

from __future__ import annotations

from typing import Any

from tabgrad.core.trace import Box


class FunctionCtx:
    """What a Function's forward hands to its backward. Attributes of any name can be set on it."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._to_save: tuple[Any, ...] = ()
        self._for_forward: tuple[Any, ...] = ()
        self._loaded: tuple[Any, ...] | None = None
        self._dirty: tuple[Any, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Save inputs and outputs (or None) for `saved_tensors`; call it once."""
        self._to_save = _only_tensors("save_for_backward", tensors)

    def save_for_forward(self, *tensors: Any) -> None:
        """Save inputs and outputs (or None) for the `saved_tensors` of `jvp`; call it once."""
        self._for_forward = _only_tensors("save_for_forward", tensors)

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward has changed in place; they must be among the outputs."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether backward and jvp get zeros, as they do unless told otherwise, or None."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved, in its order."""
        return self._to_save if self._loaded is None else self._loaded


def _only_tensors(name: str, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    for t in tensors:
        if t is not None and not isinstance(t, Box):
            raise TypeError(
                f"{name}: expected tensors or None, got {type(t).__name__}; "
                "set other things as attributes of ctx"
            )
    return tensors
