"""Reading values back: numbers, lists, arrays, each with an awaitable twin."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import GradientError, ShapeError, TransformError
from tabgrad.core.lazy_numpy import np
from tabgrad.core.trace import MODE
from tabgrad.tensor import literals
from tabgrad.tensor.aliasing import refreshed
from tabgrad.tensor.fronts import memory
from tabgrad.transforms.vmap import Batch

if TYPE_CHECKING:
    from tabgrad.core.spec import Spec
    from tabgrad.tensor import Tensor


def concrete(x: Tensor, what: str) -> Tensor:
    """Return the base tensor with the value of `x`; raise where it has no single value.

    That is inside vmap, where there is one for each element of the batch. A call that is being compiled
    goes on without that: the read would not happen again at a replay.
    """
    capture = MODE.get().capture
    if capture is not None:
        if x.device.type == "cpu":
            capture.refuse(f"reads a value ({what}) of a tensor of the CPU")
        else:
            capture.read(what)
    return lowered(x, what)


def lowered(x: Tensor, what: str) -> Tensor:
    """Return the base tensor with the value of `x`, not to be read by the program itself."""
    refreshed(x)
    while x.owner is not None:
        owner = x.owner
        if isinstance(owner, Batch) or not hasattr(owner, "lower"):
            raise TransformError(
                f"{what}: inside {owner.name} a tensor has no single value to read; "
                "return it from the function, or use where() instead of a Python decision"
            )
        x = owner.lower(x)
    return x


def data(x: Tensor, what: str) -> Any:
    """Return the row-major bytes of `x`, waiting for them."""
    x = concrete(x, what)
    return x.device.backend.read(x.value, x.spec)


def begin_data(x: Tensor, what: str) -> Callable[[], Any]:
    """Ask for the row-major bytes of `x` as it is now; the result, called once, waits for them."""
    x = concrete(x, what)
    return x.device.backend.begin_read(x.value, x.spec)


async def data_async(x: Tensor, what: str) -> Any:
    """Return the row-major bytes of `x`, awaiting them."""
    x = concrete(x, what)
    return await x.device.backend.read_async(x.value, x.spec)


def _check_one(x: Tensor) -> None:
    if x.spec.size != 1:
        raise ShapeError(
            "only one element tensors can be converted to Python scalars: "
            f"a Tensor with {x.spec.size} elements cannot be converted to Scalar"
        )


def item(self: Tensor) -> Any:
    """Return the only element as a Python number; waits for it. RuntimeError where there are more.

    In a browser that can't wait: `await x.item_async()`.
    """
    _check_one(self)
    return literals.decode(data(self, "item"), self.spec.dtype)[0]


async def item_async(self: Tensor) -> Any:
    """Return what `item` returns, awaiting it: works everywhere."""
    _check_one(self)
    return literals.decode(await data_async(self, "item_async"), self.spec.dtype)[0]


def tolist(self: Tensor) -> Any:
    """Return the elements as nested lists of Python numbers, or one number for a 0-d tensor.

    >>> import tabgrad as tg
    >>> tg.tensor([[1, 2], [3, 4]], device="cpu").tolist()
    [[1, 2], [3, 4]]
    """
    return _nested(data(self, "tolist"), self.spec)


async def tolist_async(self: Tensor) -> Any:
    """Return what `tolist` returns, awaiting it: works everywhere."""
    return _nested(await data_async(self, "tolist_async"), self.spec)


def _nested(found: Any, s: Spec) -> Any:
    return literals.nest(literals.decode(found, s.dtype), s.shape)


def _check_array(x: Tensor, force: bool) -> None:
    if x.spec.dtype is dt.bfloat16:
        raise TypeError(
            "Got unsupported ScalarType BFloat16: NumPy has no bfloat16; use tensor.float().numpy()"
        )
    if x.tracked and not force:
        raise GradientError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """Return the elements as a NumPy array; waits for them.

    On the CPU it shares memory with the tensor: what is written to either is seen in both. From other devices
    it is a copy. A tensor that requires gradients must be detached first, unless `force`. NumPy has no
    bfloat16: TypeError.
    """
    _check_array(self, force)
    x = concrete(self, "numpy")
    if x is self and x.device.type == "cpu":
        return memory().array_of(x)
    return _array(x.device.backend.read(x.value, x.spec), x.spec)


async def numpy_async(self: Tensor, *, force: bool = False) -> Any:
    """Return what `numpy` returns, awaiting it: works everywhere."""
    _check_array(self, force)
    return _array(await data_async(self, "numpy_async"), self.spec)


def _array(found: Any, s: Spec) -> Any:
    return np.frombuffer(bytearray(found), s.dtype.name).reshape(s.shape)


def to_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """Return the elements as a NumPy array: what numpy.asarray(x) calls."""
    a = numpy(self)
    return np.array(a, dtype, copy=copy) if copy or dtype is not None else a


def to_bool(self: Tensor) -> builtins.bool:
    """Return whether the only element is nonzero; reads it."""
    n = self.spec.size
    if n != 1:
        many = "no values" if not n else "more than one value"
        raise ShapeError(f"Boolean value of Tensor with {many} is ambiguous")
    return builtins.bool(item(self))


def to_int(self: Tensor) -> builtins.int:
    """Return the only element as an int; reads it."""
    return builtins.int(item(self))


def to_float(self: Tensor) -> builtins.float:
    """Return the only element as a float; reads it."""
    return builtins.float(item(self))


def to_complex(self: Tensor) -> builtins.complex:
    """Return the only element as a complex number; reads it."""
    return builtins.complex(item(self))


def to_index(self: Tensor) -> builtins.int:
    """Return the only element of an integer tensor as an int; reads it."""
    if self.spec.size != 1 or self.spec.dtype.category > dt.INT:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return builtins.int(item(self))


class ReadingMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    item = item
    item_async = item_async
    numpy = numpy
    numpy_async = numpy_async
    tolist = tolist
    tolist_async = tolist_async


__all__ = []
