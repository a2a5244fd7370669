"""Memory of the CPU that other code sees: arrays that share it, addresses, storages.

Values of tensors never change, so memory that others can write to is apart from them. A `Memory` is an array of
its own, or the user's, beside the value of a storage. A write to the tensor is copied there at once. Before the
tensor is used the array is compared with the value, bit by bit, as long as somebody else holds it; where they
differ the tensor gets a new value. What was saved for a gradient stays what it was. Views and indices read no
more of the memory than they show.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType, as_dtype
from tabgrad.core.errors import DeviceError, ShapeError, TransformError
from tabgrad.core.lazy_numpy import np
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, wrap
from tabgrad.hosts.devices import Device, device as device_of
from tabgrad.tensor.aliasing import SEVERED, Storage, conjugated, refreshed, root_of
from tabgrad.tensor.creation import filled

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

_CHUNK = 1 << 16
"""The numbers that are compared at once, few enough for the cache."""
UNHELD = 3
"""The references to an array that nobody else has: `array` and `raw` of its memory, and that of the count."""
ELSEWHERE = 1 << 62
"""Added to the numbers that stand for memory of other devices: no address of the CPU is as large."""


def _stored(dtype: DType) -> str:
    return "uint16" if dtype is dt.bfloat16 else dtype.name


class Memory:
    """An array with the elements of a storage, in row-major order.

    `lent` are the arrays that were given out, `pinned` says that somebody knows the address.
    """

    __slots__ = ("array", "lent", "pinned", "raw")

    def __init__(self, array: Any) -> None:
        self.array = array
        self.raw = array.reshape(-1).view(np.uint8)
        self.lent: list[weakref.ref[Any]] = []
        self.pinned = False

    @property
    def address(self) -> int:
        """Where it begins."""
        found: int = self.array.__array_interface__["data"][0]
        return found

    def held(self) -> bool:
        """Whether somebody else could write to it."""
        if self.pinned:
            return True
        self.lent = [r for r in self.lent if r() is not None]
        if self.lent:
            return True
        base = self.array.base
        if base is None:
            return sys.getrefcount(self.array) > UNHELD
        # the array that the user's is part of, to which this variable refers too; or a buffer
        whole = type(base) is np.ndarray and base.base is None
        return not whole or max(sys.getrefcount(base) - 1, sys.getrefcount(self.array) + 1) > UNHELD

    def look(self, storage: Storage) -> None:
        """Give the storage a new value if somebody has written to the memory."""
        held = self.held()
        if not _same(self.raw, storage.value):
            storage.value = self.array.copy()
            storage.version += 1
        if not held:
            # whoever had it may have written to it before letting it go
            storage.memory = None

    def now(self, x: Tensor) -> Tensor:
        """Return a tensor whose value is this memory: for an op whose result is new, or is copied."""
        value = self.window(x)
        if x.spec.dtype is dt.bool_:
            value = value.view(np.uint8) != 0
        return wrap(value, x.spec, x.device)

    def copied(self, value: Any) -> Any:
        """Return a value that is apart from this memory."""
        return np.array(value) if np.may_share_memory(value, self.raw) else value

    def look_at(self, x: Tensor) -> None:
        """Give a view a new value if somebody has written to what it shows."""
        # a copy is made of what is new: to compare takes less
        seen = np.ascontiguousarray(self.now(x).value)
        if not _same(seen.reshape(-1).view(np.uint8), x.value):
            x.value = self.copied(seen)
            x._version += 1

    def store(self, storage: Storage) -> None:
        """Copy the value of the storage, which was written to."""
        if not self.array.flags.writeable:
            # whoever has the array can't see writes, so none are made there
            storage.memory = None
            return
        storage.value = np.ascontiguousarray(storage.value)
        np.copyto(self.array, storage.value)

    def taken(self, storage: Storage, y: Tensor) -> Tensor:
        """Copy `y` here for the storage; return it, with a value that is laid out as the memory is."""
        if y.owner is not None:
            raise TransformError(
                "a tensor that shares memory with an array can't take a value of a transform; clone() it first"
            )
        storage.value = y.value
        self.store(storage)
        made = wrap(storage.value, y.spec, y.device)
        made.tracked, made.node = y.tracked, y.node
        return made

    def window(self, x: Tensor, lend: bool = False) -> Any:
        """Return the array of a tensor's elements in this memory."""
        if not x.spec.size:
            return np.empty(x.spec.shape, _stored(x.spec.dtype))
        steps, offset = x.stride(), x.storage_offset()
        width = x.spec.dtype.itemsize
        # what is made of the buffer has this array as its end, not the one behind it, so that it can be watched
        found = np.ndarray(
            x.spec.shape, _stored(x.spec.dtype), memoryview(self.raw), offset * width,
            tuple([s * width for s in steps]),
        )  # fmt: skip
        if lend:
            self.lent.append(weakref.ref(found))
        return found


