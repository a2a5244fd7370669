"""Tensors from numbers, lists, buffers and arrays, and filled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.lazy_numpy import np
from tabgrad.core.scalars import NUMBER, fits, number
from tabgrad.core.spec import Spec, spec
from tabgrad.core.trace import MODE, Box, operand, wrap
from tabgrad.hosts.devices import Device, device as device_of, get_default_device
from tabgrad.ops import elementwise, view as views
from tabgrad.tensor import literals
from tabgrad.tensor.aliasing import present
from tabgrad.tensor.arguments import sizes
from tabgrad.tensor.fronts import memory
from tabgrad.tensor.layout import check_layout, layout as Layout
from tabgrad.tensor.public import fills_out

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.layout import memory_format as MemoryFormat
    from tabgrad.tensor.types import DeviceLike, Dims, Number


def place(device: DeviceLike | None, layout: Layout | None = None) -> Device:
    """Return the device of this name, or the default one for None. Raises for an unknown layout."""
    if layout is not None:
        check_layout(layout)
    return get_default_device() if device is None else device_of(device)


def placed(
    dtype: DType | None, device: DeviceLike | None, layout: Layout | None
) -> tuple[Device, DType]:
    """Return the device that `place` gives, and what it has for `dtype`, the default one if None."""
    where = place(device, layout)
    return where, where.canonical(dtype or dt.get_default_dtype(), dtype is not None)


def require(x: Tensor, requires_grad: bool) -> Tensor:
    """Set `requires_grad` of the new tensor `x` if asked for, and return it."""
    if requires_grad:
        x.requires_grad = True
    return x


def upload(data: Any, shape: tuple[int, ...], dtype: DType, where: Device) -> Tensor:
    """Return a tensor of the row-major bytes `data`."""
    s = spec(shape, dtype)
    return wrap(where.backend.upload(data, s), s, where)


def tensor(
    data: Any, *, dtype: DType | None = None, device: DeviceLike | None = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return a new tensor that holds a copy of `data`.

    `data` is a number, nested sequences of numbers or 0-d tensors, a tensor, a NumPy array, or anything
    with a buffer. Python floats become the default dtype, ints int64. Raises ValueError for ragged
    nesting and OverflowError for an integer that does not fit.

    >>> import tabgrad as tg
    >>> tg.tensor([[1, 2], [3, 4]], device="cpu")
    tensor([[1, 2],
            [3, 4]])
    """
    if isinstance(data, Box):
        source: Any = data
        out = present(source.detach().to(device=device, dtype=dtype), "tensor")
        return require(wrap(out.value, out.spec, out.device, out.owner), requires_grad)
    return require(_new(data, dtype, place(device)), requires_grad)


def _new(data: Any, dtype: DType | None, where: Device) -> Tensor:
    asked = dtype is not None
    if type(data) in NUMBER:
        target = where.canonical(dtype or dt.scalar_dtype(data), asked)
        return upload(literals.encode([data], target), (), target, where)
    if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        return from_array(data, dtype, where)
    if type(data) in (list, tuple) and _are_arrays(data):
        return from_array(np.stack(data), dtype, where)
    if not literals.is_nested(data) or isinstance(data, memoryview) or hasattr(data, "typecode"):
        if isinstance(data, NUMBER):
            return _new(plain(data), dtype, where)
        return from_buffer(data, dtype, where)
    shape, leaves = literals.flatten(data)
    if any(isinstance(x, Box) and x.spec.size != 1 for x in leaves):
        raise ValueError(
            "only one element tensors can be converted to Python scalars; use stack(...)"
        )
    numbers = leaves
    found = dtype
    if not literals.all_numbers(leaves):
        numbers = [x if type(x) in NUMBER else plain(x) for x in leaves]
        found = dtype or _of_typed(leaves)
    target = where.canonical(found or literals.number_dtype(numbers), asked)
    return upload(literals.encode(numbers, target), shape, target, where)


def _are_arrays(data: Any) -> bool:
    """Whether `data` is a sequence of NumPy arrays of one dtype and shape."""
    first = data[0] if data else None
    shape, dtype = getattr(first, "shape", ()), getattr(first, "dtype", None)
    return (
        hasattr(first, "__array_interface__")
        and bool(shape)
        and all(
            hasattr(x, "__array_interface__") and x.shape == shape and x.dtype == dtype
            for x in data
        )
    )


