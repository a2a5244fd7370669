"""Module hooks: their registration, and a call that runs them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.settings import on_restore
from tabgrad.utils.hooks import RemovableHandle, add

if TYPE_CHECKING:
    from tabgrad.nn.module import Module


class Hooked:
    """The methods of Module that register hooks."""

    _hooks: Hooks

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_call_impl" in vars(cls) and "__call__" not in vars(cls):
            cls.__call__ = _wrapped_call_impl  # type: ignore[method-assign]

    def _hook(
        self, kind: str, hook: Callable[..., Any], prepend: bool = False, with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:  # fmt: skip
        return register(self._hooks, kind, Hook(hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; its result, if not None, replaces the arguments."""
        return self._hook("forward_pre", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:  # fmt: skip
        """Call `hook(module, args, output)` after forward; its result, if not None, replaces the output."""
        return self._hook("forward", hook, prepend, with_kwargs, always_call)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` in backward, before the gradients of the inputs are computed."""
        return self._hook("backward_pre", hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known."""
        self._only_one_kind("backward_of_node")
        return self._hook("backward", hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` at the op that made the output: an old form.

        `grad_input` has the gradients of what that op took, which is not always what the module took;
        `register_full_backward_hook` gives those.
        """
        self._only_one_kind("backward")
        return self._hook("backward_of_node", hook)

    def _only_one_kind(self, other: str) -> None:
        if self._hooks.get(other):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. "
                "Please use only one of them."
            )

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the state dict is made."""
        return self._hook("state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` on the state dict; it may change it."""
        return self._hook("state_dict_post", hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call the hook as the public method does; what it returns replaces the state dict of the root."""
        return self._hook("state_dict_made", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)` first."""
        return self._hook("load_state_dict_pre", hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """Call `hook` before loading, as the public method does, without the module as its first argument."""

        def called(module: Module, *rest: Any) -> Any:
            return hook(module, *rest) if with_module else hook(*rest)

        return self._hook("load_state_dict_pre", called)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change the lists of keys."""
        return self._hook("load_state_dict_post", hook)


def _wrapped_call_impl(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a module whose class replaces `_call_impl`."""
    if self._compiled_call_impl is not None:
        return self._compiled_call_impl(*args, **kwargs)
    return self._call_impl(*args, **kwargs)


class Hook(NamedTuple):
    """A hook function, and how to call it."""

    fn: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


Hooks = dict[str, dict[int, Hook]]
"""The hooks of a module by kind: forward_pre, forward, three of backward, and five for state dicts."""
EVERYWHERE: Hooks = {}
"""The hooks of all modules, which run before a module's own; also of kinds module, parameter and buffer."""


_OF_PYTORCH = (
    "_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)  # fmt: skip
_FLAG = "_is_full_backward_hook"


class Table(MutableMapping[int, Callable[..., Any]]):
    """The hooks of a module as PyTorch's private tables show them: functions by the number of their handle."""

    KINDS: ClassVar = {
        "_forward_hooks": "forward", "_forward_pre_hooks": "forward_pre",
        "_backward_hooks": "backward", "_backward_pre_hooks": "backward_pre",
    }  # fmt: skip

    def __init__(self, module: Module, name: str) -> None:
        self._hooks = module._hooks.setdefault(self.KINDS[name], {})

    def __getitem__(self, key: int) -> Callable[..., Any]:
        return self._hooks[key].fn

    def __setitem__(self, key: int, fn: Callable[..., Any]) -> None:
        self._hooks[key] = Hook(fn)

    def __delitem__(self, key: int) -> None:
        del self._hooks[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self._hooks)

    def __len__(self) -> int:
        return len(self._hooks)


def tables_of_pytorch() -> dict[str, Any]:
    """Return the tables of hooks that a module of PyTorch's has in a file, empty."""
    return {_FLAG: None, **{name: OrderedDict() for name in _OF_PYTORCH}}


def restored(state: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a pickled module with our table of hooks in place of PyTorch's.

    Raises ValueError if a module of PyTorch's has hooks: they were made for its tensors.
    """
    if "_hooks" not in state and "_parameters" in state:
        state = {**state, "_hooks": {}}
    for name in (*_OF_PYTORCH, _FLAG):
        if name in state and state[name] and name != _FLAG:
            raise ValueError(f"load: a module has {name}; remove its hooks before it is saved")
    return {k: v for k, v in state.items() if k not in _OF_PYTORCH and k != _FLAG}


@on_restore
def _remove_those_of_every_module() -> None:
    # the tables themselves stay, because handles refer to them
    for hooks in EVERYWHERE.values():
        hooks.clear()


def register(hooks: Hooks, kind: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Add a hook of this kind, and return the handle that removes it."""
    return add(hooks.setdefault(kind, {}), hook, prepend)


def of_kind(module: Module, kind: str) -> list[Hook]:
    """List the hooks of this kind in the order they run."""
    everywhere = EVERYWHERE.get(kind, {}).values() if module._is_every else ()
    return [*everywhere, *module._hooks.get(kind, {}).values()]


def any_of(module: Module) -> bool:
    """Test whether a call of the module may have hooks to run."""
    return any(module._hooks.values()) or any(EVERYWHERE.values())


def depend(capture: Any, module: Module) -> None:
    """Make a call that is being compiled depend on a module and on the hooks of every module."""
    if capture is not None:
        capture.depend(module, type(module).__name__)
        capture.depend(EVERYWHERE, "the hooks of every module")


def registered(module: Module, kind: str, name: str, value: Any) -> Any:
    """Run the hooks on a `value` to keep under `name`; each may replace it."""
    for hook in list(EVERYWHERE.get(kind, {}).values()):
        changed = hook.fn(module, name, value)
        value = value if changed is None else changed
    return value


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
        _watch_node(module, result)
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


def _watch_node(module: Module, result: Any) -> None:
    """Give the old backward hooks of a module to the node of its first result."""
    its = module._hooks.get("backward_of_node")
    if not its:
        return
    found = next((x for x in tree.leaves(result) if isinstance(x, tg.Tensor)), None)
    node = None if found is None else found.grad_fn
    if node is not None:
        for hook in its.values():
            node.register_hook(partial(hook.fn, module))


class _Watch(tg.autograd.Function):
    """The identity of several tensors, whose gradients go through `watch` together."""

    generate_vmap_rule = True

    @staticmethod
    def forward(watch: Any, materialize: bool, *xs: Any) -> tuple[Any, ...]:
        return tuple(x.view_as(x) for x in xs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.watch = inputs[0]
        ctx.set_materialize_grads(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        return None, None, *ctx.watch(list(grads))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Any, ...]:
        return tangents[2:]


def _watched(leaves: list[Any], watch: Callable[[list[Any]], Any], materialize: bool) -> Any:
    """Watch the `leaves` that need a gradient; return all leaves, and the places of the watched ones."""
    at = [i for i, x in enumerate(leaves) if isinstance(x, tg.Tensor) and x.requires_grad]
    found = list(leaves)
    if at:
        seen = _Watch.apply(watch, materialize, *[leaves[i] for i in at])
        for i, x in zip(at, seen, strict=True):
            found[i] = x
    return found, at


class _Backward:
    """One call of a module with backward hooks, which see all gradients of its outputs, then of its inputs."""

    def __init__(self, module: Module, before: list[Hook], after: list[Hook]) -> None:
        self.module, self.before, self.after = module, before, after
        self.inputs: tuple[list[int], int] = ([], 0)
        self.outputs: tuple[list[int], int] = ([], 0)
        self.grad_outputs: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, module: Module) -> _Backward | None:
        """Make the object that calls the backward hooks, or None if the module has none."""
        before, after = of_kind(module, "backward_pre"), of_kind(module, "backward")
        if not (before or after) or not tg.is_grad_enabled():
            return None
        return cls(module, before, after)

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Watch the arguments that need a gradient; return all arguments."""
        if not self.after:
            return args
        found, at = _watched(list(args), self.inputs_arrived, True)
        self.inputs = at, len(args)
        return tuple(found)

    def watch_outputs(self, result: Any) -> Any:
        """Watch the tensors of the result that have a gradient; return the result."""
        leaves, structure = tree.flatten(result)
        found, at = _watched(leaves, self.outputs_arrived, False)
        self.outputs = at, len(leaves)
        return tree.unflatten(structure, found)

    def outputs_arrived(self, grads: list[Any]) -> list[Any]:
        """Run the pre-hooks on the gradients of the outputs; return these as changed."""
        at, n = self.outputs
        self.grad_outputs = _spread(grads, at, n)
        for hook in self.before:
            changed = hook.fn(self.module, self.grad_outputs)
            if changed is not None:
                self.grad_outputs = _as_tuple(changed, n, "backward pre-hook")
        if not self.inputs[0]:
            self.without_inputs()
        return [self.grad_outputs[i] for i in at]

    def without_inputs(self) -> None:
        """Call the hooks of a module without inputs that need a gradient."""
        none = (None,) * self.inputs[1]
        for hook in self.after:
            changed = hook.fn(self.module, none, self.grad_outputs)
            if changed is not None and any(
                g is not None for g in _as_tuple(changed, len(none), "backward hook")
            ):
                raise RuntimeError(
                    "backward hook: no input of the module needs a gradient, so the hook must return None"
                )

    def inputs_arrived(self, grads: list[Any]) -> list[Any]:
        """Run the hooks on the gradients of the inputs; return these as changed."""
        at, n = self.inputs
        if self.grad_outputs is None:
            # a second derivative can reach the inputs without passing the outputs; hooks don't run for it
            return grads
        found = _spread(grads, at, n)
        for hook in self.after:
            changed = hook.fn(self.module, found, self.grad_outputs)
            if changed is not None:
                found = _as_tuple(changed, n, "backward hook")
        self.grad_outputs = None
        return [found[i] for i in at]


def _spread(grads: list[Any], at: list[int], n: int) -> tuple[Any, ...]:
    """Make `n` gradients: `grads` at the places `at`, and None elsewhere."""
    found: list[Any] = [None] * n
    for i, g in zip(at, grads, strict=True):
        found[i] = g
    return tuple(found)


def _as_tuple(changed: Any, n: int, what: str) -> tuple[Any, ...]:
    new = tuple(changed) if isinstance(changed, (tuple, list)) else (changed,)
    if len(new) != n:
        raise RuntimeError(f"{what}: expected {n} gradients back, got {len(new)}")
    return new
