"""Parameters and buffers: the tensors that a Module keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.overrides import _disabled_torch_function_impl

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import DeviceLike, Dims


class _Marked(type):
    """The class of Parameter and Buffer: tensors of a user's class are such, too, if an attribute says so."""

    def __instancecheck__(cls, x: object) -> bool:
        if type.__instancecheck__(cls, x):
            return True
        mark = _MARKS.get(cls)
        return mark is not None and isinstance(x, tg.Tensor) and getattr(x, mark, False) is True


_MARKS: dict[Any, str] = {}
"""The attributes that say so."""


def _kept(name: str, data: Any, requires_grad: bool) -> Any:
    """Return a leaf of a user's class with the values of `data`, marked as `name` says."""
    made = data.detach()
    if type(made) is not type(data):
        raise RuntimeError(
            f"Creating a Parameter from an instance of type {type(data).__name__} requires that detach() "
            f"returns an instance of the same type, but return type {type(made).__name__} was found instead"
        )
    made.requires_grad_(requires_grad)
    setattr(made, name, True)
    return made


def _of_user(data: Any) -> bool:
    return (
        isinstance(data, tg.Tensor)
        and not isinstance(data, (Parameter, Buffer))
        and type(data) is not tg.Tensor
    )


class Parameter(tg.Tensor, metaclass=_Marked):
    """A leaf Tensor that a Module registers as a parameter when it is assigned as an attribute.

    `data` is the initial value; its history is not kept, and in-place changes of the parameter do not
    reach `data`. A tensor of a user's class stays one of that class, and is a Parameter to `isinstance`; it
    shares its values with `data`.

    >>> import tabgrad as tg
    >>> w = tg.nn.Parameter(tg.tensor([1.0, 2.0], device="cpu"))
    >>> w
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ()
    __torch_function__ = _disabled_torch_function_impl

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        """Make a parameter with the value of `data`."""
        if _of_user(data):
            kept: Parameter = _kept("_is_param", data, requires_grad)
            return kept
        return tg.Tensor._make_subclass(cls, _value(data), requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        found = memo.get(id(self))
        if found is None:
            found = memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return found


class Buffer(tg.Tensor, metaclass=_Marked):
    """A Tensor that a Module registers as a buffer when it is assigned as an attribute."""

    __slots__ = ()
    __torch_function__ = _disabled_torch_function_impl

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        """Make a buffer with the value of `data`; state dicts leave it out if it is not persistent."""
        if _of_user(data):
            made = _kept("_is_buffer", data, False)
        else:
            made = tg.Tensor._make_subclass(cls, _value(data), False)
        made.persistent = persistent
        return made

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass


_MARKS[Parameter], _MARKS[Buffer] = "_is_param", "_is_buffer"


class Uninitialized:
    """A parameter or buffer whose shape is not known yet; `materialize` makes it an ordinary one."""

    __slots__ = ()


class UninitializedParameter(Parameter, Uninitialized):
    """A parameter of a lazy module: it gets its shape from the first input."""

    __slots__ = ()

    def __new__(
        cls, requires_grad: bool = True, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> UninitializedParameter:  # fmt: skip
        """Make a parameter without a shape."""
        empty = tg.empty(0, device=device, dtype=dtype)
        return tg.Tensor._make_subclass(cls, empty, requires_grad)

    def __init__(
        self, requires_grad: bool = True, device: DeviceLike | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        pass

    def materialize(
        self, shape: Dims, device: DeviceLike | None = None, dtype: DType | None = None
    ) -> None:
        """Become an ordinary Parameter of this shape, its values not yet set."""
        made = tg.empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = Parameter  # type: ignore[assignment]
        self.data = made

    def __repr__(self) -> str:
        return "<UninitializedParameter>"

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedParameter:
        found = memo.get(id(self))
        if found is None:
            found = UninitializedParameter(self.requires_grad, self.device, self.dtype)
            memo[id(self)] = found
        return found


class UninitializedBuffer(Buffer, Uninitialized):
    """A buffer of a lazy module: it gets its shape from the first input."""

    __slots__ = ()

    def __new__(
        cls, requires_grad: bool = False, device: DeviceLike | None = None,
        dtype: DType | None = None, persistent: bool = True,
    ) -> UninitializedBuffer:  # fmt: skip
        """Make a buffer without a shape."""
        empty = tg.empty(0, device=device, dtype=dtype)
        made = tg.Tensor._make_subclass(cls, empty, requires_grad)
        made.persistent = persistent
        return made

    def __init__(
        self, requires_grad: bool = False, device: DeviceLike | None = None,
        dtype: DType | None = None, persistent: bool = True,
    ) -> None:  # fmt: skip
        pass

    def materialize(
        self, shape: Dims, device: DeviceLike | None = None, dtype: DType | None = None
    ) -> None:
        """Become an ordinary Buffer of this shape, its values not yet set."""
        made = tg.empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = Buffer  # type: ignore[assignment]
        self.data = made

    def __repr__(self) -> str:
        return "<UninitializedBuffer>"


def parameter_if(
    there: bool, shape: Dims, device: DeviceLike | None, dtype: DType | None
) -> Parameter | None:
    """Make a parameter of this shape whose values are not set yet, or None if it is not wanted."""
    return Parameter(tg.empty(shape, device=device, dtype=dtype)) if there else None


def is_lazy(param: object) -> bool:
    """Test whether `param` is a parameter without a shape."""
    return isinstance(param, Uninitialized)


def _value(data: Tensor | None) -> tg.Tensor:
    if data is None:
        return tg.empty(0)
    if not isinstance(data, tg.Tensor):
        raise TypeError(
            f"Parameter: expected a tensor, got {type(data).__name__}; make one with tabgrad.tensor(...)"
        )
    return data


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Return the arguments for functions that create tensors: device, dtype, and those under "factory_kwargs".

    Raises TypeError for another argument, or for one that is there twice.

    >>> import tabgrad as tg
    >>> tg.nn.factory_kwargs({"device": "cpu", "factory_kwargs": {"dtype": tg.float64}})
    {'dtype': tabgrad.float64, 'device': 'cpu'}
    """
    given = dict(kwargs or {})
    found = dict(given.pop("factory_kwargs", {}))
    unknown = sorted({*given, *found} - {"device", "dtype", "memory_format"})
    if unknown:
        raise TypeError(f"factory_kwargs: unexpected kwargs {', '.join(unknown)}")
    for name, value in given.items():
        if name in found:
            raise TypeError(
                f"factory_kwargs: {name} specified twice, in **kwargs and in factory_kwargs"
            )
        found[name] = value
    return found
