"""A way back after a device was lost: states kept on the host."""

from __future__ import annotations

from typing import Any

from tabgrad.core import tree
from tabgrad.core.trace import Box
from tabgrad.random import get_rng_state, set_rng_state

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
        self.states, self.random = [_on_host(o.state_dict()) for o in self.objects], get_rng_state()

    def restore(self) -> None:
        """Load the states of the last copy into the objects."""
        for o, state in zip(self.objects, self.states, strict=True):
            o.load_state_dict(_on_host(state))
        set_rng_state(self.random)


def _on_host(state: Any) -> Any:
    """Return a copy of nested dicts and lists whose tensors are on the CPU."""
    leaves, structure = tree.flatten(state)
    return tree.unflatten(structure, [_copied(x) for x in leaves])


def _copied(x: Any) -> Any:
    return x.detach().clone().cpu() if isinstance(x, Box) else x  # type: ignore[attr-defined]
