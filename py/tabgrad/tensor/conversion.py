"""Dtypes and devices of existing tensors: `to` and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from tabgrad.core import dtype as dt
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, TransformError
from tabgrad.core.naming import Package
from tabgrad.core.promotion import result_dtype
from tabgrad.core.scalars import fits
from tabgrad.core.trace import MODE, Box
from tabgrad.hosts.devices import Device, device as device_of, is_accelerator
from tabgrad.ops import elementwise as e
from tabgrad.tensor import creation, literals, reading
from tabgrad.tensor.fronts import complex_numbers
from tabgrad.tensor.layout import check_format, preserve_format
from tabgrad.tensor.shaping import contiguous
from tabgrad.transforms.node import edge, new_node

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.layout import memory_format as MemoryFormat
    from tabgrad.tensor.types import DeviceLike, Number


class Transfer:
    """The rule of a move from one device to another: the cotangent moves back."""

    name = "to_copy"
    differentiable = True

    def __init__(self, source: Device, dtype: DType) -> None:
        self.source = source
        self.dtype = dtype

    def apply(
        self, node: Any, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> tuple[Any, ...]:
        """Return the cotangent on the device the tensor came from."""
        return (convert(cts[0], self.dtype, self.source, False),)


def convert(x: Tensor, dtype: DType | None, device: Device | None, copy: bool) -> Tensor:
    """Return `x` as `dtype` on `device`, None keeping what it has; itself where nothing changes."""
    where = x.device if device is None else device
    if where is not x.device:
        if dtype is not None and x.device.type == "cpu":
            x = convert(x, dtype, None, False)
        x = _moved(x, where)
        copy = False
    if dtype is not None:
        target = where.canonical(dtype, True)
        if target is not x.spec.dtype:
            return e.cast.bind(x, dtype=target)
    return e.copy.bind(x) if copy else x


def _moved(x: Tensor, where: Device) -> Tensor:
    if x.owner is not None:
        raise TransformError(
            f"to: inside {x.owner.name} a tensor can't change its device; move it before the transform"
        )
    source, s = x.device, x.spec
    if where.type == "meta":
        y = creation.filled(s.shape, 0, s.dtype, where)
    elif source.type == "cpu" and s.dtype is not dt.bfloat16:
        y = creation.from_array(reading.lowered(x, "to").value, None, where)
        capture = MODE.get().capture
        if capture is not None:
            if x.tracked and MODE.get().grad:
                capture.refuse("takes gradients through a move from the CPU")
            capture.uploaded(x, y, lambda t: _moved(t, where))
    else:
        target = where.canonical(s.dtype)
        raw = reading.data(x, "to")
        if target is not s.dtype:
            leaves = [fits("to", n, target) for n in literals.decode(raw, s.dtype)]
            raw = literals.encode(leaves, target)
        y = creation.upload(raw, s.shape, target, where)
    if x.tracked and MODE.get().grad:
        rule = Transfer(source, s.dtype)
        y.node = new_node(rule, (edge(x, None),), y.spec, None, where, in_specs=(s,))
        y.tracked = True
    return y


def to(
    self: Tensor, *args: DType | Device | str | Tensor | bool | None, dtype: DType | None = None,
    device: DeviceLike | None = None, non_blocking: bool = False, copy: bool = False,
    memory_format: MemoryFormat | None = None, other: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the tensor as another dtype, on another device, or both; itself where nothing changes.

    to(dtype), to(device), to(device, dtype), to(other tensor). Moving from a GPU waits for the values.

    >>> import tabgrad as tg
    >>> tg.ones(2, device="cpu").to(tg.int64)
    tensor([1, 1])
    """
    check_format("to", memory_format, len(self.spec.shape))
    rest = list(args)
    while rest:
        a = rest.pop(0)
        if isinstance(a, DType | type):
            dtype = a
        elif isinstance(a, Box):
            dtype, device = a.spec.dtype, a.device
        elif isinstance(a, bool):
            # non_blocking, then copy
            copy = bool(rest.pop(0)) if rest else copy
        elif a is not None:
            device = a
    if other is not None:
        dtype, device = other.spec.dtype, other.device
    made = convert(self, dtype, None if device is None else device_of(device), copy)
    if memory_format is None or memory_format.rank is None:
        return made
    return contiguous(made, memory_format)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the tensor as the dtype of `other`, on its device."""
    return convert(self, other.spec.dtype, other.device, False)


_TYPES = {
    "FloatTensor": dt.float32, "DoubleTensor": dt.float64, "HalfTensor": dt.float16,
    "BFloat16Tensor": dt.bfloat16, "ByteTensor": dt.uint8, "CharTensor": dt.int8,
    "ShortTensor": dt.int16, "IntTensor": dt.int32, "LongTensor": dt.int64, "BoolTensor": dt.bool_,
}  # fmt: skip
_TYPE_NAMES = {d: name for name, d in _TYPES.items()}


class TensorType(type):
    """The class of `FloatTensor`: its instances are the tensors of one dtype on the CPU, or on `place`."""

    dtype: DType
    place: str | None

    def __instancecheck__(cls, x: object) -> bool:
        if not isinstance(x, Box) or x.spec.dtype is not cls.dtype:
            return False
        return x.device.type == "cpu" if cls.place is None else is_accelerator(x.device)

    def __call__(cls, *args: Any, device: DeviceLike | None = None) -> Any:
        device = cls.place if device is None else device
        if len(args) == 1 and not isinstance(args[0], int):
            return creation.tensor(args[0], dtype=cls.dtype, device=device)
        return creation.empty(*args, dtype=cls.dtype, device=device)


def tensor_type(name: str, module: str = "tabgrad", place: str | None = None) -> TensorType:
    """Return the class of this name, which a module shows; `place` is the device of its tensors."""
    dtype = _TYPES[name]
    doc = f"Return a {dtype.name} tensor of given numbers or sizes: PyTorch's old constructor."
    its = {"dtype": dtype, "place": place, "__doc__": doc, "__module__": module}
    return TensorType(name, (), its)


BoolTensor, ByteTensor = tensor_type("BoolTensor"), tensor_type("ByteTensor")
BFloat16Tensor, CharTensor = tensor_type("BFloat16Tensor"), tensor_type("CharTensor")
DoubleTensor, FloatTensor = tensor_type("DoubleTensor"), tensor_type("FloatTensor")
HalfTensor, IntTensor = tensor_type("HalfTensor"), tensor_type("IntTensor")
LongTensor, ShortTensor = tensor_type("LongTensor"), tensor_type("ShortTensor")


def type_of(given: Any) -> TensorType:
    """Return a type of tensors by its name, as "torch.cuda.FloatTensor"; raise DTypeError for another."""
    if isinstance(given, TensorType):
        return given
    *path, name = given.split(".") if isinstance(given, str) else [None]
    if name not in _TYPES or path not in (
        [],
        ["torch"],
        ["tabgrad"],
        ["torch", "cuda"],
        ["tabgrad", "cuda"],
    ):
        raise DTypeError(
            f"type: invalid type: {given!r}; expected a dtype, or one of {', '.join(_TYPES)}"
        )
    return tensor_type(name, place="cuda" if path[1:] else None)


def type_(
    self: Tensor, dtype: DType | TensorType | str | None = None, non_blocking: bool = False
) -> Tensor | str:
    """Return the name of the type, as "tabgrad.FloatTensor", or the tensor as a dtype, type or such a name."""
    if dtype is None:
        name = _TYPE_NAMES.get(self.spec.dtype)
        if name is None:
            return repr(self.spec.dtype)
        place = ".cuda" if is_accelerator(self.device) else ""
        return f"{Package.name}{place}.{name}"
    if isinstance(dtype, DType):
        return convert(self, dtype, None, False)
    found = type_of(dtype)
    named = isinstance(dtype, TensorType) or found.place is not None
    return convert(self, found.dtype, device_of(found.place or "cpu") if named else None, False)


def _to(name: str, dtype: DType) -> Callable[..., Tensor]:
    def front(self: Tensor, memory_format: MemoryFormat | None = preserve_format) -> Tensor:
        return convert(self, dtype, None, False)

    front.__name__ = front.__qualname__ = name
    front.__doc__ = f"Return the tensor as {dtype.name}, itself where it is that already."
    return front


float_ = _to("float", dt.float32)
double = _to("double", dt.float64)
half = _to("half", dt.float16)
bfloat16 = _to("bfloat16", dt.bfloat16)
int_ = _to("int", dt.int32)
long = _to("long", dt.int64)
short = _to("short", dt.int16)
char = _to("char", dt.int8)
byte = _to("byte", dt.uint8)
bool_ = _to("bool", dt.bool_)
cfloat = _to("cfloat", dt.complex64)
cdouble = _to("cdouble", dt.complex128)


def array_wrap(
    self: Tensor, array: Any, context: Any = None, return_scalar: bool = False
) -> Tensor:
    """Turn what a NumPy function made of the tensor into a tensor on the same device."""
    return creation.tensor(array, device=self.device)


def cpu(self: Tensor, memory_format: MemoryFormat | None = preserve_format) -> Tensor:
    """Return the tensor on the CPU; waits for its values."""
    return convert(self, None, device_of("cpu"), False)


def cuda(
    self: Tensor, device: DeviceLike | None = None, non_blocking: bool = False,
    memory_format: MemoryFormat | None = preserve_format,
) -> Tensor:  # fmt: skip
    """Return the tensor on a CUDA device; under the alias `torch` on the accelerator there is."""
    return convert(self, None, device_of("cuda" if device is None else device), False)


def pin_memory(self: Tensor, device: DeviceLike | None = None) -> Tensor:
    """Return the tensor itself: memory needs no pinning here."""
    return self


# -- what a tensor or dtype is ---------------------------------------------------------------------


def is_tensor(obj: Any) -> TypeGuard[Tensor]:
    """Return whether `obj` is a tensor."""
    return isinstance(obj, Box)


def is_floating_point(input: Tensor) -> bool:
    """Return whether the dtype is a real floating-point one."""
    return input.spec.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Return whether the dtype is complex."""
    return input.spec.dtype.is_complex


