"""How element-wise ops take arguments: one function casts and broadcasts, so that no rule has to undo it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DeviceError, DTypeError, SparseError
from tabgrad.core.op import REGISTRY, Op, real_only
from tabgrad.core.scalars import NUMBER, fits, is_number, number, wrapped
from tabgrad.core.shape import broadcast
from tabgrad.core.spec import Spec, spec
from tabgrad.core.tensor_arguments import not_a_tensor
from tabgrad.core.trace import MODE, Box, bind, operand, using

if TYPE_CHECKING:
    from tabgrad.hosts.devices import Device

EXACT = frozenset(("add", "sub", "mul", "div"))
"""Ops that do not round a Python number to the half precision of their tensor, as in PyTorch."""
F = TypeVar("F", bound=Callable[..., Any])


def result_dtype(*args: Box | complex) -> dt.DType:
    """Return the dtype of an op on these tensors and Python numbers.

    Tensors with dimensions decide. A 0-d tensor, and then a number, counts only if its category
    (bool < int < float < complex) is higher.
    """
    dimensioned: dt.DType | None = None
    zero: dt.DType | None = None
    numbers = []
    for a in args:
        if not isinstance(a, Box):
            numbers.append(a)
        elif a.spec.shape:
            dimensioned = (
                a.spec.dtype if dimensioned is None else dt.promote(dimensioned, a.spec.dtype)
            )
        else:
            zero = a.spec.dtype if zero is None else dt.promote(zero, a.spec.dtype)
    found = dimensioned
    if zero is not None and (found is None or zero.category > found.category):
        found = zero
    for n in numbers:
        found = dt.scalar_dtype(n) if found is None else dt.with_scalar(found, n)
    if found is None:
        raise DTypeError("expected at least one tensor or number")
    return found


def needs_float(name: str, *tensors: Box, any_of: bool = False) -> None:
    """Raise DTypeError unless all tensors are floating-point (or complex), or with `any_of` one of them."""
    for x in tensors:
        if x.spec.dtype.category < dt.FLOAT:
            break
    else:
        return
    whole = [x.spec.dtype for x in tensors if x.spec.dtype.category < dt.FLOAT]
    if not any_of or len(whole) == len(tensors):
        raise DTypeError(
            f"\"{name}\" not implemented for '{whole[0].title}': expected a floating-point tensor, "
            f"got {whole[0]!r}; cast it with .float()"
        )


def needs_real(name: str, *tensors: Box, any_of: bool = False) -> None:
    """Raise DTypeError unless all tensors are floating-point, or with `any_of` one of them; none is complex."""
    for x in tensors:
        real_only(name, x.spec)
    needs_float(name, *tensors, any_of=any_of)


def refuse_bool(name: str, x: Box) -> None:
    """Raise DTypeError for a tensor of bools."""
    if x.spec.dtype is dt.bool_:
        raise DTypeError(
            f"\"{name}\" not implemented for 'Bool': {name}() does not support bool dtypes; cast the tensor "
            "with .to(dtype)"
        )


def long_only(name: str, index: Box) -> None:
    """Raise DTypeError unless `index` has the default integer dtype of its device."""
    if index.spec.dtype is not index.device.canonical(dt.int64):
        raise DTypeError(
            f"{name}: expected scalar type Long but found {index.spec.dtype.title}; "
            "cast the indices with .long()"
        )


def same_dtype(name: str, x: Box, y: Box) -> None:
    """Raise DTypeError if two dtypes differ, unless autocast will unify them."""
    one, two = x.spec.dtype, y.spec.dtype
    if one is not two and MODE.get().autocast is None:
        raise DTypeError(
            f"{name} expected scalar type {one.title} but found {two.title}; cast one of them"
        )


def cast(x: Any, dtype: dt.DType) -> Any:
    """Convert `x` to `dtype`; return `x` itself if it has that dtype."""
    if x.spec.dtype is dtype:
        return x
    return REGISTRY["cast"].bind(x, dtype=dtype)


def expand(x: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast `x` to `shape`; return `x` itself if it has that shape."""
    if x.spec.shape == shape:
        return x
    return REGISTRY["expand"].bind(x, shape=shape)