def _of_typed(leaves: list[Any]) -> DType:
    """Return the dtype of numbers some of which, tensors or NumPy's, have one of their own."""
    found = None
    for x in leaves:
        name = x.spec.dtype.name if isinstance(x, Box) else str(getattr(x, "dtype", ""))
        own = dt.by_name(name) if name in dt.NAMES else dt.scalar_dtype(plain(x))
        found = own if found is None else dt.promote(found, own)
    return found or dt.get_default_dtype()


def plain(x: Any) -> Any:
    """Return an element of a nested list as a Python number."""
    if isinstance(x, bool):
        return bool(x)
    for kind in (int, float, complex):
        if isinstance(x, kind):
            return kind(x)  # type: ignore[arg-type]
    if isinstance(x, str | bytes):
        raise TypeError(
            f"new(): invalid data type '{type(x).__name__}': expected numbers in the nested sequence"
        )
    if not hasattr(x, "item"):
        raise DTypeError(
            f"Could not infer dtype of {type(x).__name__}: expected numbers in the nested sequence"
        )
    return number("tensor", x)


def from_array(data: Any, dtype: DType | None, where: Device) -> Tensor:
    """Return a tensor with a copy of a NumPy array's elements."""
    y = _of_array(data, dtype, where)
    capture = MODE.get().capture
    if capture is not None:
        capture.uploaded(data, y, lambda again: _of_array(again, dtype, where))
    return y


def _of_array(data: Any, dtype: DType | None, where: Device) -> Tensor:
    a = np.asarray(data)
    if a.dtype.name not in dt.NAMES:
        raise DTypeError(
            f"tensor: an array of dtype {a.dtype.name} has no tabgrad dtype; "
            f"there are {', '.join(dt.NAMES)}"
        )
    target = where.canonical(dtype or dt.by_name(a.dtype.name), dtype is not None)
    if target is dt.bfloat16:
        return upload(literals.encode(a.ravel().tolist(), target), a.shape, target, where)
    if dtype is None and a.dtype.kind in "iu" and target.category == dt.INT and a.size:
        # a number that the device's dtype can't hold raises; an integer dtype that was asked for wraps
        fits("tensor", a.min().item(), target)
        fits("tensor", a.max().item(), target)
    if a.dtype.kind == "c" and not target.is_complex:
        a = a.real
    with np.errstate(all="ignore"):
        a = a.astype(target.name)
    return upload(a.tobytes(), a.shape, target, where)


def from_buffer(data: Any, dtype: DType | None, where: Device) -> Tensor:
    """Return a tensor with a copy of a buffer's elements; its format gives dtype and shape."""
    try:
        view = memoryview(data)
    except TypeError:
        start = "new(): invalid data type 'str'" if isinstance(data, str) else ""
        raise DTypeError(
            f"{start or f'Could not infer dtype of {type(data).__name__}'}: "
            "expected a number, nested sequences, an array or a buffer"
        ) from None
    found = literals.buffer_dtype(view)
    target = where.canonical(dtype or found, dtype is not None)
    raw = view.tobytes()
    if target is not found:
        raw = literals.encode(literals.decode(raw, found), target)
    return upload(raw, tuple(view.shape or ()), target, where)


def as_tensor(data: Any, dtype: DType | None = None, device: DeviceLike | None = None) -> Tensor:
    """Return `data` as a tensor: a tensor of this dtype and device is returned itself.

    A NumPy array of this dtype shares memory with the tensor if that is on the CPU.

    >>> import tabgrad as tg
    >>> x = tg.tensor([1.0], device="cpu")
    >>> tg.as_tensor(x) is x
    True
    """
    if isinstance(data, Box):
        source: Any = data
        return source.to(device=device, dtype=dtype)
    shared = memory().shared(data, dtype, place(device))
    return tensor(data, dtype=dtype, device=device) if shared is None else shared


