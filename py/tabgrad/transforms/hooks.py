"""Hooks: users' functions that see, and may replace, gradients and saved tensors."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.trace import MODE, Box, Mode, check_alive
from tabgrad.transforms.autograd import WALK
from tabgrad.transforms.node import Node, RemovableHandle, add_hook, edge, is_leaf


def _node(what: str, x: Box) -> Node:
    if x.alias is not None:
        x.alias.refresh(x)
    if x.owner is not None:
        check_alive(x, MODE.get(), what)
    node = edge(x, x.owner)
    if node is None:
        raise GradientError(f"{what}: expected a tensor that requires grad; this one does not")
    return node


def register_hook(x: Box, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Call `hook(grad)` when the gradient of `x` is known; it may return another one to go on with."""
    return add_hook(_node("register_hook", x), "tensor", hook)


def register_post_accumulate_grad_hook(x: Box, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Call `hook(x)` after backward has added to the `.grad` of the leaf `x`."""
    node = _node("register_post_accumulate_grad_hook", x)
    if not is_leaf(x):
        raise GradientError(
            "post accumulate grad hooks cannot be registered on non-leaf tensors; use register_hook()"
        )
    return add_hook(node, "accumulated", hook)


def queue_callback(callback: Callable[[], Any]) -> None:
    """Call `callback()` when the backward that is running, the outermost one, has ended without an error.

    RuntimeError where none is running: it is for hooks.
    """
    walk = WALK.get()
    if walk is None:
        raise RuntimeError(
            "queue_callback: final callbacks can only be installed during backward pass"
        )
    walk.after.append(callback)


class MultiHandle(RemovableHandle):
    """The handle of one hook on several tensors."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take the hook away from all of the tensors."""
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Any], fn: Callable[..., Any], *, mode: str = "all"
) -> MultiHandle:
    """Call `fn` once in each backward that computes gradients of `tensors`.

    With mode "all", `fn(grads)` is called when the last of those that the backward reaches is known; the
    others are None. With mode "any", `fn(grad)` is called with the first.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"register_multi_grad_hook: mode is 'all' or 'any', not {mode!r}")
    nodes = [_node("register_multi_grad_hook", x) for x in tensors]
    lock = threading.Lock()
    walks: dict[int, list[Any]] = {}

    def hook_for(i: int) -> Callable[[Any], None]:
        def hook(grad: Any) -> None:
            walk = WALK.get()
            with lock:
                state = walks.get(id(walk))
                if state is None:
                    reached = walk.reaches(nodes)
                    state = walks[id(walk)] = [sum(reached), [None] * len(nodes)]
                    walk.at_end.append(lambda: walks.pop(id(walk), None))
                state[0] -= 1
                state[1][i] = grad
                first = sum(g is not None for g in state[1]) == 1
                last = state[0] == 0
            if mode == "any" and first:
                fn(grad)
            elif mode == "all" and last:
                fn(state[1])

        return hook

    return MultiHandle([add_hook(node, "tensor", hook_for(i)) for i, node in enumerate(nodes)])


class saved_tensors_hooks:
    """Pass each tensor that is saved for backward through `pack_hook`, and back through `unpack_hook`.

    Inside the context, saving a tensor keeps `pack_hook(tensor)` in its place; backward calls
    `unpack_hook` on it, which must give back a tensor of the same shape, dtype and device.

    >>> import tabgrad as tg
    >>> x = tg.tensor([2.0], requires_grad=True)
    >>> with tg.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(), tg.tensor):
    ...     y = x * x
    >>> y.backward()
    >>> x.grad
    tensor([4.])
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self.before: list[Mode] = []

    def __enter__(self) -> saved_tensors_hooks:
        mode = MODE.get()
        refusal = mode.saved_tensors_refused
        if refusal is not None:
            raise GradientError(refusal)
        self.before.append(mode)
        MODE.set(mode.replace(saved_tensors=(self.pack_hook, self.unpack_hook)))
        return self

    def __exit__(self, *exc: object) -> None:
        before = self.before.pop()
        MODE.set(MODE.get().replace(saved_tensors=before.saved_tensors))


class disable_saved_tensors_hooks(contextlib.ContextDecorator):
    """Refuse saved_tensors_hooks inside the context or the decorated function, with `error_message`."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message
        self.before: list[Mode] = []

    def __enter__(self) -> None:
        mode = MODE.get()
        self.before.append(mode)
        MODE.set(mode.replace(saved_tensors_refused=self.error_message))

    def __exit__(self, *exc: object) -> None:
        before = self.before.pop()
        refused = before.saved_tensors_refused
        MODE.set(MODE.get().replace(saved_tensors_refused=refused))
