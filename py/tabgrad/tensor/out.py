"""`out=`: results that are written to tensors that exist already.

A function says beside its definition that it takes `out`; the module that makes it public adds the argument
(`publish`). The function itself, the library's own calls of it, and the method of Tensor go without.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from tabgrad.core import tree
from tabgrad.core.errors import DeviceError, DTypeError, GradientError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.core.refusal import refusal
from tabgrad.core.trace import MODE, Box, using
from tabgrad.tensor.aliasing import own, refreshed, replace, write

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class WithOut(Protocol[P, R_co]):
    """What type checkers see of a function that takes `out`."""

    __name__: str

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: Any, out: Any, **kwargs: Any) -> Any: ...
    def __get__(
        self: WithOut[Concatenate[Any, Q], R_co], instance: Any, owner: Any = None
    ) -> Callable[Q, R_co]: ...


_TAKES: dict[Any, bool] = {}
"""The functions that take `out`, and whether dtype and device of `out` are those asked for."""


def takes_out(fn: Callable[P, R]) -> WithOut[P, R]:
    """Say of a function that its public form takes `out`, a tensor or a tuple of them, for the result."""
    _TAKES[fn] = False
    return fn


def fills_out(fn: Callable[P, R]) -> WithOut[P, R]:
    """Say of a function that makes tensors that it takes `out`, whose dtype and device it then makes."""
    _TAKES[fn] = True
    return fn


def publish(namespace: dict[str, Any]) -> None:
    """Replace the functions of a public module that take `out` by their public forms."""
    module = namespace["__name__"]
    made: dict[Any, Any] = {}
    for name, fn in namespace.items():
        if isinstance(fn, types.FunctionType) and fn in _TAKES:
            if fn not in made:
                made[fn] = _with_out(fn, _TAKES[fn], module)
            namespace[name] = made[fn]


class _Described:
    """Stands for a function and its `out` where somebody asks for the signature."""

    __slots__ = ("fn",)

    def __init__(self, fn: Any) -> None:
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        import inspect

        its = inspect.signature(self.fn)
        out = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
        return its.replace(parameters=[*its.parameters.values(), out])


def _with_out(fn: Any, creates: bool, module: str) -> Any:
    name = fn.__name__

    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            try:
                return fn(*args, **kwargs)
            except AttributeError as error:
                raise refusal(fn, error, args, kwargs) from None
        targets = [out] if isinstance(out, Box) else out
        if not isinstance(targets, tuple | list) or not all(isinstance(t, Box) for t in targets):
            raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
        if creates:
            kwargs = {"dtype": targets[0].spec.dtype, "device": targets[0].device, **kwargs}
        _check_gradients(name, (*args, *kwargs.values(), *targets))
        with using(MODE.get().replace(grad=False)):
            found = fn(*args, **kwargs)
            results = [found] if isinstance(found, Box) else list(found)
            if len(results) != len(targets):
                raise TypeError(
                    f"{name}(): argument 'out' must be a tuple of {len(results)} tensors for as many "
                    f"results, got {len(targets)}"
                )
            for y, t in zip(results, targets, strict=True):
                _check(name, y, t)
            for y, t in zip(results, targets, strict=True):
                _put(y, t)
        return out if isinstance(found, Box) else _like(found, targets)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = fn.__doc__
    # it pickles as what it is, not as the function inside
    call.__module__ = module
    call.__wrapped__ = _Described(fn)  # type: ignore[attr-defined]
    return call


def _like(found: Any, targets: Any) -> Any:
    return type(found)(*targets) if hasattr(found, "_fields") else tuple(targets)


def _check_gradients(name: str, given: tuple[Any, ...]) -> None:
    if MODE.get().grad and any(isinstance(x, Box) and x.tracked for x in tree.leaves(given)):
        raise GradientError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )


def _check(name: str, y: Any, t: Any) -> None:
    """Raise where `t` can't take the result `y`."""
    if y.device is not t.device:
        raise DeviceError(
            f"Expected out tensor to have device {y.device}, but got {t.device} instead ({name})"
        )
    if y.spec.dtype.category > t.spec.dtype.category:
        raise DTypeError(
            f"result type {y.spec.dtype!r} can't be cast to the desired output type {t.spec.dtype!r} ({name})"
        )
    if y.spec.shape == t.spec.shape:
        return
    if hasattr(t.alias, "steps") or y.owner is not None or t.owner is not None:
        raise ShapeError(
            f"{name}: an out tensor that is a view, or of a transform, keeps its shape {t.spec.shape}; the "
            f"result has {y.spec.shape}"
        )
    if t.spec.size:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(t.spec.shape)}, which "
            f"does not match the required output shape {list(y.spec.shape)}. Give {name} an out tensor of that "
            "shape, or an empty one",
            UserWarning,
            stacklevel=3,
        )


def _put(y: Any, t: Any) -> None:
    y = own(cast(refreshed(y), t.spec.dtype))
    if y.spec.shape == t.spec.shape:
        write(t, y, "out")
        return
    capture = MODE.get().capture
    if capture is not None:
        capture.note((t,))
    # siblings keep the old values in the old shape
    t.alias = None
    replace(t, y.value, y.spec)
