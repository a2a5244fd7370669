"""`__torch_function__`: subclasses of Tensor, other classes and modes that see the calls of public functions.

Nothing asks for them until there is one: a program without any runs the functions as they are. The first
subclass, mode or object with `__torch_function__` puts the question in front of every public function, in
its place, so that also those who imported it before are asked.
"""

from __future__ import annotations

import functools
import threading
import types
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Self

import tabgrad as tg
from tabgrad.core.naming import Package, is_own, module_of
from tabgrad.core.settings import on_restore
from tabgrad.tensor import late, public

__all__ = [
    "BaseTorchFunctionMode", "TorchFunctionMode", "get_default_nowrap_functions",
    "get_ignored_functions", "get_overridable_functions", "get_testing_overrides",
    "handle_torch_function", "has_torch_function", "has_torch_function_unary",
    "has_torch_function_variadic", "is_tensor_like", "is_tensor_method_or_property", "resolve_name",
    "wrap_torch_function",
]  # fmt: skip

Tensor: Any = tg.Tensor


class _State(threading.local):
    """What this thread asks: nobody while `off`, then the modes, the innermost last."""

    off = 0
    modes: tuple[TorchFunctionMode, ...] = ()


_STATE = _State()
_PUT: list[Callable[[], None]] = []
"""What takes the questions away again; empty as long as nobody is asked."""


# Who is asked


