"""Ops of the user's own by PyTorch's names: `library.custom_op`, and `torch.ops`, where they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tabgrad.autograd.function import Function
from tabgrad.core import tree
from tabgrad.core.trace import Box


class CustomOpDef:
    """What `custom_op` returns: it is called like its function, and has the rules that were registered."""

    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        self._qualname = name
        self._name = name.partition("::")[2]
        self._fn = fn
        self._signature = inspect.signature(fn)
        self._shapes: Callable[..., Any] | None = None
        self._backward: Callable[..., Any] | None = None
        self._setup: Callable[..., Any] | None = None
        self.__name__, self.__doc__ = self._name, fn.__doc__

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Say what the op does on the device meta: `fn` returns tensors of the right shapes and dtypes."""
        self._shapes = fn
        return fn

    def register_autograd(
        self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """Say how gradients go back: `backward(ctx, *grads)` returns one for each argument, None for none.

        `setup_context(ctx, inputs, output)` saves what backward needs; `inputs` are all arguments.
        """
        self._backward, self._setup = backward, setup_context

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        leaves, structure = tree.flatten((bound.args, bound.kwargs))
        return _rules(self, structure).apply(*leaves)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = [x for x in tree.leaves((args, kwargs)) if isinstance(x, Box)]
        on_meta = any(x.device.type == "meta" for x in given)
        fn = self._shapes if on_meta and self._shapes is not None else self._fn
        out = fn(*args, **kwargs)
        if any(out is x for out in tree.leaves(out) for x in given):
            raise RuntimeError(
                f"{self._qualname}: an output of a custom operator may not be one of its inputs; clone() it"
            )
        return out

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"


def _rules(op: CustomOpDef, structure: Any) -> type[Function]:
    """Make the Function of a call, whose arguments are the leaves of what the user gave."""

    def whole(leaves: Iterable[Any]) -> Any:
        return tree.unflatten(structure, leaves)

    class Call(Function):
        @staticmethod
        def forward(*leaves: Any) -> Any:
            out = op._run(*whole(leaves))
            return tuple(out) if isinstance(out, list) else out

        @staticmethod
        def setup_context(ctx: Any, leaves: tuple[Any, ...], output: Any) -> None:
            if op._setup is None:
                return
            inputs, named = whole(leaves)
            more = {"keyword_only_inputs": named} if named else {}
            op._setup(ctx=ctx, inputs=inputs, output=output, **more)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            if op._backward is None:
                raise RuntimeError(
                    f"Trying to backward through {op._qualname} but no autograd formula was registered. "
                    "Please use register_autograd to add one."
                )
            found = op._backward(ctx, *grads)
            found = found if isinstance(found, tuple) else (found,)
            args, named = structure[2]
            if len(found) != len(args[2]):
                raise RuntimeError(
                    f"{op._qualname}: backward returned {len(found)} gradients for {len(args[2])} arguments"
                )
            return (
                *_by_leaf(args[2], found),
                *[None] * tree.count(named),
            )

    Call.__name__ = Call.__qualname__ = op._name
    return Call


def _by_leaf(structures: Iterable[Any], grads: Iterable[Any]) -> Iterator[Any]:
    """Yield the gradient of each leaf, in order; a gradient None is that of all leaves of its argument."""
    for structure, grad in zip(structures, grads, strict=True):
        if structure is tree.LEAF:
            yield grad
        elif grad is None:
            yield from [None] * tree.count(structure)
        elif structure is not None:
            yield from _by_leaf(structure[2], grad)


_OPS: dict[str, CustomOpDef] = {}


def custom_op(
    name: str, fn: Callable[..., Any] | None = None, /, *, mutates_args: str | Iterable[str],
    device_types: Any = None, schema: str | None = None, tags: Any = None,
) -> Any:  # fmt: skip
    """Make an op of a function of tensors, called `name`, "namespace::op"; it is at `torch.ops.namespace.op`.

    Gradients go only by what `register_autograd` says. The types of arguments are not asked for, so `schema`
    and `device_types` are not needed. Raises ValueError for a name without namespace. Without a function it
    is a decorator.

    >>> import tabgrad as tg
    >>> @tg.library.custom_op("docs::twice", mutates_args=())
    ... def twice(x):
    ...     return 2 * x
    >>> twice.register_autograd(lambda ctx, grad: 2 * grad)
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> tg.library.ops.docs.twice(x).backward()
    >>> x.grad
    tensor(2.)
    """
    if len(name.split("::")) != 2 or not all(name.split("::")):
        raise ValueError(f'custom_op: expected a name as "namespace::op", got {name!r}')
    if not isinstance(mutates_args, str) and list(mutates_args):
        raise NotImplementedError(
            f"custom_op: {name} would change its arguments {list(mutates_args)}; return new values instead"
        )

    def made(fn: Callable[..., Any]) -> CustomOpDef:
        _OPS[name] = CustomOpDef(name, fn)
        return _OPS[name]

    return made if fn is None else made(fn)


def _found(op: str | CustomOpDef, asked: str) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    if op not in _OPS:
        raise RuntimeError(f"{asked}: there is no custom op {op!r}; make it with library.custom_op")
    return _OPS[op]


def register_fake(op: str | CustomOpDef, func: Any = None, /, *, lib: Any = None) -> Any:
    """Say what a custom op does on the device meta, as its method does; a decorator without `func`."""
    found = _found(op, "register_fake")
    return found.register_fake if func is None else found.register_fake(func)


def register_autograd(
    op: str | CustomOpDef, backward: Callable[..., Any], /, *,
    setup_context: Callable[..., Any] | None = None, lib: Any = None,
) -> None:  # fmt: skip
    """Say how gradients go back through a custom op, as its method does."""
    _found(op, "register_autograd").register_autograd(backward, setup_context=setup_context)


class _Namespace:
    """The custom ops of one namespace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        space = self.name
        found = _OPS.get(f"{space}::{name}")
        if found is None or name.startswith("__"):
            raise AttributeError(f"'_OpNamespace' '{space}' object has no attribute '{name}'")
        return found

    def __dir__(self) -> list[str]:
        return sorted(n.partition("::")[2] for n in _OPS if n.startswith(f"{self.name}::"))


class _OfPyTorch:
    """One of PyTorch's own operators by its name there, `torch.ops.aten.add`: the function that computes it.

    Overloads (`.default`, `.Tensor`) are the same function.
    """

    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        self._name, self._fn = name, fn
        self.__name__, self.__doc__ = name.partition(".")[2], fn.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._fn(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name not in _OVERLOADS or "." in self.__dict__.get("__name__", "."):
            raise AttributeError(
                f"'{self.__dict__.get('_name')}' has no overload of the name '{name}' here"
            )
        made = _OfPyTorch(f"{self._name}.{name}", self._fn)
        setattr(self, name, made)
        return made

    def __repr__(self) -> str:
        return self._name


_OVERLOADS = frozenset(
    (
        "default Tensor Scalar int dim dim_IntList self Tensor_Scalar Scalar_Tensor Tensor_Tensor other"
    ).split()
)


class _Aten(_Namespace):
    """PyTorch's own operators, as far as a function here has their name and takes what they take."""

    def __getattr__(self, name: str) -> Any:
        import tabgrad as tg

        places = () if name.startswith("_") else (tg, tg.Tensor, tg.nn.functional)
        fn: Any = next((f for place in places if (f := getattr(place, name, None))), None)
        names = set(inspect.signature(fn).parameters) if inspect.isfunction(fn) else {"reduction"}
        # an operator takes a tensor; it has a number for a reduction, which the functions tell by name
        if "reduction" in names or names.isdisjoint(("input", "self", "tensors", "tensor")):
            raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}' here")
        made = _OfPyTorch(f"aten.{name}", fn)
        setattr(self, name, made)
        return made


class _Ops:
    """Namespaces of custom ops; there are only those in which an op was made, and PyTorch's `aten`."""

    def __getattr__(self, name: str) -> Any:
        if name == "aten":
            self.aten = _Aten(name)
            return self.aten
        if not any(op.startswith(f"{name}::") for op in _OPS):
            raise AttributeError(f"module 'torch.ops' has no namespace {name!r} of custom ops")
        made = _Namespace(name)
        setattr(self, name, made)
        return made

    def __dir__(self) -> list[str]:
        return sorted({n.partition("::")[0] for n in _OPS})


ops = _Ops()

__all__ = ["CustomOpDef", "custom_op", "ops", "register_autograd", "register_fake"]