def accumulate(total: Any, term: Any) -> Any:
    """Add two tangents or cotangents; None is zero."""
    if total is None:
        return term
    if term is None:
        return total
    try:
        return REGISTRY["add"].bind(total, term)
    except SparseError:
        return term.__radd__(total) if total._parts is None else total.__radd__(term)


def the_device(name: str, tensors: Sequence[Box]) -> Device:
    """Return the common device of `tensors`; raise DeviceError if there are several."""
    device = tensors[0].device
    for t in tensors:
        if t.device is not device:
            raise DeviceError(
                f"{name}: expected all tensors on one device, got "
                f"{' and '.join(sorted({str(t.device) for t in tensors}))}; move them with .to(device)"
            )
    return device


def together(name: str, *args: Any) -> tuple[Any, ...]:
    """Bring 0-d tensors of the CPU to the device of the other tensors, which must be one."""
    given = [x for x in args if isinstance(x, Box)]
    device = the_device(name, [x for x in given if not _is_number_of_cpu(x)] or given)
    return tuple([moved(x, device) if isinstance(x, Box) else x for x in args])


def moved(x: Any, device: Device) -> Any:
    """Return `x` on `device`; itself if it is there."""
    return x if x.device is device else x.to(device)


def _is_number_of_cpu(x: Any) -> bool:
    return not x.spec.shape and x.device.type == "cpu"


