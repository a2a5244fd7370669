"""Hooks of all modules, for debugging and profiling; each function returns a handle that removes its hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.nn.hooks import EVERYWHERE, Hook, register
from tabgrad.nn.module import Module as Module
from tabgrad.nn.state import EXTRA as _EXTRA_STATE_KEY_SUFFIX, IncompatibleKeys as _IncompatibleKeys  # noqa: F401
from tabgrad.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, args)` before forward of every module; its result replaces the arguments.

    The hooks of all modules run before those of the module itself.

    >>> import tabgrad as tg
    >>> def shapes(module, args):
    ...     print(type(module).__name__, tuple(args[0].shape))
    >>> with tg.nn.modules.module.register_module_forward_pre_hook(shapes):
    ...     y = tg.nn.Sequential(tg.nn.Linear(3, 2), tg.nn.ReLU())(tg.ones(1, 3))
    Sequential (1, 3)
    Linear (1, 3)
    ReLU (1, 2)
    """
    return register(EVERYWHERE, "forward_pre", Hook(hook))


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after forward of every module; its result replaces the output.

    With `with_kwargs` the call is `hook(module, args, kwargs, output)`; with `always_call` it happens also
    where forward raises.
    """
    return register(EVERYWHERE, "forward", Hook(hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_output)` in backward before the gradients of any module's inputs are computed."""
    return register(EVERYWHERE, "backward_pre", Hook(hook))


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` when the gradients of any module's inputs are known."""
    return register(EVERYWHERE, "backward", Hook(hook))


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, name, submodule)` when a submodule is registered; its result is kept instead."""
    return register(EVERYWHERE, "module", Hook(hook))


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, name, param)` when a parameter is registered; its result is kept instead."""
    return register(EVERYWHERE, "parameter", Hook(hook))


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, name, buffer)` when a buffer is registered; its result is kept instead."""
    return register(EVERYWHERE, "buffer", Hook(hook))
