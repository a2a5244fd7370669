"""A way back after a device was lost: states kept on the host."""

from __future__ import annotations

from typing import Any

from tabgrad.core import tree
from tabgrad.core.trace import Box
from tabgrad.tensor import reading
from tabgrad.tensor.creation import upload
from tabgrad.tensor.generator import Mark

__all__ = ["Snapshot"]


class Snapshot:
    """The states of modules, optimizers and schedulers, copied to the host to survive the loss of a device.

    Takes whatever has `state_dict` and `load_state_dict`. Making one takes the first copy; `take` takes another
    in its place; `restore` loads the last one into the same objects, whose tensors may be gone, and sets the
    default generator of random numbers to where it was.

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
        self.objects = objects
        self.take()

    def take(self) -> None:
        """Copy the states to the host; where that fails, the copy before it stays."""
        self.states, self.random = [_kept(o.state_dict()) for o in self.objects], Mark()

    def restore(self) -> None:
        """Load the states of the last copy into the objects."""
        for o, (leaves, structure) in zip(self.objects, self.states, strict=True):
            made = [x.made() if isinstance(x, _Kept) else x for x in leaves]
            o.load_state_dict(tree.unflatten(structure, made))
        self.random.restore()


class _Kept:
    """The bytes of a tensor, and what it takes to make it anew where it was."""

    def __init__(self, x: Any) -> None:
        self.raw = bytes(reading.data(x, "snapshot"))
        self.spec = x.spec
        self.device = x.device

    def made(self) -> Any:
        """Return a new tensor."""
        return upload(self.raw, self.spec.shape, self.spec.dtype, self.device)


def _kept(state: Any) -> tuple[list[Any], Any]:
    """Return the leaves of nested dicts and lists, tensors as bytes of the host, and how they were nested."""
    leaves, structure = tree.flatten(state)
    return [_Kept(x) if isinstance(x, Box) else x for x in leaves], structure