def elementwise_call(op: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Apply an element-wise op to tensors and Python numbers of any shapes and dtypes that fit."""
    device: Any = None
    parts: list[object] = [dt.get_default_dtype()]
    for a in args:
        if isinstance(a, Box):
            parts.append(a.spec)
            if device is None:
                device = a.device
            elif a.device is not device:
                return elementwise_call(op, together(op.name, *args), params)
        else:
            parts.append(a.__class__)
    key = (*parts, device)
    wanted = op.fits.get(key)
    if wanted is None:
        if any(a.__class__ not in NUMBER and not isinstance(a, Box) and is_number(a) for a in args):
            # NumPy's scalars
            args = tuple([a if isinstance(a, Box) else number(op.name, a) for a in args])
            return elementwise_call(op, args, params)
        wanted = _fit(op, args, key)
    ready = []
    for a, want in zip(args, wanted, strict=True):
        if not isinstance(a, Box):
            if want.dtype in dt.HALVES and op.name in EXACT:
                wide = [cast(x, dt.float32) if isinstance(x, Box) else x for x in args]
                return cast(elementwise_call(op, tuple(wide), params), want.dtype)
            if op.name == "where":
                a = fits("where", a, want.dtype)
            elif want.dtype.category == dt.INT:
                a = wrapped(op.name, a, want.dtype)
            a = operand(a, want, device)
        elif a.spec is not want:
            a = expand(cast(a, want.dtype), want.shape)
        ready.append(a)
    return op.bind(*ready, **params) if params else bind(op, tuple(ready))


def _fit(op: Any, args: tuple[Any, ...], key: tuple[object, ...]) -> tuple[Spec, ...]:
    """Return the specs that the operands are cast and broadcast to; cached by `key`, because they recur."""
    if len(args) != len(op.operands):
        raise TypeError(f"{op.name}() takes {len(op.operands)} arguments, got {len(args)}")
    tensors = [a for a in args if isinstance(a, Box)]
    _check(op, args, tensors)
    masked = op.name == "where"
    values = args[1:] if masked else args
    dtype = tensors[0].device.canonical(_operand_dtype(op, values))
    shape = tensors[0].spec.shape
    if any(t.spec.shape != shape for t in tensors):
        shape = broadcast(op.name, *(t.spec.shape for t in tensors))
    wanted = [spec(shape, dtype)] * len(values)
    if masked:
        wanted.insert(0, spec(shape, dt.bool_))
    op.fits[key] = found = tuple(wanted)
    return found


def _check(op: Op, args: tuple[object, ...], tensors: list[Box]) -> None:
    for a in args:
        if not isinstance(a, Box) and not isinstance(a, NUMBER):
            raise TypeError(
                f"{op.name}: expected tensors or Python numbers, got {type(a).__name__}; "
                "make it a tensor with tabgrad.tensor(...)"
            )
    if not tensors:
        raise TypeError(
            f"{op.name}: expected at least one tensor, got {', '.join(map(repr, args))}"
        )


def _operand_dtype(op: Any, values: tuple[Any, ...]) -> dt.DType:
    dtype = result_dtype(*values)
    if dtype.category < dt.FLOAT and op.integers != "same":
        if op.integers is None:
            raise DTypeError(f"{op.name}: expected a floating-point tensor, got {dtype!r}")
        return dt.get_default_dtype()
    kind = "biufc"[(0, 1, 3, 4)[dtype.category]] if dtype is not dt.bool_ else "b"
    if kind not in op.kinds:
        raise DTypeError(
            f"\"{op.name}\" not implemented for '{dtype.title}': not defined for {dtype!r}"
        )
    return dtype


def call(op: Any, *args: Any, **params: Any) -> Any:
    """Apply an element-wise op, with a fast path for operands of one spec."""
    first = args[0]
    if isinstance(first, Box):
        want = first.spec
        category = want.dtype.category
        if op.kinds == "biufc":
            fast = category >= dt.FLOAT or op.integers == "same"
        else:
            fast = category == dt.FLOAT and "f" in op.kinds
        if fast and op.name != "where":
            for a in args:
                if not isinstance(a, Box) or a.spec is not want:
                    break
            else:
                return op.bind(*args, **params) if params else bind(op, args)
    return elementwise_call(op, args, params)


# -- half precision --------------------------------------------------------------------------------


def single(x: Any) -> Any:
    """Cast a half-precision tensor to float32; return anything else unchanged."""
    if isinstance(x, Box) and x.spec.dtype in dt.HALVES:
        return cast(x, dt.float32)
    return x


@overload
def widened(fn: F) -> F: ...


@overload
def widened(
    *, first: bool = False, autocast: bool = False, cpu: bool = False
) -> Callable[[F], F]: ...


def widened(
    fn: Any = None, *, first: bool = False, autocast: bool = False, cpu: bool = False
) -> Any:
    """Make a function of several ops compute in float32 for half-precision arguments.

    As in PyTorch, float16 and bfloat16 tensors are cast first, and the result is rounded once: to the promoted
    dtype of all floating-point arguments, or with `first` to the dtype of the first argument. With `autocast`
    the result stays float32 while that is on for an accelerator, with `cpu` while it is for the CPU: PyTorch's
    lists differ.
    """
    if fn is None:
        return functools.partial(widened, first=first, autocast=autocast, cpu=cpu)

    @functools.wraps(fn)
    def call(*args: Any, **named: Any) -> Any:
        for a in args:
            if isinstance(a, Box) and a.spec.dtype in dt.HALVES:
                break
        else:
            if not named or all(single(a) is a for a in named.values()):
                try:
                    return fn(*args, **named)
                except AttributeError as error:
                    raise not_a_tensor(fn, error, args, named) from None
        given = [a.spec.dtype for a in (*args, *named.values()) if isinstance(a, Box)]
        target = given[0]
        if not first:
            target = functools.reduce(dt.promote, [d for d in given if d.category >= dt.FLOAT])
        y = fn(*[single(a) for a in args], **{name: single(a) for name, a in named.items()})
        casting = MODE.get().autocast
        stays = casting is not None and (cpu if casting.kind == "cpu" else autocast)
        return y if stays or target not in dt.HALVES else _rounded(y, target)

    return call


def as_given_on_cpu(fn: F) -> F:
    """Let a function of products keep the dtypes that it is given under autocast of the CPU.

    PyTorch's list for the CPU lacks it, though products are cast where they are called by other names.
    """

    @functools.wraps(fn)
    def call(*args: Any, **named: Any) -> Any:
        mode = MODE.get()
        if mode.autocast is None or mode.autocast.kind != "cpu":
            return fn(*args, **named)
        with using(mode.replace(autocast=None)):
            return fn(*args, **named)

    return call  # type: ignore[return-value]


def _rounded(y: Any, dtype: dt.DType) -> Any:
    """Cast the float32 tensors of a result to `dtype`."""
    if isinstance(y, tuple):
        return tuple([_rounded(part, dtype) for part in y])
    return cast(y, dtype) if isinstance(y, Box) and y.spec.dtype is dt.float32 else y