def is_signed(input: Tensor) -> bool:
    """Return whether the dtype has negative values."""
    return input.spec.dtype.signed


def is_inference(input: Tensor) -> bool:
    """Return whether the tensor, or the base of a view, was made in `inference_mode`.

    Elsewhere such a tensor can be read, but neither written to nor saved for a gradient: a `clone()` can.

    >>> import tabgrad as tg
    >>> with tg.inference_mode():
    ...     x = tg.tensor([1.0, 2.0]) * 2
    >>> x.is_inference(), x.clone().is_inference()
    (True, False)
    """
    return bool(input.born & 1)


def is_nonzero(input: Tensor) -> bool:
    """Return whether the only element is nonzero; reads it."""
    return reading.to_bool(input)


def numel(input: Tensor) -> int:
    """Return the number of elements."""
    return input.spec.size


def promote_types(type1: DType, type2: DType) -> DType:
    """Return the dtype that holds the values of both.

    >>> import tabgrad as tg
    >>> tg.promote_types(tg.int32, tg.float32)
    tabgrad.float32
    """
    return dt.promote(type1, type2)


def result_type(
    tensor: Tensor | Number | None = None, other: Tensor | Number | None = None, *,
    scalar: Tensor | Number | None = None, scalar1: Tensor | Number | None = None,
    scalar2: Tensor | Number | None = None,
) -> DType:  # fmt: skip
    """Return the dtype that arithmetic on two tensors or numbers gives; all of PyTorch's names are accepted.

    >>> import tabgrad as tg
    >>> tg.result_type(tg.tensor([1, 2], device="cpu"), 1.0)
    tabgrad.float32
    """
    given = [x for x in (tensor, other, scalar, scalar1, scalar2) if x is not None]
    if len(given) != 2:
        raise TypeError(f"result_type: expected two tensors or numbers, got {len(given)}")
    found = result_dtype(*given)
    where = next((x.device for x in given if isinstance(x, Box)), None)
    return found if where is None else where.canonical(found)


