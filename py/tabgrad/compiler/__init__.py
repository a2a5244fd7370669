"""`tabgrad.compile`: calls captured once, and replayed while nothing that they depend on has changed.

`compiled` holds the callable; `watch` sees which code runs in a call and `state` what Python state that code
can read; `capture` notes tensors; `results` and `entry` make a replay of it; `keys` tells calls apart. They
are loaded when something is compiled: a page that compiles nothing does not wait for them.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from tabgrad.compiler.compiled import Compiled as Compiled
    from tabgrad.compiler.explanation import Explanation as Explanation

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
    """Return `model`, a function or module, so that repeated calls are replayed without running its Python.

    A compiled call means what the call means. The first with arguments of new shapes, dtypes, devices or
    static values runs, and is captured with all it does: forward, backward, clipping, the optimizer's step,
    random draws, writes to arguments, buffers and gradients. Later calls send one packet, as long as all that
    the call read is as it was: globals, closures, attributes, lists and dicts, modes, hooks, what tensors are,
    options of optimizers. Where something has changed, the call is traced anew; after eight times for one
    cause it runs as it is, and one warning names the cause. Learning rates, step counts and seeds are read
    at each call.

    What can't be repeated is not replayed, the Python runs each time: a call that prints, counts, appends,
    assigns attributes, or returns a tensor that still needs its gradient. One that reads a value (`.item()`,
    `if loss > 0`) warns once with the line; with `fullgraph=True` it raises CaptureError. Generators and
    coroutines, and calls on `cpu`, run as they are. `compiled.explain(...)` says what is captured and why not.

    `dynamic` says for which sizes the kernels are: those of True serve all, those of False one each. By
    default those of the first sizes are for them alone, and those of the second serve all others. A call of new
    sizes runs the function once more to capture it, but compiles nothing where kernels serve it. The first size
    of each argument is taken to vary; another that does compiles once more when it changes for the first time.
    A module becomes a module that wraps it, `nn.optimized.OptimizedModule`: attributes are those of the one
    inside, and names in its state dict begin with `_orig_mod.`. `module.compile()` compiles a module's calls
    and leaves the names. `backend`, `mode` and `options` are taken for PyTorch's sake and ignored; with
    `disable` the function is returned as it is.

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


def explain(compiled: Any, *args: Any, **kwargs: Any) -> Explanation:
    """Return what `compiled` has captured for calls with such arguments; nothing is run.

    >>> import tabgrad as tg
    >>> f = tg.compile(lambda x: x + 1)
    >>> tg.compiler.explain(f, tg.ones(2, device="cpu")).dispatches
    []
    """
    compiled = getattr(compiled, "_compiled_call_impl", None) or compiled
    found: Explanation = compiled.explain(*args, **kwargs)
    return found


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a class when it is first asked for."""
        if name == "Compiled":
            from tabgrad.compiler.compiled import Compiled

            return Compiled
        if name == "Explanation":
            from tabgrad.compiler.explanation import Explanation

            return Explanation
        raise AttributeError(f"module 'tabgrad.compiler' has no attribute {name!r}")
