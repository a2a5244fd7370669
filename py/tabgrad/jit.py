"""TorchScript's names: plain code stays plain code here, and `compile` makes it fast.

`script` and `trace` return a module that is the one given, sharing all it has, or the function. What was
traced can be saved as a static graph for the traced shapes.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final as Final

import tabgrad as tg
from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.core.tree import map as _map
from tabgrad.nn.module import Module as _Module


class ScriptModule(_Module):
    """The class of what `script` and `trace` make of modules; a base for modules of one's own."""

    _traced: tuple[Any, ...] | None = None

    @property
    def original_name(self) -> str:
        """The name of the class that the module was of."""
        return type(self).__mro__[2].__name__

    def save(self, f: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the static graph for the traced shapes to a file, which `jit.load` reads.

        Raises RuntimeError for a module that was not traced: its shapes are not known.
        """
        _save(self, self._traced, f)


class ScriptFunction:
    """What `script` and `trace` make of functions: it is called like the function."""

    def __init__(self, fn: Callable[..., Any], traced: tuple[Any, ...] | None = None) -> None:
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._traced = traced

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._fn(*args, **kwargs)

    def save(self, f: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the static graph for the traced shapes to a file, which `jit.load` reads."""
        _save(self._fn, self._traced, f)


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a module that is `obj`, or the function; a class is returned as it is.

    >>> import tabgrad as tg
    >>> @tg.jit.script
    ... def double(x):
    ...     return 2 * x
    >>> double(tg.ones(2, device="cpu"))
    tensor([2., 2.])
    """
    if isinstance(obj, ScriptModule | ScriptFunction | type):
        return obj
    if isinstance(obj, _Module):
        return _shared(obj, None)
    if not callable(obj):
        raise TypeError(f"script: expected a function or a module, got {type(obj).__name__}")
    return ScriptFunction(obj)


def trace(
    func: Any,
    example_inputs: Any = None,
    optimize: Any = None,
    check_trace: bool = True,
    **kwargs: Any,
) -> Any:
    """Call a function or module once, as PyTorch does, and return one that does the same.

    Decisions that it takes by values stay decisions, where PyTorch keeps those of the example.

    >>> import tabgrad as tg
    >>> x = tg.ones(1, 2, device="cpu")
    >>> traced = tg.jit.trace(tg.nn.Flatten(0), x)
    >>> traced(x).shape
    tabgrad.Size([2])
    """
    if example_inputs is None:
        raise RuntimeError("trace: expected example_inputs, a tensor or a tuple of arguments")
    given = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    with tg.no_grad():
        func(*given)
    shapes = _map(lambda x: x.detach() if isinstance(x, tg.Tensor) else x, given)
    return _shared(func, shapes) if isinstance(func, _Module) else ScriptFunction(func, shapes)


def trace_module(mod: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Do what `trace` does, with the example for `forward` in a dict."""
    if set(inputs) != {"forward"}:
        raise ValueError(f"trace_module: expected inputs of 'forward' alone, got {sorted(inputs)}")
    return trace(mod, inputs["forward"])


def _shared(module: Any, traced: Any) -> Any:
    kind = type(module)
    own = {"__module__": kind.__module__, "_traced": traced}
    made: Any = object.__new__(type(kind.__name__, (ScriptModule, kind), own))
    made.__dict__ = module.__dict__
    return made


def _save(fn: Any, traced: tuple[Any, ...] | None, f: Any) -> None:
    if traced is None:
        raise RuntimeError(
            "jit.save: only what `jit.trace` made can be saved, since its shapes are known; save the state "
            "dict, or trace it with an example"
        )
    tg.export.save(tg.export(fn, traced), f)


def save(m: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write what `trace` made to a file: the static graph for the traced shapes."""
    if not isinstance(m, ScriptModule | ScriptFunction):
        raise TypeError(f"jit.save: expected what `jit.trace` returned, got {type(m).__name__}")
    m.save(f)


def load(f: str | os.PathLike[str] | IO[bytes], map_location: Any = None) -> Any:
    """Read a static graph that `jit.save` wrote; files of TorchScript raise FileFormatError."""
    return tg.export.load(f)


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """Return the module, which must be in evaluation mode."""
    if mod.training:
        raise RuntimeError("freeze: the module is in training mode; call .eval() first")
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """Return the module, which must be in evaluation mode."""
    return freeze(mod)


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Mark a method for TorchScript: it stays as it is."""
    return drop if callable(drop) else lambda fn: fn


def unused(fn: Any) -> Any:
    """Mark a method for TorchScript: it stays as it is."""
    return fn


def export(fn: Any) -> Any:
    """Mark a method for TorchScript: it stays as it is."""
    return fn


def script_method(fn: Any) -> Any:
    """Mark a method for TorchScript: it stays as it is."""
    return fn


def script_if_tracing(fn: Any) -> Any:
    """Mark a function for TorchScript: it stays as it is."""
    return fn


def interface(obj: Any) -> Any:
    """Mark a class for TorchScript: it stays as it is."""
    return obj


def annotate(the_type: Any, the_value: Any) -> Any:
    """Return the value; the type is for TorchScript.

    >>> import tabgrad as tg
    >>> tg.jit.annotate(list[int], [])
    []
    """
    return the_value


def is_scripting() -> bool:
    """Whether the code runs inside TorchScript: never.

    >>> import tabgrad as tg
    >>> tg.jit.is_scripting(), tg.jit.is_tracing()
    (False, False)
    """
    return False


def is_tracing() -> bool:
    """Whether the code runs inside `trace`: `trace` calls it plainly."""
    return False


class Future:
    """The result of `fork`, which is there already."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def wait(self) -> Any:
        """Return the result."""
        return self._value


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:
    """Call a function now; `wait` returns its result.

    >>> import tabgrad as tg
    >>> tg.jit.wait(tg.jit.fork(max, 1, 2))
    2
    """
    return Future(func(*args, **kwargs))


def wait(future: Future) -> Any:
    """Return the result of a `fork`."""
    return future.wait()


__path__: list[str] = []  # modules of `core/paths.py` stand below it
if not TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