def _not_asked(cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """Stand as `__torch_function__` of a class whose objects are ordinary tensors."""
    return func(*args, **(kwargs or {}))


_disabled_torch_function_impl: Any = classmethod(_not_asked)


def _asks(kind: type) -> bool:
    """Test whether objects of a class want to see calls."""
    method = getattr(kind, "__torch_function__", None)
    if method is None or is_own(kind):
        return False
    return getattr(method, "__func__", method) is not _not_asked


def _overloaded(values: Iterable[Any]) -> list[Any]:
    """List one object of each class that wants to see the call, subclasses before their bases."""
    found: list[Any] = []
    for value in values:
        for x in value if value.__class__ is tuple or value.__class__ is list else (value,):
            kind = x.__class__
            if kind is Tensor or not _asks(kind) or any(kind is type(f) for f in found):
                continue
            at = (i for i, f in enumerate(found) if issubclass(kind, type(f)))
            found.insert(next(at, len(found)), x)
    return found


def _answer(func: Any, found: list[Any], args: Any, kwargs: Any) -> Any:
    """Return what the innermost mode says to a call, or the first object that wants to see it."""
    kinds, modes = tuple(type(x) for x in found), _STATE.modes
    if modes:
        _STATE.modes = modes[:-1]
        try:
            result = modes[-1].__torch_function__(func, kinds, args, kwargs)
        finally:
            _STATE.modes = modes
        if result is not NotImplemented:
            return result
    for x in found:
        result = x.__torch_function__(func, kinds, args, kwargs)
        if result is not NotImplemented:
            return result
    raise TypeError(
        f"Multiple dispatch failed for '{resolve_name(func)}'; all __torch_function__ handlers returned "
        f"NotImplemented: {', '.join(k.__name__ for k in kinds) or type(modes[-1]).__name__}"
    )


def _asked(inner: Any, func: Any) -> Any:
    """Return the call of `inner` that asks first; `func` is what is told to be called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if _STATE.off and not _STATE.modes:
            return inner(*args, **kwargs)
        found = [] if _STATE.off else _overloaded((*args, *kwargs.values()))
        if found or _STATE.modes:
            return _answer(func or call, found, args, kwargs)
        return inner(*args, **kwargs)

    return call


# Functions, methods and properties that ask

_TEMPLATE = "lambda *args, **kwargs: 'asked'(*args, **kwargs)"


def _intercept(fn: types.FunctionType) -> None:
    """Let a function ask first, in its place."""
    code, wrapped = fn.__code__, fn.__dict__.get("__wrapped__")
    inner = types.FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    inner.__kwdefaults__ = fn.__kwdefaults__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        template = eval(_TEMPLATE).__code__
    asked = _asked(inner, fn)
    consts = tuple(asked if c == "asked" else c for c in template.co_consts)
    fn.__code__ = template.replace(
        co_consts=consts, co_freevars=code.co_freevars, co_name=code.co_name
    )
    if wrapped is None:
        fn.__wrapped__ = inner  # type: ignore[attr-defined]

    def undo() -> None:
        fn.__code__ = code
        if wrapped is None:
            del fn.__wrapped__  # type: ignore[attr-defined]

    _PUT.append(undo)


def _functions_of_nn() -> list[Any]:
    """List the public functions of `nn.functional`."""
    names = vars(import_module("tabgrad.nn.functional"))
    known = set(map(id, public.SHOWN))
    return [
        fn
        for name, fn in names.items()
        if isinstance(fn, types.FunctionType) and name[0] != "_" and id(fn) not in known
    ]


_SAME = {
    **dict.fromkeys(("__add__", "__radd__"), "add"), **dict.fromkeys(("__mul__", "__rmul__"), "mul"),
    "__sub__": "sub", "__truediv__": "div", "__matmul__": "matmul", "__pow__": "pow",
    "__neg__": "neg", "__abs__": "abs", "__gt__": "gt", "__ge__": "ge", "__lt__": "lt",
    "__le__": "le", "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
}  # fmt: skip
"""The methods that operators are told to be calls of."""
_SILENT = frozenset((
    "__new__", "__init__", "__init_subclass__", "__torch_function__", "__hash__", "__getattr__",
    "__setattr__", "__delattr__", "__dir__", "__iter__", "as_subclass", "new", "__array_namespace__",
    "__torch_dispatch__",
))  # fmt: skip
"""Methods that ask nobody."""
_PROPERTIES = ("T", "H", "mT", "mH", "data", "real", "imag")


class _LateMethod:
    """A method of a late room that will ask first."""

    def __init__(self, name: str, home: Any) -> None:
        self.name, self.home = name, home

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        delattr(Tensor, self.name)
        method = _method(self.name, self.home.__get__(None, Tensor))
        setattr(Tensor, self.name, method)
        return method.__get__(instance, owner)


def _method(name: str, inner: Any) -> Any:
    """Return the method `name` that asks first."""
    if not isinstance(inner, types.FunctionType):
        return inner
    same = _SAME.get(name)
    method = _asked(inner, None if same is None else getattr(Tensor, same))
    functools.update_wrapper(method, inner)
    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    return method


def _property(held: property) -> property:
    """Return a property that asks first, by its `__get__`."""

    def ask(self: Any) -> Any:
        return call(self)

    made = property(ask, held.fset, held.fdel, held.__doc__)
    call = _asked(held.fget, made.__get__)
    return made


def _quiet(inner: Any) -> Any:
    """Return a method during which nobody is asked."""

    @functools.wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        with DisableTorchFunction():
            return inner(*args, **kwargs)

    return call


def _elements(self: Any) -> Any:
    if not self.dim():
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def _methods() -> dict[str, Any]:
    """Return what Tensor has in place of its methods and properties while somebody is asked."""
    raw: dict[str, Any] = {}
    for owner in reversed(Tensor.__mro__[:-2]):  # without the base of all tensors, and object
        raw.update(vars(owner))
    names = [n for n in raw if n not in _SILENT and (n[0] != "_" or n[:2] == "__")]
    found: dict[str, Any] = {}
    for name in sorted(names, key=lambda n: n in _SAME):
        value = raw[name]
        if isinstance(value, late.Late):
            found[name] = _LateMethod(name, value)
        elif isinstance(value, types.FunctionType) and name not in _SAME:
            found[name] = _method(name, value)
        elif isinstance(value, property) and name in _PROPERTIES:
            found[name] = _property(value)
    return {**found, "__iter__": _elements, "as_subclass": _quiet(Tensor.as_subclass)}


def activate() -> None:
    """Let every public function and method ask first."""
    if _PUT:
        return
    names = ("tabgrad.linalg", "tabgrad.special", "tabgrad.fft", "tabgrad.nn")
    functions = [*map(import_module, names)] and [*public.SHOWN, *_functions_of_nn()]
    own = dict(vars(Tensor))
    before = {name: getattr(Tensor, name) for name in _SAME}
    methods = _methods()

    def undo() -> None:
        for name in {*methods, *before}:
            if name in own:
                setattr(Tensor, name, own[name])
            elif name in vars(Tensor):
                delattr(Tensor, name)
        public.ON_SHOWN.remove(_intercept_all)

    _PUT.append(undo)
    for name, value in methods.items():
        setattr(Tensor, name, value)
    for name, value in before.items():
        setattr(Tensor, name, _method(name, value))
    _intercept_all(functions)
    public.ON_SHOWN.append(_intercept_all)


def welcome(cls: type) -> None:
    """Let a new class of tensors be asked; one with a `__torch_function__` of its own sees properties, too."""
    activate()
    if "__torch_function__" in vars(cls) and _asks(cls):
        _PUT.append(import_module("tabgrad.class_properties").put(cls, _asked))


def _intercept_all(functions: Iterable[Any]) -> None:
    for fn in {id(fn): fn for fn in functions}.values():
        _intercept(fn)


@on_restore
def deactivate() -> None:
    """Take the questions away again."""
    while _PUT:
        _PUT.pop()()


def wanted(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """After a call has failed: test whether an argument wanted to see it, and nobody was asked."""
    if _PUT or not _overloaded((*args, *kwargs.values())):
        return False
    activate()
    return True


# What a class may do


def convert(result: Any, cls: type) -> Any:
    """Return a result with the tensors in it as ones of the class `cls`."""
    if cls is Tensor:
        return result
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else result.as_subclass(cls)
    if isinstance(result, tuple | list) and any(isinstance(r, Tensor) for r in result):
        parts = [convert(r, cls) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def as_this_class(cls: Any, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
    """Call `func` as if its arguments were plain tensors; its tensors become ones of `cls`."""
    if not all(issubclass(cls, k) for k in kinds):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        result = func(*args, **(kwargs or {}))
        return result if func in get_default_nowrap_functions() else convert(result, cls)


class DisableTorchFunctionSubclass:
    """Inside this block subclasses of Tensor and other objects see no calls.

    >>> import tabgrad as tg
    >>> class Mine(tg.Tensor):
    ...     pass
    >>> x = tg.ones(2, device="cpu").as_subclass(Mine)
    >>> with DisableTorchFunctionSubclass():
    ...     type(x + 1).__name__
    'Tensor'
    """

    def __enter__(self) -> Self:
        _STATE.off += 1
        return self

    def __exit__(self, *error: object) -> None:
        _STATE.off -= 1


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Inside this block no object and no mode sees calls."""

    def __enter__(self) -> Self:
        self._modes, _STATE.modes = _STATE.modes, ()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__()
        _STATE.modes = self._modes


class TorchFunctionMode:
    """Inside a block of a mode, its `__torch_function__` sees every call of a public function.

    It is not asked for the calls that it makes itself.

    >>> import tabgrad as tg
    >>> class Named(TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> with Named():
    ...     y = tg.ones(2, device="cpu").mean()
    ones
    mean
    """

    def __torch_function__(
        self, func: Any, types: tuple[type, ...], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __torch_function__")

    def __enter__(self) -> Self:
        activate()
        _STATE.modes = (*_STATE.modes, self)
        return self

    def __exit__(self, *error: object) -> None:
        _STATE.modes = _STATE.modes[:-1]

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a mode, to be entered."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that lets every call go on."""

    def __torch_function__(
        self, func: Any, types: tuple[type, ...], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


# What programs ask


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Test whether an argument, or a mode, wants to see a call."""
    return bool(_STATE.modes or (not _STATE.off and _overloaded(relevant_args)))


def has_torch_function_unary(obj: Any) -> bool:
    """Test whether `obj`, or a mode, wants to see a call."""
    return has_torch_function((obj,))


def has_torch_function_variadic(*args: Any) -> bool:
    """Test whether one of the arguments, or a mode, wants to see a call."""
    return has_torch_function(args)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Return what `__torch_function__` of the arguments says to a call of `public_api`.

    Raises TypeError if all of them return NotImplemented.
    """
    return _answer(public_api, _overloaded(relevant_args), args, kwargs)


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[..., Any]:
    """Decorate a function so that it asks first; `dispatcher` picks the arguments that may want to see it."""

    def decorate(func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def call(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(call, relevant, *args, **kwargs)
            return func(*args, **kwargs)

        return call

    return decorate


def is_tensor_like(inp: Any) -> bool:
    """Test whether `inp` is a tensor or has `__torch_function__`."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


@functools.cache
def get_default_nowrap_functions() -> frozenset[Any]:
    """Return what gives results that don't become ones of a subclass."""
    return frozenset((Tensor._base.__get__, Tensor.grad.__get__))


def get_overridable_functions() -> dict[Any, list[Any]]:
    """Return the functions that can be overridden, by the module or class that has them."""
    activate()
    root = import_module(Package.name)
    found: dict[Any, list[Any]] = {root: [], Tensor: [], tg.nn.functional: _functions_of_nn()}
    for fn in public.SHOWN:
        rooted = getattr(tg, fn.__name__, None) is fn
        found.setdefault(root if rooted else import_module(module_of(fn)), []).append(fn)
    methods = (getattr(Tensor, n) for n in sorted({*vars(Tensor)}) if n not in _SILENT)
    found[Tensor] = [m for m in methods if isinstance(m, types.FunctionType)]
    return found


def get_testing_overrides() -> dict[Any, Callable[..., int]]:
    """Return a function that gives −1 for each function that can be overridden."""
    functions = (fn for listed in get_overridable_functions().values() for fn in listed)
    return {fn: lambda *args, **kwargs: -1 for fn in functions}


def get_ignored_functions() -> set[Any]:
    """Return functions that no object sees, because they take no tensors."""
    makers = "zeros ones empty full arange linspace logspace eye rand randn randint randperm tensor as_tensor"
    return {*(getattr(tg, n) for n in makers.split()), tg.is_tensor, Tensor.as_subclass, Tensor.new}


def is_tensor_method_or_property(func: Any) -> bool:
    """Test whether `func` is a method of Tensor, or the `__get__` of one of its properties."""
    name = getattr(func, "__name__", "")
    return name == "__get__" or getattr(Tensor, name, None) is func


def resolve_name(f: Any) -> str | None:
    """Return the name by which users call `f`; None if it is nothing that can be overridden.

    >>> import tabgrad as tg
    >>> resolve_name(tg.nn.functional.relu)
    'tabgrad.nn.functional.relu'
    """
    root, name = Package.name, getattr(f, "__name__", "")
    if name == "__get__":
        held = f.__self__
        its = next((n for n in dir(Tensor) if getattr(Tensor, n, None) is held), "")
        return f"{root}.Tensor.{its}.__get__"
    places = (
        (tg, root), (Tensor, f"{root}.Tensor"), (tg.nn.functional, f"{root}.nn.functional"),
        (tg.linalg, f"{root}.linalg"), (tg.special, f"{root}.special"), (tg.fft, f"{root}.fft"),
    )  # fmt: skip
    for home, told in places:
        if name and getattr(home, name, None) is f:
            return f"{told}.{name}"
    return None
