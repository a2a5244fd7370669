"""Memory of the CPU that processes share: `share_memory_`, and how such tensors travel between processes.

The elements lie in a mapped file without a name, which the system frees when the last process lets it go. It
is a `Memory` that is always held: each use of a tensor compares it with the value. A write stores only the
elements that it changed, so that processes which write to different ones don't undo each other's writes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import GradientError
from tabgrad.core.lazy_numpy import np
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, wrap
from tabgrad.hosts.devices import device as device_of
from tabgrad.tensor.aliasing import Storage, refreshed, root_of
from tabgrad.tensor.memory import Memory, memory_of, on_the_cpu
from tabgrad.transforms.node import is_leaf

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class Shared(Memory):
    """A memory that other processes have, too: `descriptor` is its file, `seen` what it last held here."""

    __slots__ = ("__weakref__", "descriptor", "seen")

    def __init__(self, descriptor: int, shape: tuple[int, ...], name: str) -> None:
        import mmap

        size = max(os.fstat(descriptor).st_size, 1)
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(mmap.mmap(descriptor, size), name, count).reshape(shape)
        super().__init__(array)
        self.pinned = True
        self.descriptor = descriptor
        self.seen = array.copy()
        weakref.finalize(self, os.close, descriptor)

    def look(self, storage: Storage) -> None:
        """Give the storage a new value if another process has written to the memory."""
        super().look(storage)
        self.seen = storage.value

    def store(self, storage: Storage) -> None:
        """Copy the elements that a write has changed."""
        new = storage.value = np.ascontiguousarray(storage.value)
        array, after, before = (_bits(a) for a in (self.array, new, self.seen))
        np.copyto(array, after, where=after != before)
        self.seen = new


def _bits(array: Any) -> Any:
    width = min(array.dtype.itemsize, 8)
    return np.ascontiguousarray(array).reshape(-1).view(f"u{width}")


def _file(size: int) -> int:
    """Return the descriptor of a file without a name."""
    if hasattr(os, "memfd_create"):
        found: int = os.memfd_create("tabgrad", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            found = os.dup(file.fileno())
    os.ftruncate(found, max(size, 1))
    return found


def share_memory_(self: Tensor) -> Tensor:
    """Move the elements of a tensor of the CPU to memory that other processes can have, too; return self.

    A process that is forked, or is sent the tensor as an argument or through a queue of `multiprocessing`,
    then has the same elements: what one writes all see. Views of the tensor are shared with it; arrays that
    `numpy()` gave before are not. Gradients stay apart. NotImplementedError on other devices, in a browser and
    on Windows.

    >>> import tabgrad as tg
    >>> x = tg.zeros(3, device="cpu").share_memory_()
    >>> x.is_shared()
    True
    """
    if sys.platform in ("emscripten", "win32") or self.device.type != "cpu":
        where = sys.platform if self.device.type == "cpu" else self.device
        raise NotImplementedError(
            f"share_memory_: processes can't share tensors on {where}; share one on the CPU, on Linux or macOS"
        )
    root = root_of(on_the_cpu(self, "share_memory_"))
    memory = memory_of(root)
    if not isinstance(memory, Shared):
        array = memory.array
        shared = Shared(_file(array.nbytes), array.shape, array.dtype.name)
        shared.array[...] = array
        shared.seen = root.alias.value
        root.alias.memory = shared
    _register()
    return self


def is_shared(self: Tensor) -> bool:
    """Return whether other processes can have the elements: after `share_memory_`."""
    return shared_memory(self) is not None


def shared_memory(x: Tensor) -> Shared | None:
    """Return the memory of a tensor if processes share it."""
    its = root_of(x).alias
    memory = its.memory if its.__class__ is Storage else None
    return memory if isinstance(memory, Shared) else None


_KNOWN: set[type] = set()


def _register() -> None:
    """Let `multiprocessing` send shared tensors of all classes as what they are."""
    from multiprocessing.reduction import ForkingPickler

    kinds: list[type] = [*Box.__subclasses__()]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind not in _KNOWN:
            _KNOWN.add(kind)
            ForkingPickler.register(kind, _reduced)


def _reduced(x: Any) -> Any:
    """Say how `multiprocessing` sends a tensor: a shared one by its file, any other as `pickle` does."""
    memory = None if x._parts is not None or x.owner is not None else shared_memory(refreshed(x))
    if memory is None:
        return x.__reduce_ex__(4)
    if x.tracked and not is_leaf(x):
        raise GradientError(
            "a tensor with a history can't be sent to another process, which autograd does not reach; "
            "send x.detach()"
        )
    from multiprocessing.reduction import DupFd

    root = root_of(x)
    whole = root.spec.shape, root.spec.dtype.name
    part = None if root is x else (x.spec.dtype.name, x.spec.shape, x.stride(), x.storage_offset())
    parts = type(x), DupFd(memory.descriptor), whole, part, x.tracked
    return (_rebuilt, parts, x.__dict__) if x.__dict__ else (_rebuilt, parts)


def _rebuilt(kind: type[Any], file: Any, whole: Any, part: Any, tracked: bool) -> Any:
    """Return the tensor that another process has sent."""
    shape, dtype = whole[0], dt.by_name(whole[1])
    try:
        descriptor = file.detach()
    except (EOFError, OSError) as error:
        raise ConnectionError(
            "a shared tensor was received after the process that sent it had ended; let that one wait until "
            "it has arrived"
        ) from error
    memory = Shared(descriptor, shape, "uint16" if dtype is dt.bfloat16 else dtype.name)
    x: Any = wrap(memory.seen, spec(shape, dtype), device_of("cpu"))
    x.alias = Storage(x)
    x.alias.memory = memory
    if part is not None:
        bits, sizes, strides, offset = part
        row = x.reshape(-1)
        row = row if dt.by_name(bits) is dtype else row.view(dt.by_name(bits))
        x = row.as_strided(sizes, strides, offset).detach()
    x.__class__ = kind
    x.tracked = tracked
    _register()
    return x


class SharingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    is_shared = is_shared
    share_memory_ = share_memory_


__all__: list[str] = []
