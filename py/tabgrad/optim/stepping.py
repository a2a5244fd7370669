"""Hooks of steps, and small functions that optimizers written for PyTorch import from `optim.optimizer`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.core.settings import on_restore
from tabgrad.utils.hooks import RemovableHandle, add

Tensor = tg.Tensor
EVERYWHERE: dict[str, dict[int, Any]] = {"step_pre": {}, "step_post": {}}
"""The hooks on the steps of every optimizer."""


@on_restore
def _remove_those_of_every_optimizer() -> None:
    for hooks in EVERYWHERE.values():
        hooks.clear()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimizer, and before its own hooks."""
    return add(EVERYWHERE["step_pre"], hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of every optimizer, and after its own hooks."""
    return add(EVERYWHERE["step_post"], hook)


def before_step(optimizer: Any, args: tuple[Any, ...], kwargs: Any) -> tuple[Any, Any]:
    """Run the hooks before a step; return its arguments, the optimizer the first of them."""
    given: Any = (optimizer, *args)
    own = optimizer._hooks["step_pre"]
    for hook in [*EVERYWHERE["step_pre"].values(), *own.values()]:
        changed = hook(optimizer, given, kwargs)
        if changed is not None:
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(
                    f"{type(optimizer).__name__}.step: a pre hook must return None or a tuple of "
                    f"(new_args, new_kwargs), but got {changed}."
                )
            given, kwargs = changed
    return given, kwargs


def after_step(optimizer: Any, given: Any, kwargs: Any) -> None:
    """Run the hooks after a step."""
    own = optimizer._hooks["step_post"]
    for hook in [*own.values(), *EVERYWHERE["step_post"].values()]:
        hook(optimizer, given, kwargs)


def _use_grad_for_differentiable(func: Callable[..., Any]) -> Callable[..., Any]:
    """Run a step with gradients recorded only if the optimizer is `differentiable`."""

    @functools.wraps(func)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        with tg.set_grad_enabled(bool(self.defaults["differentiable"])):
            return func(self, *args, **kwargs)

    return step


def _get_value(x: Any) -> Any:
    """Return the number in a tensor, or the tensor itself while a call is being compiled."""
    return x.item() if isinstance(x, Tensor) and not tg.compiler.is_compiling() else x


def _stack_if_compiling(x: Sequence[Tensor]) -> Any:
    """Return the tensors, as one while a call is being compiled."""
    return tg.stack(list(x)) if tg.compiler.is_compiling() else x


def _dispatch_sqrt(x: Any) -> Any:
    """Return the square root of a tensor or a number."""
    return x.sqrt() if isinstance(x, Tensor) else math.sqrt(x)


def _to_scalar(x: Any) -> Any:
    """Return a tensor of one number without dims, and anything else as it is."""
    return x.squeeze() if isinstance(x, Tensor) and x.ndim else x


def _get_scalar_dtype(is_fused: bool | None = None) -> Any:
    """Return the dtype of counters: float64 where that is the default and no fused step asks otherwise."""
    return tg.float64 if not is_fused and tg.get_default_dtype() is tg.float64 else tg.float32


def _default_to_fused_or_foreach(
    params: Sequence[Tensor], differentiable: bool, use_fused: bool = False
) -> tuple[bool, bool]:
    """Say that neither a fused nor a foreach form is to be taken: here a step has one form."""
    return False, False


def _view_as_real(params: list[Tensor], *state_and_grads: list[Tensor]) -> None:
    """Replace complex tensors in the lists by views of their parts."""
    for i, p in enumerate(params):
        if p.is_complex():
            params[i] = tg.view_as_real(p)
            for tensors in state_and_grads:
                tensors[i] = tg.view_as_real(tensors[i])


__all__ = [
    "_default_to_fused_or_foreach", "_dispatch_sqrt", "_get_scalar_dtype", "_get_value",
    "_stack_if_compiling", "_to_scalar", "_use_grad_for_differentiable", "_view_as_real",
    "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook",
]  # fmt: skip
