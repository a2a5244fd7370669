"""`tabgrad.compile`: captures a call once, and replays it while nothing that it depends on has changed.

The modules of this package are imported when something is compiled, so that a page which compiles nothing does
not load them. The README says what each is for.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tabgrad.core.submodules import missing_from
from tabgrad.core.trace import Box

if TYPE_CHECKING:
    from tabgrad.compiler.compiled import Compiled as Compiled
    from tabgrad.compiler.explanation import (
        Explanation as Explanation,
        KernelExplanation as KernelExplanation,
        ValueExplanation as ValueExplanation,
    )  # fmt: skip
    from tabgrad.compiler.marks import (
        allow_in_graph as allow_in_graph,
        assume_constant_result as assume_constant_result,
        cudagraph_mark_step_begin as cudagraph_mark_step_begin,
        disable as disable,
        is_compiling as is_compiling,
        is_dynamo_compiling as is_dynamo_compiling,
        is_exporting as is_exporting,
        list_backends as list_backends,
        reset as reset,
    )  # fmt: skip
    from tabgrad.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


@overload
def compile(
    model: F, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = None,
    mode: str | None = None, options: dict[str, Any] | None = None, disable: bool = False,
) -> F: ...  # fmt: skip
@overload
def compile(
    model: None = None, *, fullgraph: bool = False, dynamic: bool | None = None,
    backend: Any = None, mode: str | None = None, options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Callable[[F], F]: ...  # fmt: skip


def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None,
    backend: Any = None, mode: str | None = None, options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:  # fmt: skip
    """Compile `model`, a function or module, so that repeated calls are replayed without running its Python.

    A compiled call has the results and effects of the plain call. The first call with new shapes, dtypes,
    devices or static values runs, and is captured with all its effects: forward, backward, clipping, the
    optimizer's step, random draws, writes to arguments, buffers and gradients. Later calls send one packet,
    while everything that the call read is unchanged: globals, closures, attributes, lists and dicts, modes,
    hooks, facts of tensors, options of optimizers. If something has changed, the call is traced again; after
    eight traces for one cause it runs plainly, and one warning names the cause. Learning rates, step counts and
    seeds are read at each call.

    A call that can't be repeated is not replayed, and its Python runs each time: it prints, counts, appends,
    assigns attributes, or returns a tensor that still needs its gradient. A call that reads a value (`.item()`,
    `if loss > 0`) warns once with the line; with `fullgraph=True` it raises CaptureError. Generators,
    coroutines and calls on `cpu` run plainly. `compiled.explain(...)` describes what is captured, and why not.

    `dynamic` chooses the sizes for which kernels are compiled: with True each kernel serves all sizes, with
    False one. By default the kernels for the first sizes serve only these, and those for the second sizes serve
    all others. A call with new sizes runs the function once to capture it, but compiles nothing if kernels
    serve it. The first dim of each argument is assumed to vary; if another dim varies, its first change
    compiles once more. A module becomes a module that wraps it, `nn.optimized.OptimizedModule`: its attributes
    are those of the inner module, and names in its state dict begin with `_orig_mod.`. `module.compile()`
    compiles a module's calls and keeps the names. `backend`, `mode` and `options` are accepted as in PyTorch,
    and ignored; with `disable` the function is returned unchanged.

    >>> import tabgrad as tg
    >>> @tg.compile
    ... def double(x):
    ...     return x * 2
    >>> double(tg.tensor([1.0, 2.0], device="cpu"))
    tensor([2., 4.])
    """
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options,
            disable=disable,
        )  # fmt: skip
    if not callable(model):
        kind = type(model).__name__
        above = f"; write @{kind} above it" if kind in ("classmethod", "property") else ""
        raise TypeError(f"compile: expected a function or a module, got {kind}{above}")
    if disable:
        return model
    home = getattr(type(model), "_optimized_by", None)
    if home is not None:
        return importlib.import_module(home).OptimizedModule(model, dynamic, fullgraph)
    from tabgrad.compiler.compiled import Compiled

    return Compiled(model, dynamic, fullgraph)


@overload
def explain(what: Tensor) -> ValueExplanation: ...
@overload
def explain(what: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation: ...


def explain(what: Any, *args: Any, **kwargs: Any) -> Any:
    """Describe a compiled function, or how a tensor's value is computed; nothing is run.

    Of a compiled function: what it has captured for calls with such arguments, what these captures depend
    on, and why the last call was not replayed.

    >>> import tabgrad as tg
    >>> f = tg.compile(lambda x: x + 1)
    >>> x = tg.ones(2, device="cpu")
    >>> tg.compiler.explain(f, x).dispatches
    []

    Of a tensor that waits to be computed on a device: its plan, kernel after kernel, with the ops, the
    buffers, the grid and the source of each. That is the plan of this value alone. When a value is read,
    what else was recorded is computed with it, and may share its kernels. On `cpu`, where ops run at once,
    and where the value is in a buffer already, it says that there is no plan.

    >>> print(tg.compiler.explain(x * 2 + 1))
    float32[2] on cpu: no plan, NumPy computes each op at once
    """
    if isinstance(what, Box):
        if args or kwargs:
            raise TypeError(
                "explain: a tensor takes no further arguments; a compiled function does"
            )
        from tabgrad.compiler.explanation import explain_value

        return explain_value(what)
    found = getattr(what, "_compiled_call_impl", None) or what
    if not hasattr(type(found), "explain"):
        raise TypeError(
            f"explain: expected a tensor, or a function or module that tabgrad.compile has returned, got "
            f"{type(what).__name__}"
        )
    return found.explain(*args, **kwargs)


if not TYPE_CHECKING:
    _MARKS = (
        "allow_in_graph", "assume_constant_result", "cudagraph_mark_step_begin", "disable", "is_compiling",
        "is_dynamo_compiling", "is_exporting", "list_backends", "reset",
    )  # fmt: skip

    def __getattr__(name: str) -> object:
        """Import a class when it is first asked for."""
        if name == "Compiled":
            from tabgrad.compiler.compiled import Compiled

            return Compiled
        if name in ("Explanation", "KernelExplanation", "ValueExplanation"):
            return getattr(importlib.import_module("tabgrad.compiler.explanation"), name)
        if name in _MARKS:
            return getattr(importlib.import_module("tabgrad.compiler.marks"), name)
        return missing_from(__name__)(name)
