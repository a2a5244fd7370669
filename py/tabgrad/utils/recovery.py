"""Recovery after a device was lost, from states kept on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.amp import GradScaler
from tabgrad.core import tree
from tabgrad.tensor import reading
from tabgrad.tensor.creation import upload
from tabgrad.tensor.generator import Mark

if TYPE_CHECKING:
    from tabgrad.nn.module import Module
    from tabgrad.tensor import Tensor

__all__ = ["Snapshot"]

Put = Callable[[Any], object]


class Snapshot:
    """The states of modules, optimizers and schedulers, copied to the host to survive the loss of a device.

    Takes generators of random numbers, and whatever has `state_dict` and `load_state_dict`. Making one takes
    the first copy; `take` takes another in its place; `restore` loads the last one into the same objects, whose
    tensors may be gone, and sets the default generator to where it was. Training goes on with the bits it would
    have had: beside the state dicts go the buffers that are not persistent, the gradients of parameters (None
    where there was none), and what a `GradScaler` has found in a step that was under way.

    >>> import tabgrad as tg
    >>> model = tg.nn.Linear(2, 1).to("cpu")
    >>> snapshot = Snapshot(model)
    >>> with tg.no_grad():
    ...     _ = model.weight.zero_()
    >>> snapshot.restore()
    >>> bool((model.weight != 0).all())
    True

    In a training loop, every hundred steps::

        try:
            train_step()
            if step % 100 == 0:
                snapshot.take()
        except tg.DeviceLostError:
            snapshot.restore()  # on a new device; batches that live on the old one are made anew
    """

    def __init__(self, *objects: Any) -> None:
        for o in objects:
            if not isinstance(o, tg.Generator) and not hasattr(o, "load_state_dict"):
                raise TypeError(
                    "Snapshot: expected generators, and what has state_dict and load_state_dict, "
                    f"got {type(o).__name__}"
                )
        self.objects = objects
        self.take()

    def take(self) -> None:
        """Copy the states to the host; if that fails, the last copy stays."""
        kept = [(put, _kept(value)) for o in self.objects for put, value in _states(o)]
        self.kept, self.random = kept, Mark()

    def restore(self) -> None:
        """Load the states of the last copy into the objects."""
        for put, (leaves, structure) in self.kept:
            made = [x.made() if isinstance(x, _Kept) else x for x in leaves]
            put(tree.unflatten(structure, made))
        self.random.restore()


class _Kept:
    """The bytes of a tensor, with the spec and device to make it again."""

    def __init__(self, x: Tensor) -> None:
        self.raw = bytes(reading.data(x, "snapshot"))
        self.spec = x.spec
        self.device = x.device

    def made(self) -> Tensor:
        """Make the tensor again."""
        return upload(self.raw, self.spec.shape, self.spec.dtype, self.device)


def _kept(state: Any) -> tuple[list[Any], Any]:
    """Flatten nested dicts and lists to leaves, tensors as bytes on the host, and their structure."""
    leaves, structure = tree.flatten(state)
    return [_Kept(x) if isinstance(x, tg.Tensor) else x for x in leaves], structure


def _states(o: Any) -> Iterator[tuple[Put, Any]]:
    """Yield the parts of the state of `o`, each with a function that restores a copy of it."""
    if isinstance(o, tg.Generator):
        yield lambda place: o._go_to(*place), (o._seed, o._calls)
        return
    yield o.load_state_dict, o.state_dict()
    if isinstance(o, GradScaler):
        yield o._resume, o._under_way()
    if hasattr(o, "named_modules"):
        for _, module in o.named_modules():
            for name in module._non_persistent_buffers_set:
                yield _buffer(module, name), getattr(module, name)
        for p in o.parameters():
            yield _gradient(p), p.grad
    for group in getattr(o, "param_groups", ()):
        for p in group["params"]:
            yield _gradient(p), p.grad


def _buffer(module: Module, name: str) -> Put:
    def put(value: Any) -> None:
        now = getattr(module, name)
        if isinstance(now, tg.Tensor) and isinstance(value, tg.Tensor) and _fits(now, value):
            with tg.no_grad():
                now.copy_(value)
        else:
            setattr(module, name, value)

    return put


def _fits(now: tg.Tensor, value: tg.Tensor) -> bool:
    """Test whether all of `now` can be written; the base of a view may be gone."""
    return now.shape == value.shape and now.dtype == value.dtype and not now._is_view()


def _gradient(p: Tensor) -> Put:
    def put(value: Any) -> None:
        p.grad = None if value is None else value.to(p.device)

    return put