def _same(raw: Any, value: Any) -> bool:
    """Whether bytes are those of a value: so -0.0 is not 0.0, and a nan is itself."""
    other = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    if len(raw) != len(other):
        return False
    whole = len(raw) // 8 * 8
    a, b = raw[:whole], other[:whole]
    try:
        a, b = a.view(np.uint64), b.view(np.uint64)
    except ValueError:
        return bool((raw == other).all())
    for k in range(0, len(a), _CHUNK):
        if not (a[k : k + _CHUNK] == b[k : k + _CHUNK]).all():
            return False
    return bool((raw[whole:] == other[whole:]).all())


def on_the_cpu(x: Tensor, what: str) -> Tensor:
    """Return `x`, up to date. Raises for a tensor of another device or of a transform."""
    capture = MODE.get().capture
    if capture is not None:
        capture.refuse(f"asks where memory lies ({what})")
    refreshed(x)
    if x.device.type != "cpu":
        raise DeviceError(f"{what}: memory on {x.device} is not Python's to see; use .cpu()")
    if x.owner is not None:
        raise DeviceError(f"{what}: a tensor of {x.owner.name} has no memory of its own")
    return x


def memory_of(x: Tensor) -> Memory:
    """Return the memory behind a tensor of the CPU, which is real from now on."""
    root = root_of(x)
    if root.alias is None:
        root.alias = Storage(root)
    storage = root.alias
    if storage is SEVERED:
        raise DeviceError(
            "a tensor that was detached inside a transform has no memory; clone() it first"
        )
    if storage.memory is None:
        storage.memory = Memory(np.array(storage.value, order="C", copy=True))
    found: Memory = storage.memory
    return found


def array_of(x: Tensor) -> Any:
    """Return an array that shares memory with a tensor of the CPU.

    Bits of other dtypes that are seen as bools are copied: bytes other than 0 and 1 are no bools to NumPy. So
    are conjugates, which the memory has not.
    """
    if any(conjugated(x)):
        return np.array(refreshed(x).value)
    found = memory_of(x).window(x, lend=True)
    if x.spec.dtype is dt.bool_ and root_of(x).spec.dtype is not dt.bool_:
        return found.view(np.uint8) != 0
    return found


