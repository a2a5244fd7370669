"""The bytes behind tensors in a file of PyTorch's, and the tensors that show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.errors import FileFormatError
from tabgrad.core.shape import MOST_AXES, MOST_BYTES, size, strides as row_major
from tabgrad.core.spec import spec
from tabgrad.core.trace import wrap
from tabgrad.hosts.devices import Device
from tabgrad.tensor import literals
from tabgrad.tensor.creation import upload

Place = str | tg.Device | dict[str, Any] | Callable[[Any, str], Any] | None
"""What `load` takes as `map_location`."""
MOST_REPEATS = 16
"""How many times as large as its storage a tensor of overlapping windows may be."""

KINDS = {
    "BoolStorage": dt.bool_, "ByteStorage": dt.uint8, "CharStorage": dt.int8, "ShortStorage": dt.int16,
    "IntStorage": dt.int32, "LongStorage": dt.int64, "HalfStorage": dt.float16,
    "BFloat16Storage": dt.bfloat16, "FloatStorage": dt.float32, "DoubleStorage": dt.float64,
    "ComplexFloatStorage": dt.complex64, "ComplexDoubleStorage": dt.complex128,
}  # fmt: skip
"""The dtypes by the names that PyTorch gives to typed storages in files."""
NAMES = {d: name for name, d in KINDS.items()}


class Kind:
    """The type of a storage in a file; `dtype` is None for one of bytes."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: dt.DType | None) -> None:
        self.dtype = dtype


class Stored:
    """A storage in a file: its bytes, its dtype if it has one, and the device that its tensors go to."""

    __slots__ = ("adopts", "dtype", "raw", "root", "source", "where")

    def __init__(
        self, raw: memoryview, dtype: dt.DType | None, where: Device, adopts: bool, source: str
    ) -> None:
        self.raw, self.dtype, self.where, self.adopts = raw, dtype, where, adopts
        self.source = source
        self.root: Any = None
        """The tensor of all elements: a row of them, or the first tensor if it shows them in order."""

    def tensor(self, dtype: dt.DType, offset: Any, sizes: Any, steps: Any) -> tg.Tensor:
        """Return the tensor of these sizes and strides. Tensors of one storage share their memory."""
        count = len(self.raw) // dtype.itemsize
        self._check(dtype, offset, sizes, steps, count)
        if self.root is None:
            whole = size(sizes) == count and offset == 0 and steps == row_major(sizes)
            self.root = self._uploaded(dtype, sizes if whole else (count,))
            if whole:
                found: tg.Tensor = self.root.detach()
                return found
        elif self.root.dtype is not self.where.canonical(dtype):
            raise FileFormatError(
                f"a tensor of {dtype} is in a storage whose other tensors are of {self.root.dtype}"
            )
        if not size(sizes):
            return upload(b"", sizes, self.root.dtype, self.where)
        short = [(n, s) for n, s in zip(sizes, steps, strict=True) if s]
        found = self.root.detach().as_strided([n for n, _ in short], [s for _, s in short], offset)
        if len(short) < len(sizes):
            shape = [n if s else 1 for n, s in zip(sizes, steps, strict=True)]
            found = found.view(shape).expand(sizes)
        return found.detach()

    def _check(self, dtype: dt.DType, offset: Any, sizes: Any, steps: Any, count: int) -> None:
        whole = [type(n) is int and n >= 0 for n in (offset, *sizes, *steps)]
        if not all(whole) or len(sizes) != len(steps):
            raise FileFormatError(f"a tensor has sizes {sizes!r:.80}, strides {steps!r:.80}")
        if (
            len(sizes) > MOST_AXES
            or dtype.itemsize * size(tuple([max(n, 1) for n in sizes])) >= MOST_BYTES
        ):
            raise FileFormatError(f"a tensor of sizes {sizes!r:.80} is too large")
        if not size(sizes):
            return
        last = offset + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
        if last >= count:
            raise FileFormatError(
                f"a tensor of sizes {sizes}, strides {steps} and offset {offset} is not within its storage of "
                f"{count} elements"
            )
        shown = size(tuple([n for n, s in zip(sizes, steps, strict=True) if s]))
        if shown > MOST_REPEATS * count:
            raise FileFormatError(
                f"a tensor of {shown} elements repeats those of its storage of {count} more than "
                f"{MOST_REPEATS} times"
            )

    def _uploaded(self, dtype: dt.DType, shape: tuple[int, ...]) -> tg.Tensor:
        raw, target = self.raw, self.where.canonical(dtype)
        if dtype is dt.bool_ and bytes(raw).translate(None, b"\0\1"):
            raise FileFormatError("a bool must be 0 or 1")
        if target is not dtype:
            return upload(
                literals.encode(literals.decode(raw, dtype), target), shape, target, self.where
            )
        s = spec(shape, dtype)
        if self.adopts:
            return wrap(self.where.backend.adopt(raw, s), s, self.where)
        return upload(raw if self.where.type == "cpu" else bytes(raw), shape, dtype, self.where)

    # What functions given as `map_location` do with a storage

    @property
    def device(self) -> Device:
        """The device that tensors go to."""
        return self.where

    def cpu(self) -> Stored:
        """Move it to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Stored:
        """Move it to a GPU."""
        return self.to("cuda" if device is None else device)

    def to(self, device: Any = None, *, non_blocking: bool = False) -> Stored:
        """Move it to a device."""
        self.where = tg.device(f"cuda:{device}" if type(device) is int else device).place
        return self


def storage_facts(told: Any) -> tuple[Kind, str, str, int]:
    """Return type, key, place and number of elements of a storage that a pickle refers to."""
    if not isinstance(told, tuple) or len(told) < 5 or told[0] != "storage":
        raise FileFormatError("the pickle refers to what is no storage")
    _, kind, key, source, count = told[:5]
    if (
        type(kind) is not Kind
        or type(key) is not str
        or type(source) is not str
        or type(count) is not int
    ):
        raise FileFormatError("the pickle refers to a storage without type, key, place or size")
    if "/" in key or count < 0:
        raise FileFormatError(f"the pickle refers to a storage {key!r:.40}")
    return kind, key, source, count


def places(map_location: Any) -> Callable[[Stored, str], None]:
    """Return what puts a storage, which a file says was at a place, on a device as `map_location` says."""
    if map_location is None:
        return lambda stored, source: None
    if isinstance(map_location, dict):
        table = {str(k): tg.device(v).place for k, v in map_location.items()}

        def listed(stored: Stored, source: str) -> None:
            stored.where = table.get(source, stored.where)

        return listed
    if isinstance(map_location, str | Device):
        where = tg.device(map_location).place

        def moved(stored: Stored, source: str) -> None:
            stored.where = where

        return moved
    if not callable(map_location):
        raise TypeError(
            "load: map_location must be a device, its name, a dict of places or a function, got "
            f"{type(map_location).__name__}"
        )

    def asked(stored: Stored, source: str) -> None:
        default, stored.where = stored.where, tg.device("cpu")
        found = map_location(stored, source)
        if found is None:
            stored.where = default
        elif found is not stored:
            raise TypeError(
                f"load: map_location must return the storage, moved, or None, got {type(found).__name__}"
            )

    return asked
