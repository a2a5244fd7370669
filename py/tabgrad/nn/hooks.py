"""Module hooks: their registration, and a call that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.utils.hooks import RemovableHandle, add

if TYPE_CHECKING:
    from tabgrad.nn.module import Module


class Hook(NamedTuple):
    """A function with how it wants to be called."""

    fn: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


Hooks = dict[str, dict[int, Hook]]
"""By kind: forward_pre, forward, backward_pre, backward, and the four of state dicts."""


def register(hooks: Hooks, kind: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Add a hook of this kind and return what removes it."""
    return add(hooks.setdefault(kind, {}), hook, prepend)


def of_kind(module: Module, kind: str) -> list[Hook]:
    """Return the hooks of this kind in the order they run."""
    return list(module._hooks.get(kind, {}).values())


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a module that has hooks."""
    always = [h for h in of_kind(module, "forward") if h.always_call]
    try:
        args, kwargs = _before(module, args, kwargs)
        backward = _Backward.of(module)
        if backward is not None:
            args = backward.watch_inputs(args)
        result = module.forward(*args, **kwargs)
        for hook in of_kind(module, "forward"):
            if hook in always:
                always.remove(hook)
            result = _after(hook, module, args, kwargs, result)
        return result if backward is None else backward.watch_outputs(result)
    except Exception:
        for hook in always:
            _after(hook, module, args, kwargs, None)
        raise


def _before(module: Module, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook in of_kind(module, "forward_pre"):
        if hook.with_kwargs:
            changed = hook.fn(module, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        "forward pre-hook: expected None or (new args, new kwargs), got "
                        f"{type(changed).__name__}"
                    )
                args, kwargs = changed
        else:
            changed = hook.fn(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def _after(hook: Hook, module: Module, args: Any, kwargs: Any, result: Any) -> Any:
    if hook.with_kwargs:
        changed = hook.fn(module, args, kwargs, result)
    else:
        changed = hook.fn(module, args, result)
    return result if changed is None else changed


class _Backward:
    """One call of a module with backward hooks: gathers the gradients of its outputs, then of its inputs.

    A hook may replace gradients. The gradients of the inputs arrive one after the other, so where there
    are several only those of the last to arrive can still be replaced together; the hook runs when all
    have arrived.
    """

    def __init__(self, module: Module, before: list[Hook], after: list[Hook]) -> None:
        self.module, self.before, self.after = module, before, after
        self.grad_outputs: list[Any] = []
        self.grad_inputs: list[Any] = []
        self.waiting: set[int] = set()

    @classmethod
    def of(cls, module: Module) -> _Backward | None:
        """Return the gatherer, or None where the module has no backward hooks."""
        before, after = of_kind(module, "backward_pre"), of_kind(module, "backward")
        if not (before or after) or not tg.is_grad_enabled():
            return None
        return cls(module, before, after)

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments with a hook on each tensor that needs a gradient."""
        if not self.after:
            return args
        watched = list(args)
        self.grad_inputs = [None] * len(args)
        for i, x in enumerate(args):
            if isinstance(x, tg.Tensor) and x.requires_grad:
                watched[i] = x.view_as(x)
                watched[i].register_hook(lambda grad, i=i: self.input_arrived(i, grad))
                self.waiting.add(i)
        return tuple(watched)

    def watch_outputs(self, result: Any) -> Any:
        """Return the result with a hook on each tensor that has a gradient."""
        outputs, structure = tree.flatten(result)
        self.grad_outputs = [None] * len(outputs)
        for i, y in enumerate(outputs):
            if isinstance(y, tg.Tensor) and y.requires_grad:
                outputs[i] = y.view_as(y)
                outputs[i].register_hook(lambda grad, i=i: self.output_arrived(i, grad))
        return tree.unflatten(structure, outputs)

    def output_arrived(self, i: int, grad: Any) -> Any:
        """Keep the gradient of output `i`, as the pre-hooks change it."""
        self.grad_outputs[i] = grad
        for hook in self.before:
            changed = hook.fn(self.module, tuple(self.grad_outputs))
            if changed is not None:
                self.grad_outputs = _as_list(changed, self.grad_outputs, "backward pre-hook")
        if not self.waiting and self.after:
            self.run()
        return self.grad_outputs[i]

    def input_arrived(self, i: int, grad: Any) -> Any:
        """Keep the gradient of input `i`; the last to arrive runs the hooks."""
        self.grad_inputs[i] = grad
        self.waiting.discard(i)
        if not self.waiting:
            self.run()
        return self.grad_inputs[i]

    def run(self) -> None:
        """Call the backward hooks."""
        for hook in self.after:
            changed = hook.fn(self.module, tuple(self.grad_inputs), tuple(self.grad_outputs))
            if changed is not None:
                self.grad_inputs = _as_list(changed, self.grad_inputs, "backward hook")


def _as_list(changed: Any, old: list[Any], what: str) -> list[Any]:
    new = list(changed) if isinstance(changed, (tuple, list)) else [changed]
    if len(new) != len(old):
        raise RuntimeError(f"{what}: expected {len(old)} gradients back, got {len(new)}")
    return new