def asarray(
    obj: Any, *, dtype: DType | None = None, device: DeviceLike | None = None,
    copy: bool | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return `obj` as a tensor, copied if `copy` is true.

    Otherwise a tensor is returned itself, and a NumPy array or a storage shares memory with one on the CPU.
    ValueError for what can only be copied if `copy` is false.
    """
    if hasattr(obj, "untyped"):
        obj = obj.untyped().tensor(dtype or dt.get_default_dtype())
    if not copy:
        found = as_tensor(obj, dtype, device)
        where = place(device) if device is not None else found.device
        if copy is False and not (found is obj or memory().shared(obj, dtype, where) is not None):
            raise ValueError(
                "asarray: this can only be copied to the dtype and device, but copy is False"
            )
        return require(found, requires_grad)
    return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """Return a tensor of a NumPy array's elements, on the default device.

    On the CPU it shares memory with the array: what is written to either is seen in both. While the array is
    held elsewhere it is compared with the tensor at each use; for a large one that nobody writes to, a
    `clone()` is faster.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    shared = memory().shared(ndarray, None, get_default_device())
    return from_array(ndarray, None, get_default_device()) if shared is None else shared


def frombuffer(
    buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """Return a 1-d tensor of `count` elements (-1: all) of the bytes of `buffer` from `offset` on.

    On the CPU it shares memory with the buffer.

    >>> import tabgrad as tg
    >>> tg.frombuffer(b"abc", dtype=tg.uint8).tolist()
    [97, 98, 99]
    """
    dtype = dt.as_dtype(dtype)
    raw = memoryview(buffer).cast("B")[offset:]
    n = len(raw) // dtype.itemsize if count < 0 else count
    if n * dtype.itemsize > len(raw):
        raise ValueError(f"frombuffer: {n} elements of {dtype!r} need {n * dtype.itemsize} bytes, "
                         f"there are {len(raw)}")  # fmt: skip
    where = get_default_device()
    if where.type == "cpu" and dtype is not dt.bfloat16:
        array = np.frombuffer(buffer, dtype.name, n, offset)
        shared = memory().shared(array, None, where)
        if shared is not None:
            return require(shared, requires_grad)
    target = where.canonical(dtype, True)
    data = bytes(raw[: n * dtype.itemsize])
    if target is not dtype:
        data = literals.encode(literals.decode(data, dtype), target)
    return require(upload(data, (n,), target, where), requires_grad)


# -- filled ----------------------------------------------------------------------------------------


def filled(shape: tuple[int, ...], value: Number, dtype: DType, where: Device) -> Tensor:
    """Return a tensor of `shape` filled with a Python number that `dtype` holds."""
    s: Spec = spec(shape, dtype)
    # wrapped again: constants are remembered and shared, but a user can write to this tensor
    return wrap(operand(value, s, where).value, s, where)


def _filled(
    name: str, args: tuple[Dims, ...], size: Dims | None, value: float, dtype: DType | None,
    device: DeviceLike | None, grad: bool, layout: Layout | None,
) -> Tensor:  # fmt: skip
    where, target = placed(dtype, device, layout)
    return require(filled(sizes(name, args, size), fits(name, value, target), target, where), grad)


@fills_out
def zeros(
    *args: Dims, size: Dims | None = None, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return zeros of this size; the dtype is the default one if none is given.

    >>> import tabgrad as tg
    >>> tg.zeros(2, 3, device="cpu")
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return _filled("zeros", args, size, 0.0, dtype, device, requires_grad, layout)


@fills_out
def ones(
    *args: Dims, size: Dims | None = None, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return ones of this size; the dtype is the default one if none is given."""
    return _filled("ones", args, size, 1.0, dtype, device, requires_grad, layout)


@fills_out
def empty(
    *args: Dims, size: Dims | None = None, memory_format: MemoryFormat | None = None,
    dtype: DType | None = None, layout: Layout | None = None, device: DeviceLike | None = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor of this size whose values mean nothing; here they are zeros."""
    return _filled("empty", args, size, 0.0, dtype, device, requires_grad, layout)


@fills_out
def full(
    size: Dims, fill_value: Tensor | Number, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor of this size filled with `fill_value`, whose type gives the dtype.

    >>> import tabgrad as tg
    >>> tg.full((2,), 7, device="cpu")
    tensor([7, 7])
    """
    shape = sizes("full", (size,))
    where = place(device, layout)
    if isinstance(fill_value, Box):
        return require(_full_of(shape, fill_value, dtype, device), requires_grad)
    value = number("full", fill_value)
    target = where.canonical(dtype or dt.scalar_dtype(value), dtype is not None)
    return require(filled(shape, fits("full", value, target), target, where), requires_grad)


def _full_of(
    shape: tuple[int, ...], value: Tensor, dtype: DType | None, device: DeviceLike | None
) -> Tensor:
    if value.spec.shape:
        raise ShapeError(f"full: expected a number or a 0-d tensor, got shape {value.spec.shape}")
    value = value.detach().to(device=device, dtype=dtype)
    return elementwise.copy.bind(views.expand.bind(value, shape=shape))


def like(
    input: Tensor, value: float, dtype: DType | None, device: DeviceLike | None,
    requires_grad: bool, layout: Layout | None = None,
) -> Tensor:  # fmt: skip
    """Return a tensor like `input` filled with `value`; `dtype` and `device` replace those of `input`."""
    check_layout(layout)
    s = input.spec
    where = input.device if device is None else device_of(device)
    target = where.canonical(s.dtype if dtype is None else dtype, dtype is not None)
    return require(filled(s.shape, fits("full_like", value, target), target, where), requires_grad)


def zeros_like(
    input: Tensor, *, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
    memory_format: MemoryFormat | None = None,
) -> Tensor:  # fmt: skip
    """Return zeros of the shape of `input`, by default also of its dtype and device."""
    return like(input, 0, dtype, device, requires_grad, layout)


def ones_like(
    input: Tensor, *, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
    memory_format: MemoryFormat | None = None,
) -> Tensor:  # fmt: skip
    """Return ones of the shape of `input`, by default also of its dtype and device."""
    return like(input, 1, dtype, device, requires_grad, layout)


def empty_like(
    input: Tensor, *, dtype: DType | None = None, layout: Layout | None = None,
    device: DeviceLike | None = None, pin_memory: bool = False, requires_grad: bool = False,
    memory_format: MemoryFormat | None = None,
) -> Tensor:  # fmt: skip
    """Return a tensor like `input` whose values mean nothing; here they are zeros."""
    return like(input, 0, dtype, device, requires_grad, layout)


def full_like(
    input: Tensor, fill_value: Tensor | Number, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False, memory_format: MemoryFormat | None = None,
) -> Tensor:  # fmt: skip
    """Return a tensor of the shape of `input` filled with `fill_value`."""
    check_layout(layout)
    if isinstance(fill_value, Box):
        found = _full_of(
            input.spec.shape, fill_value, dtype or input.spec.dtype, device or input.device
        )
        return require(found, requires_grad)
    return like(input, number("full_like", fill_value), dtype, device, requires_grad)


def new_tensor(
    self: Tensor, data: Any, *, dtype: DType | None = None, device: DeviceLike | None = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor of `data`, by default of this tensor's dtype and device."""
    where = device or self.device
    return tensor(data, dtype=dtype or self.spec.dtype, device=where, requires_grad=requires_grad)


def new_full(
    self: Tensor, size: Dims, fill_value: Tensor | Number, *, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor filled with `fill_value`, by default of this tensor's dtype and device."""
    return full(
        size, fill_value, dtype=dtype or self.spec.dtype, layout=layout,
        device=device or self.device, requires_grad=requires_grad,
    )  # fmt: skip


def new_zeros(
    self: Tensor, *args: Dims, size: Dims | None = None, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return zeros of this size, by default of this tensor's dtype and device."""
    shape = sizes("new_zeros", args, size)
    return new_full(
        self, shape, 0, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def new_ones(
    self: Tensor, *args: Dims, size: Dims | None = None, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return ones of this size, by default of this tensor's dtype and device."""
    shape = sizes("new_ones", args, size)
    return new_full(
        self, shape, 1, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def new_empty(
    self: Tensor, *args: Dims, size: Dims | None = None, dtype: DType | None = None,
    layout: Layout | None = None, device: DeviceLike | None = None, pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor of this size whose values mean nothing; here they are zeros."""
    shape = sizes("new_empty", args, size)
    return new_full(
        self, shape, 0, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


class CreationMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    new_empty = new_empty
    new_full = new_full
    new_ones = new_ones
    new_tensor = new_tensor
    new_zeros = new_zeros


__all__ = [
    "as_tensor", "asarray", "empty", "empty_like", "from_numpy", "frombuffer", "full", "full_like", "ones",
    "ones_like", "tensor", "zeros", "zeros_like",
]  # fmt: skip