def can_cast(from_: DType, to: DType) -> bool:
    """Return whether an in-place cast is allowed: it may lose neither the category nor the sign of integers."""
    from_, to = dt.as_dtype(from_), dt.as_dtype(to)
    if from_.category > to.category:
        return False
    return not (from_.category == to.category == dt.INT and from_.signed and not to.signed)


class ConversionMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    bfloat16 = bfloat16
    bool = bool_
    byte = byte
    cdouble = cdouble
    cfloat = cfloat
    char = char
    cpu = cpu
    cuda = cuda
    double = double
    float = float_
    half = half
    int = int_
    is_complex = is_complex
    is_inference = is_inference
    is_floating_point = is_floating_point
    is_nonzero = is_nonzero
    is_signed = is_signed
    long = long
    pin_memory = pin_memory

    @property
    def real(self) -> Tensor:
        """The real parts, a view; a real tensor itself."""
        return complex_numbers().real(self)

    @real.setter
    def real(self, value: Tensor | Number) -> None:
        self.real.copy_(value)

    @property
    def imag(self) -> Tensor:
        """The imaginary parts of a complex tensor, a view."""
        return complex_numbers().imag(self)

    @imag.setter
    def imag(self, value: Tensor | Number) -> None:
        self.imag.copy_(value)

    short = short
    to = to
    type = type_
    type_as = type_as


__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor",
    "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "can_cast", "is_complex",
    "is_floating_point", "is_inference", "is_nonzero", "is_signed", "is_tensor", "numel",
    "promote_types", "result_type",
]  # fmt: skip
