"""Where tensors lie: side by side in one buffer before the first step, as later steps find them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tabgrad.core.capture import adopt
from tabgrad.core.errors import DeviceLostError, LostValueError, OutOfMemoryError
from tabgrad.core.trace import MODE, using, wrap
from tabgrad.tensor.aliasing import View, refreshed, replace
from tabgrad.tensor.vectors import alike, parts

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.tensor import Tensor


def move(x: Tensor, value: Any) -> None:
    """Give `x` the same value at another place; its siblings follow, and it counts as no write."""
    version = x._version
    replace(x, value)
    x._version = version
    if x.alias is not None and hasattr(x.alias, "version"):
        x.alias.version = version


def fill_buffers(*state: Tensor | None) -> None:
    """Give new state buffers where it is constant: a plan that reads constants is not that of later steps."""
    for x in state:
        recorder = None if x is None or x.owner is not None else x.device.recorder
        if x is not None and recorder is not None:
            value = refreshed(x).value
            if value.graph is recorder.graph and recorder.graph.op[value.id] is not None:
                made = recorder.own_buffer(value)
                if made is not None:
                    move(x, made)
                    adopt(x)


def joined_copy(tensors: list[Tensor]) -> Tensor | None:
    """Return new state, a copy of tensors of one dtype and device as one vector in a buffer; None if that
    can't be."""
    device = tensors[0].device
    if any(x.owner is not None or x._parts is not None for x in tensors):
        return None
    backend: Any = device.recorder
    found = backend.side_by_side([refreshed(x).value for x in tensors])
    if found is None:
        return None
    value, its = found
    x = wrap(value, its, device)
    adopt(x)
    return x


def place_together(tensors: Iterable[Tensor]) -> None:
    """Move tensors of one dtype and device side by side, so that the first step on them has the kernels of all
    others.

    Tensors that can't be moved, or for which there is no memory, stay where they are.
    """
    if MODE.get().capture is not None or MODE.get().levels:
        return
    free = [x for x in tensors if x.owner is None and x.requires_grad and _own(x)]
    for members in alike(free):
        backend = members[0].device.recorder
        if backend is not None:
            try:
                _place(members, backend)
            except (OutOfMemoryError, LostValueError, DeviceLostError):
                continue  # whoever uses them will meet it


def _own(x: Any) -> bool:
    """Whether all of the tensor's memory is its own."""
    return x._parts is None and x.alias.__class__ is not View and x.spec.size > 0


def _place(members: list[Tensor], backend: DeviceBackend) -> None:
    with backend.lock:
        backend.advance()
        found = backend.side_by_side([refreshed(x).value for x in members])
        if found is None:
            return
        value, spec = found
        with using(MODE.get().replace(grad=False)):
            pieces = parts(wrap(value, spec, members[0].device), [x.spec.shape for x in members])
        backend.remember(members, replace)
        for x, piece in zip(members, pieces, strict=True):
            move(x, piece.value)
