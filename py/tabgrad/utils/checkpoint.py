"""Checkpointing: save less of a forward pass, and compute it again when backward needs it.

PyTorch's `utils.checkpoint`. What an op saves inside a checkpoint is replaced by a number; when backward asks
for it the function is run again, until the last number that is needed. The random numbers are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import tree
from tabgrad.core.op import REGISTRY
from tabgrad.core.settings import setting
from tabgrad.core.trace import MODE, Mode, using, wrap
from tabgrad.tensor.aliasing import refreshed
from tabgrad.tensor.conversion import is_tensor
from tabgrad.tensor.generator import Mark
from tabgrad.transforms.autograd import WALK
from tabgrad.transforms.hooks import saved_tensors_hooks
from tabgrad.utils.budget import memory_budget as memory_budget
from tabgrad.utils.recompute import (
    CheckpointError as CheckpointError,
    CheckpointPolicy as CheckpointPolicy,
    SelectiveCheckpointContext as SelectiveCheckpointContext,
    create_selective_checkpoint_contexts as create_selective_checkpoint_contexts,
)  # fmt: skip

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class _Stop(BaseException):
    """Ends a function that is run again, once it has saved all that is needed."""


@setting
class _Early:
    enabled = True


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Set for a block whether a function that is run again stops as soon as it has saved all that is needed."""
    before = _Early.enabled
    _Early.enabled = enable
    try:
        yield
    finally:
        _Early.enabled = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Do nothing, for PyTorch's sake: an error of a checkpoint always says what differed."""
    yield


class _Argument:
    """A tensor argument at the time of the call: its value, or what the outer saved-tensor hooks made of it."""

    def __init__(
        self, x: Tensor, hooks: tuple[Callable[..., Any], Callable[..., Any]] | None
    ) -> None:
        self.tracked = x.tracked
        self.unpack = None
        self.kept = wrap(x.value, x.spec, x.device, x.owner)
        if hooks is not None and not (x.tracked and x.is_leaf):
            pack, self.unpack = hooks
            with using(MODE.get().replace(grad=False, saved_tensors=None)):
                self.kept = pack(self.kept)

    def tensor(self) -> Tensor:
        """Make a leaf with the argument's value."""
        x = self.kept if self.unpack is None else self.unpack(self.kept)
        if x.device.type == "cpu":
            y = wrap(x.value, x.spec, x.device, x.owner)
        else:
            # without the barrier the device would reuse the value that was computed before
            with using(MODE.get().replace(grad=False)):
                y = REGISTRY["barrier"].bind(x)
            y = wrap(y.value, y.spec, y.device, y.owner)
        y.tracked = self.tracked
        return y


class _Frame:
    """One call of a checkpointed function."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
        preserve: bool, contexts: tuple[Any, Any], check: bool,
    ) -> None:  # fmt: skip
        self.function = function
        self.mode: Mode = MODE.get()
        hooks = self.mode.saved_tensors
        leaves, self.structure = tree.flatten((args, kwargs))
        self.arguments = [_Argument(refreshed(x), hooks) if is_tensor(x) else x for x in leaves]
        self.random_place = Mark() if preserve else None
        self.early = _Early.enabled
        self.context, self.again = contexts
        self.check = check
        self.specs: list[Any] = []
        self.recomputed: dict[Any, dict[int, Any]] = {}

    def pack(self, x: Tensor) -> tuple[_Frame, int]:
        """Give a saved tensor a number, which is saved in its place."""
        self.specs.append(x.spec)
        return self, len(self.specs) - 1

    def unpack(self, held: tuple[_Frame, int]) -> Tensor:
        """Load the tensor of a number; run the function again if that has not been done."""
        number = held[1]
        walk = WALK.get()
        found = self.recomputed.get(walk)
        if found is None or number not in found:
            found = self.run_again()
            if walk is not None:
                if walk not in self.recomputed:
                    walk.at_end.append(lambda: self.recomputed.pop(walk, None))
                self.recomputed[walk] = found
        return found.pop(number)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the function for the first time."""
        with self.context, saved_tensors_hooks(self.pack, self.unpack):
            return self.function(*args, **kwargs)

    def run_again(self) -> dict[int, Any]:
        """Run the function again, and collect the tensors it saves by number."""
        found: dict[int, Any] = {}
        number = 0

        def pack(x: Tensor) -> Tensor:
            nonlocal number
            self.compare(number, x)
            found[number] = x
            number += 1
            if self.early and number == len(self.specs):
                raise _Stop
            return x

        leaves = [a.tensor() if isinstance(a, _Argument) else a for a in self.arguments]
        args, kwargs = tree.unflatten(self.structure, leaves)
        mode = self.mode.replace(capture=MODE.get().capture, grad=True, inference=False)
        with (
            using(mode), self.random(), contextlib.suppress(_Stop), self.again,
            saved_tensors_hooks(pack, lambda x: x),
        ):  # fmt: skip
            self.function(*args, **kwargs)
        if number < len(self.specs):
            raise CheckpointError(
                f"checkpoint: the function saved {len(self.specs)} tensors for backward, and {number} "
                "when it was run again; it must do the same both times"
            )
        return found

    def compare(self, number: int, x: Tensor) -> None:
        """Raise CheckpointError if a tensor saved the second time differs in shape or dtype from the first."""
        if not self.check:
            return
        if number >= len(self.specs) or self.specs[number] is not x.spec:
            first = self.specs[number] if number < len(self.specs) else "nothing"
            raise CheckpointError(
                f"checkpoint: saved tensor {number} was {first}, and {x.spec} when the function was run again; "
                "it must do the same both times (determinism_check='none' switches this check off)"
            )

    def random(self) -> contextlib.AbstractContextManager[None]:
        """Repeat the random numbers of the first run, and leave the default generator as it is."""
        place = self.random_place
        return contextlib.nullcontext() if place is None else place.again()