def tensor_of(array: Any) -> Tensor | None:
    """Return a tensor of the CPU that shares memory with an array, or None if it can't.

    Raises ValueError for negative strides, as PyTorch does, and for strides between elements.
    """
    if array.dtype.name not in dt.NAMES or not array.dtype.isnative:
        return None
    dtype, width = dt.by_name(array.dtype.name), array.dtype.itemsize
    if any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are "
            "not currently supported. (You can probably work around this by making a copy of your array with "
            "array.copy().)"
        )
    if any(s % width for s in array.strides) or array.__array_interface__["data"][0] % width:
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
            "reallocate the memory."
        )
    cpu = device_of("cpu")
    if array.flags.c_contiguous:
        return _rooted(array, dtype, cpu)
    if not array.size:
        return filled(array.shape, 0, dtype, cpu)
    steps = tuple([s // width for s in array.strides])
    span = 1 + sum((n - 1) * s for n, s in zip(array.shape, steps, strict=True))
    flat = np.lib.stride_tricks.as_strided(array, (span,), (width,))
    return _rooted(flat, dtype, cpu).as_strided(array.shape, steps, 0).detach()


def shared(data: Any, dtype: DType | None, where: Device) -> Tensor | None:
    """Return a tensor that shares memory with a NumPy array, or None where it must be copied."""
    if (
        where.type != "cpu"
        or not hasattr(data, "__array_interface__")
        or not isinstance(data, np.ndarray)
    ):
        return None
    found = tensor_of(data)
    if found is None or (dtype is not None and found.spec.dtype is not dtype):
        return None
    capture = MODE.get().capture
    if capture is not None:
        capture.refuse("shares memory with an array")
    return found


def _rooted(array: Any, dtype: DType, where: Device) -> Tensor:
    x = wrap(array.copy(), spec(array.shape, dtype), where)
    x.alias = Storage(x)
    x.alias.memory = Memory(array)
    return x


def data_ptr(self: Tensor) -> int:
    """Return the address of the first element; on other devices than the CPU a number that stands for it.

    The memory stays where it is as long as there are tensors that share it, and has their values.
    """
    x = self
    offset = x.storage_offset() * x.spec.dtype.itemsize
    if x.device.type == "meta":
        return 0
    if x.device.type != "cpu" or x.owner is not None:
        capture = MODE.get().capture
        if capture is not None:
            capture.refuse("asks where memory lies (data_ptr)")
        root = root_of(refreshed(x))
        if root.alias is None:
            root.alias = Storage(root)
        return ELSEWHERE + id(root.alias) + offset
    found = memory_of(on_the_cpu(x, "data_ptr"))
    if not x.spec.size:
        return 0
    found.pinned = True
    return found.address + offset


class UntypedStorage:
    """The bytes behind a tensor: those of all its views.

    >>> import tabgrad as tg
    >>> x = tg.arange(4, dtype=tg.uint8, device="cpu")
    >>> x[1:].untyped_storage().tolist()
    [0, 1, 2, 3]
    """

    def __init__(self, size: int | Tensor = 0, *, device: Any = None) -> None:
        if isinstance(size, int):
            where = device_of("cpu" if device is None else device)
            self._row = filled((size,), 0, dt.uint8, where)
        else:
            root = root_of(refreshed(size))
            if root.alias is None:
                root.alias = Storage(root)
            self._row = root.detach()
        self.filename: str | None = None

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """Map a file. With `shared` what is written to the storage is written to the file, made if needed."""
        mode: Any = "c"
        if shared:
            with open(filename, "ab") as file:
                file.truncate(max(file.tell(), nbytes))
            mode = "r+"
        found = tensor_of(np.memmap(filename, np.uint8, mode, shape=(nbytes,)).view(np.ndarray))
        made = cls(found)  # type: ignore[arg-type]
        made.filename = filename if shared else None
        return made

    @property
    def device(self) -> Device:
        """Where the bytes are."""
        return self._row.device

    @property
    def _cdata(self) -> int:
        """A number that is the same for one storage."""
        return id(self._row.alias)

    def data_ptr(self) -> int:
        """Return the address of the first byte."""
        return data_ptr(self._row)

    def nbytes(self) -> int:
        """Return the number of bytes."""
        return self._row.nbytes

    size = __len__ = nbytes

    def element_size(self) -> int:
        """Return 1: the elements are bytes."""
        return 1

    def _bytes(self) -> Tensor:
        return self._row.reshape(-1).view(dt.uint8)

    def tensor(self, dtype: DType) -> Tensor:
        """Return all bytes as a row of this dtype, sharing memory."""
        row = self._row.reshape(-1)
        return (row if row.spec.dtype is dtype else row.view(dtype)).detach()

    def tolist(self) -> list[int]:
        """Return the bytes as numbers."""
        found: list[int] = self._bytes().tolist()
        return found

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            part = UntypedStorage.__new__(UntypedStorage)
            part._row, part.filename = self._bytes()[index], None
            return part
        return int(self._bytes()[index].item())

    def __setitem__(self, index: int | slice, value: int) -> None:
        self._bytes()[index] = value

    def fill_(self, value: int) -> UntypedStorage:
        """Set every byte; return self."""
        self._bytes().fill_(value)
        return self

    def copy_(self, source: UntypedStorage, non_blocking: bool = False) -> UntypedStorage:
        """Copy the bytes of another storage of this size; return self."""
        if source.nbytes() != self.nbytes():
            raise ShapeError(
                f"copy_: a storage of {source.nbytes()} bytes doesn't fit one of {self.nbytes()}"
            )
        self._bytes().copy_(source._bytes())
        return self

    def clone(self) -> UntypedStorage:
        """Return a copy."""
        return UntypedStorage(self._row.clone())

    def cpu(self) -> UntypedStorage:
        """Return the storage on the CPU: itself, or a copy."""
        return self if self.device.type == "cpu" else UntypedStorage(self._row.cpu())

    def is_shared(self) -> bool:
        """Whether other processes see it: a file, or what `share_memory_` has moved."""
        return self.filename is not None or self._row.is_shared()

    def share_memory_(self) -> UntypedStorage:
        """Move the bytes to memory that other processes can have; return self."""
        self._row.share_memory_()
        return self

    def resize_(self, size: int) -> UntypedStorage:
        """Refuse: tensors with this memory would not know."""
        raise NotImplementedError("resize_: a storage keeps its size; make a new tensor")

    def untyped(self) -> UntypedStorage:
        """Return itself."""
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._row.alias is other._row.alias

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}(device={self.device}) of size {len(self)}"


class TypedStorage:
    """The elements behind a tensor: a storage with a dtype."""

    def __init__(self, *, wrap_storage: UntypedStorage, dtype: DType) -> None:
        self._untyped_storage, self.dtype = wrap_storage, as_dtype(dtype)

    def untyped(self) -> UntypedStorage:
        """Return the bytes."""
        return self._untyped_storage

    @property
    def device(self) -> Device:
        """Where the elements are."""
        return self._untyped_storage.device

    def data_ptr(self) -> int:
        """Return the address of the first element."""
        return self._untyped_storage.data_ptr()

    def nbytes(self) -> int:
        """Return the number of bytes."""
        return self._untyped_storage.nbytes()

    def size(self) -> int:
        """Return the number of elements."""
        return self.nbytes() // self.dtype.itemsize

    __len__ = size

    def element_size(self) -> int:
        """Return the bytes of an element."""
        return self.dtype.itemsize

    def tolist(self) -> list[Any]:
        """Return the elements as numbers."""
        found: list[Any] = self._untyped_storage.tensor(self.dtype).tolist()
        return found

    def __getitem__(self, index: int) -> Any:
        return self._untyped_storage.tensor(self.dtype)[index].item()

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._untyped_storage.tensor(self.dtype)[index] = value


def untyped_storage(self: Tensor) -> UntypedStorage:
    """Return the bytes behind the tensor, which all its views share."""
    return UntypedStorage(self)


def storage(self: Tensor) -> TypedStorage:
    """Return the elements behind the tensor, which all its views share."""
    return TypedStorage(wrap_storage=UntypedStorage(self), dtype=self.spec.dtype)


class MemoryMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    data_ptr = data_ptr
    storage = storage
    untyped_storage = untyped_storage


__all__ = ["TypedStorage", "UntypedStorage"]
