"""What the functions of a public module do beyond their definitions: `out=`, NumPy's names, refusals.

A function says beside its definition that it takes `out`; the module that makes it public adds the argument
(`publish`), and takes NumPy's names for arguments where PyTorch's parser does. The function itself and the
library's own calls of it go without; methods take NumPy's names too (`takes_numpy_names`).
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from tabgrad.core import tree
from tabgrad.core.errors import (
    DeviceError,
    DTypeError,
    GradientError,
    ShapeError,
    SparseError,
    warn,
)
from tabgrad.core.promotion import cast
from tabgrad.core.tensor_arguments import not_a_tensor
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
    def __call__(self, *args: Any, out: Any, **kwargs: Any) -> R_co: ...
    def __get__(
        self: WithOut[Concatenate[Any, Q], R_co], instance: Any, owner: Any = None
    ) -> Callable[Q, R_co]: ...


_TAKES: dict[Any, bool] = {}
"""The functions that take `out`, and whether dtype and device of `out` are those asked for."""


def takes_out(fn: Callable[P, R]) -> WithOut[P, R]:
    """Mark a function whose public form takes `out`, a tensor or a tuple of tensors, for the result."""
    _TAKES[fn] = False
    return fn


def fills_out(fn: Callable[P, R]) -> WithOut[P, R]:
    """Mark a function that creates tensors: it takes `out`, and uses its dtype and device."""
    _TAKES[fn] = True
    return fn


_PYTORCHS = {
    "axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other",
    "axes": "dims",
}  # fmt: skip
"""NumPy's names of arguments."""

_MARKS = frozenset(("input", "other", "dim", "keepdim", "tensor", "tensors", "operands"))
"""A function with one of these parameters is one of tensors."""


_BESIDE_SPARSE = frozenset(("add", "addmm", "copy_", "matmul", "mm", "mul", "mv", "sub"))
"""The methods of a dense tensor that take a sparse one as another operand."""


SHOWN: list[Any] = []
"""All public forms."""
ON_SHOWN: list[Callable[[Any], None]] = []
"""What is told of those that come later."""


def publish(namespace: dict[str, Any]) -> None:
    """Replace the functions of tensors in a public module by their public forms."""
    module = namespace["__name__"]
    made: dict[Any, Any] = {}
    shown: list[tuple[str, Any]] = []
    for name in tuple(namespace.get("__all__", namespace)):
        fn = namespace[name]
        if isinstance(fn, types.FunctionType) and name[0] != "_":
            if fn in _TAKES:
                make = with_out
            elif not _MARKS.isdisjoint(_parameters(fn)):
                make = _forgiving
            else:
                continue
            if fn not in made:
                made[fn] = _described(make(fn), fn, module, fn in _TAKES)
            namespace[name] = made[fn]
            shown.append((name, made[fn]))
    for name, call in shown:
        if namespace.get(call.__qualname__) is not call:
            # an alias of what has its own name elsewhere: it pickles by a name that finds it
            call.__qualname__ = name
    SHOWN.extend(made.values())
    for see in ON_SHOWN:
        see(made.values())


def takes_numpy_names(kind: type) -> None:
    """Let the methods of a class take `axis` for `dim` and `keepdims` for `keepdim`, and sparse operands."""
    for owner in kind.__mro__:
        for name, fn in list(vars(owner).items()):
            if isinstance(fn, types.FunctionType) and getattr(kind, name) is fn:
                method = as_method(fn, name)
                if method is not fn:
                    setattr(kind, name, method)
                findable(method, name)


def findable(method: Any, name: str) -> None:
    """Let a method pickle by its place in the class, if it can't by where it was made."""
    if not isinstance(method, types.FunctionType):
        return
    found: Any = sys.modules.get(method.__module__)
    for part in method.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not method:
        method.__module__, method.__qualname__ = "tabgrad.tensor.tensor", f"Tensor.{name}"


def as_method(fn: Any, name: str) -> Any:
    """Return what Tensor has as the method `name` for `fn`: with a dim it takes NumPy's names, too."""
    if not isinstance(fn, types.FunctionType):
        return fn
    if name not in _BESIDE_SPARSE and {"dim", "keepdim"}.isdisjoint(_parameters(fn)):
        return fn
    method = _described(_forgiving(fn), fn, "tabgrad.tensor.tensor")
    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    return method


def _parameters(fn: Any) -> tuple[str, ...]:
    """Return the names of the parameters of a function that decorators may have wrapped."""
    while hasattr(fn, "__wrapped__"):
        fn = fn.__wrapped__
    code = fn.__code__
    starred = bool(code.co_flags & 4)
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + starred])