def noop_context_fn() -> tuple[Any, Any]:
    """Make two contexts that do nothing: the default `context_fn`."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn, determinism_check: str = "default",
    debug: bool = False, early_stop: bool = True, preserve_rng_state: bool = True,
    keep_bytes: int | None = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """Call `function(*args, **kwargs)`, and save only the arguments for backward.

    Backward runs the function again to save the tensors it needs: less memory for one more forward. Checkpoints
    nest, and work under the transforms of `tabgrad.func` and inside `compile`. The function must do the same
    each time; random numbers repeat unless `preserve_rng_state` is False. `context_fn` returns two context
    managers, for the first run and for the others; `determinism_check="none"` drops the comparison of what is
    saved. With `keep_bytes` that many bytes are kept, which `memory_budget` chooses op by op.
    `use_reentrant` and `debug` are accepted for PyTorch's sake.

    >>> import tabgrad as tg
    >>> from tabgrad.utils.checkpoint import checkpoint
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: x.exp().sin().sum(), x).backward()
    >>> x.grad.shape
    tabgrad.Size([2])
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"checkpoint: determinism_check is 'default' or 'none', not {determinism_check!r}"
        )
    if not MODE.get().grad:
        return function(*args, **kwargs)
    if keep_bytes is not None:
        with memory_budget(keep_bytes):
            return function(*args, **kwargs)
    frame = _Frame(
        function, args, kwargs, preserve_rng_state, context_fn(), determinism_check == "default"
    )
    frame.early = frame.early and early_stop
    return frame.run(args, kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:  # fmt: skip
    """Send `input` through `functions`, and save only the tensors between `segments` groups of them.

    `functions` is a Sequential or a sequence of functions. The last group is not checkpointed.

    >>> import tabgrad as tg
    >>> from tabgrad.utils.checkpoint import checkpoint_sequential
    >>> x = tg.tensor([1.0], requires_grad=True)
    >>> checkpoint_sequential([tg.exp, tg.sin, tg.exp], 2, x).backward()
    >>> x.grad.shape
    tabgrad.Size([1])
    """
    layers: Sequence[Any] = (
        list(functions.children()) if hasattr(functions, "children") else list(functions)
    )
    if not 1 <= segments <= max(len(layers), 1):
        raise ValueError(
            f"checkpoint_sequential: segments must be between 1 and the {len(layers)} functions, got {segments}"
        )
    size = len(layers) // segments
    x = input
    at = 0
    for _ in range(segments - 1):
        x = checkpoint(_chain(layers[at : at + size]), x, preserve_rng_state=preserve_rng_state)
        at += size
    return _chain(layers[at:])(x)


def _chain(layers: Sequence[Any]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return run