def _renamed(fn: Any, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Return the keyword arguments by PyTorch's names; None if no name is NumPy's, or both are given."""
    if _PYTORCHS.keys().isdisjoint(kwargs):
        return None
    known = _parameters(fn)
    found: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name not in known and _PYTORCHS.get(name) in known:
            name = _PYTORCHS[name]
        if name in found:
            return None
        found[name] = value
    return None if found.keys() == kwargs.keys() else found


def _forgiving(fn: Any) -> Any:
    """Wrap `fn`: it takes NumPy's names of arguments, too, and refuses what is no tensor in PyTorch's words."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except (AttributeError, TypeError) as error:
            kwargs = _mended(fn, error, args, kwargs)
        except SparseError as error:
            return sparse_form(fn, error, args, kwargs)
        return call(*args, **kwargs)

    return call


def takes_sparse(fn: Callable[P, R]) -> Callable[P, R]:
    """Let a function outside of the root have a form for sparse tensors; refuse what is no tensor."""

    @functools.wraps(fn)
    def call(*args: P.args, **named: P.kwargs) -> R:
        try:
            return fn(*args, **named)
        except AttributeError as error:
            raise not_a_tensor(fn, error, args, named) from None
        except SparseError as error:
            found: R = sparse_form(fn, error, args, named)
            return found

    return call


def sparse_form(fn: Any, error: SparseError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what the form of `fn` for sparse tensors gives; raise where it has none."""
    return import_module("tabgrad.sparse.methods").answer(fn, error, args, kwargs)


def _mended(
    fn: Any, error: AttributeError | TypeError, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the keyword arguments to call again with, by PyTorch's names if the call failed for NumPy's.

    Raises what it failed with, in PyTorch's words, if there is nothing to try.
    """
    if import_module("tabgrad.overrides").wanted(args, kwargs):
        return kwargs
    if isinstance(error, AttributeError):
        raise not_a_tensor(fn, error, args, kwargs) from None
    # the names are no parameters of the function, so nothing of it has run yet
    renamed = _renamed(fn, kwargs)
    if renamed is None:
        raise error
    return renamed


def _described(call: Any, fn: Any, module: str, out: bool = False) -> Any:
    """Return `call` with the name, text and signature of `fn`."""
    call.__name__ = call.__qualname__ = fn.__name__
    call.__doc__ = fn.__doc__
    # so that it pickles as the public function, not as the one inside
    call.__module__ = module
    call.__annotations__ = fn.__annotations__
    call.__wrapped__ = _Described(fn) if out else fn
    return call


class _Described:
    """Stands for a function and its `out` where somebody asks for the signature."""

    __slots__ = ("fn",)

    def __init__(self, fn: Any) -> None:
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    @property
    def __globals__(self) -> Any:
        fn = self.fn
        while hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        return fn.__globals__

    @property
    def __signature__(self) -> Any:
        import inspect

        its = inspect.signature(self.fn)
        out = inspect.Parameter(
            "out", inspect.Parameter.KEYWORD_ONLY, default=None,
            annotation="Tensor | tuple[Tensor, ...] | None",
        )  # fmt: skip
        return its.replace(parameters=[*its.parameters.values(), out])


def with_out(fn: Any) -> Any:
    """Wrap `fn` as `_forgiving` does; it takes `out`, too."""
    name, creates, plain = fn.__name__, _TAKES[fn], _forgiving(fn)

    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            try:
                return fn(*args, **kwargs)
            except (AttributeError, TypeError) as error:
                kwargs = _mended(fn, error, args, kwargs)
            except SparseError as error:
                return sparse_form(fn, error, args, kwargs)
            return call(*args, **kwargs)
        targets = [out] if isinstance(out, Box) else out
        if not isinstance(targets, tuple | list) or not all(isinstance(t, Box) for t in targets):
            raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
        if creates:
            kwargs = {"dtype": targets[0].spec.dtype, "device": targets[0].device, **kwargs}
        _check_gradients(name, (*args, *kwargs.values(), *targets))
        with using(MODE.get().replace(grad=False)):
            found = plain(*args, **kwargs)
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

    return call


_OF_ONE_DTYPE = frozenset(
    "matmul mm bmm mv dot addmm addmv baddbmm inner tensordot multi_dot tril triu gather take index_select "
    "softmax".split()
)
"""Functions whose `out` must have the dtype of the result; the others cast to it."""


def _like(found: Any, targets: Any) -> Any:
    return type(found)(*targets) if hasattr(found, "_fields") else tuple(targets)


def _check_gradients(name: str, given: tuple[Any, ...]) -> None:
    if MODE.get().grad and any(isinstance(x, Box) and x.tracked for x in tree.leaves(given)):
        raise GradientError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )


def _check(name: str, y: Box, t: Box) -> None:
    """Raise where `t` can't take the result `y`."""
    if y.device is not t.device:
        raise DeviceError(
            f"Expected out tensor to have device {y.device}, but got {t.device} instead ({name})"
        )
    if y.spec.dtype.category > t.spec.dtype.category:
        raise DTypeError(
            f"result type {y.spec.dtype!r} can't be cast to the desired output type {t.spec.dtype!r} ({name})"
        )
    if y.spec.dtype is not t.spec.dtype and name in _OF_ONE_DTYPE and MODE.get().autocast is None:
        raise DTypeError(
            f"{name}: Expected out tensor to have dtype {y.spec.dtype!r}, but got {t.spec.dtype!r} instead"
        )
    if y.spec.shape == t.spec.shape:
        return
    if hasattr(t.alias, "steps") or y.owner is not None or t.owner is not None:
        raise ShapeError(
            f"{name}: an out tensor that is a view, or of a transform, keeps its shape {t.spec.shape}; the "
            f"result has {y.spec.shape}"
        )
    if t.spec.size:
        warn(
            f"An output with one or more elements was resized since it had shape {list(t.spec.shape)}, which "
            f"does not match the required output shape {list(y.spec.shape)}. Give {name} an out tensor of that "
            "shape, or an empty one",
            UserWarning,
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
