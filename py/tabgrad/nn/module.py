"""Module: a function with parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import tabgrad as tg
from tabgrad.core.shown import shown_by
from tabgrad.core.trace import MODE
from tabgrad.nn import hooks, state
from tabgrad.nn.conversion import Convertible
from tabgrad.nn.parameter import Buffer, Parameter
from tabgrad.tensor.writing import reset_grads

Tensor = tg.Tensor


class Module(Convertible, hooks.Hooked):
    """The base of layers and models: keeps parameters, buffers and submodules assigned as attributes.

    A subclass calls `super().__init__()` before it assigns any, and defines `forward`.

    >>> import tabgrad as tg
    >>> class Scale(tg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = tg.nn.Parameter(tg.tensor(2.0, device="cpu"))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(tg.tensor(3.0, device="cpu")).item()
    6.0
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    GUARDED: ClassVar[tuple[str, ...]] = (
        "training",
        "_parameters",
        "_buffers",
        "_modules",
        "_hooks",
        "forward",
    )
    """Attributes that a compiled call always depends on, because every call of a module reads them."""
    training: bool
    _version: int = 1
    _is_every: bool = True
    """True if hooks of all modules run for this one too."""
    _optimized_by: ClassVar[str] = "tabgrad.nn.optimized"
    """The name of the Python module with the class that `compile` wraps modules in."""
    _compiled_call_impl: Any = None
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _hooks: hooks.Hooks

    call_super_init: bool = False
    """True if `__init__` gives its arguments to the classes that follow in a multiple inheritance."""
    dump_patches: bool = False
    T_destination = TypeVar("T_destination", bound=dict[str, Any])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if (args or kwargs) and not self.call_super_init:
            raise TypeError(
                f"{type(self).__name__}.__init__() takes no arguments for Module, got "
                f"{[*args, *kwargs]}; a class with call_super_init = True gives them to its other bases"
            )
        for name, value in (
            ("training", True),
            ("_parameters", {}),
            ("_buffers", {}),
            ("_modules", {}),
            ("_non_persistent_buffers_set", set()),
            ("_hooks", {}),
        ):
            object.__setattr__(self, name, value)
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the calls of this module from now on; takes the arguments of `tabgrad.compile`.

        The module stays the module that it is, with the names in its state dict. A copy is not compiled.
        """
        self._compiled_call_impl = tg.compile(self._call_impl, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._compiled_call_impl is not None:
            return self._compiled_call_impl(*args, **kwargs)
        capture = MODE.get().capture
        if capture is not None:
            hooks.depend(capture, self)
        if (self._hooks or hooks.EVERYWHERE) and hooks.any_of(self):
            return hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def _replicate_for_data_parallel(self) -> Self:
        """Make a copy without parameters that shares all else."""
        replica = object.__new__(type(self))
        replica.__dict__.update(self.__dict__)
        fields = {"_parameters": {}, "_buffers": {**self._buffers}, "_modules": {**self._modules}}
        replica.__dict__.update(fields, _is_replica=True)
        return replica

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        """Run a call that is not compiled."""
        hooks.depend(MODE.get().capture, self)
        return hooks.call(self, args, kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_compiled_call_impl", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(hooks.restored(state))

    # Attributes

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            kept = fields.get(table)
            if kept is not None and name in kept:
                return kept[name]
        if name in hooks.Table.KINDS:
            return hooks.Table(self, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        for kind, table, keep in _KEPT:
            kept = fields.get(table)
            if isinstance(value, kind):
                if kept is None:
                    raise _too_early(self, kind.__name__.lower())
                if name not in kept:
                    self._forget(name)
                keep(self, name, value)
                return
            if kept and name in kept:
                if value is not None and not (kind is Buffer and isinstance(value, Tensor)):
                    wanted = "Tensor" if kind is Buffer else kind.__name__
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {table[1:-1]} '{name}' "
                        f"(expected {wanted} or None)"
                    )
                kept[name] = value
                return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def _forget(self, name: str) -> bool:
        self._non_persistent_buffers_set.discard(name)
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                return True
        if name in self.__dict__:
            del self.__dict__[name]
            return True
        return False

    def __dir__(self) -> list[str]:
        kept = (*self._parameters, *self._buffers, *self._modules)
        return sorted({*object.__dir__(self), *kept})

    # Registration

    def _check_name(self, kind: str, name: str) -> None:
        if "_parameters" not in self.__dict__:
            raise _too_early(self, kind)
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string, got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name!r}')
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in self.__dict__[f"_{kind}s"] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Keep `param` under `name`; None reserves the name for an absent parameter."""
        self._check_name("parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(expected nn.Parameter or None)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"cannot assign non-leaf Tensor to parameter '{name}': model parameters must be "
                "created explicitly; to express it as a function of another tensor, compute the "
                "value in the forward() method"
            )
        self._parameters[name] = hooks.registered(self, "parameter", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep `tensor` under `name`: moved with the module and saved if `persistent`, but not trained."""
        self._check_name("buffer", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(expected Tensor or None)"
            )
        self._buffers[name] = hooks.registered(self, "buffer", name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Keep `module` under `name`."""
        self._check_name("module", name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = hooks.registered(self, "module", name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Keep `module` under `name`; the same as `add_module`."""
        self.add_module(name, module)

    # Traversal

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield every module with its dotted name, this one first; one that occurs twice comes once."""
        seen = set() if memo is None else memo
        if self in seen:
            return
        if remove_duplicate:
            seen.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(seen, below, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield every module, this one first."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct submodules with their names."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the direct submodules."""
        return (child for _, child in self.named_children())

    def _named_members(
        self, get_members_fn: Callable[[Module], Iterable[tuple[str, Any]]], prefix: str = "",
        recurse: bool = True, remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:  # fmt: skip
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in get_members_fn(module):
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their dotted names."""
        return self._named_members(state.parameters_of, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, those of submodules too if `recurse`."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers with their dotted names."""
        return self._named_members(state.buffers_of, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, those of submodules too if `recurse`."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Find the submodule of this dotted name; raise AttributeError if there is none."""
        module = self
        for part in target.split(".") if target else ():
            found = getattr(module, part, None)
            if not isinstance(found, Module):
                raise AttributeError(f"{type(module).__name__} has no submodule `{part}`")
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` in the place of this dotted name; with `strict` there must be a submodule there.

        Raises ValueError for no name or no module, AttributeError where there is no such place.

        >>> import tabgrad as tg
        >>> net = tg.nn.Sequential(tg.nn.Sequential(tg.nn.ReLU()))
        >>> net.set_submodule("0.0", tg.nn.Tanh())
        >>> net[0][0]
        Tanh()
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if not isinstance(getattr(parent, name, module), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def _get(self, target: str, table: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = getattr(module, table).get(name)
        if found is None:
            raise AttributeError(f"{type(module).__name__} has no {kind} `{name}`")
        return found

    def get_parameter(self, target: str) -> Parameter:
        """Find the parameter of this dotted name; raise AttributeError if there is none."""
        return cast(Parameter, self._get(target, "_parameters", "parameter"))

    def get_buffer(self, target: str) -> Tensor:
        """Find the buffer of this dotted name; raise AttributeError if there is none."""
        return cast(Tensor, self._get(target, "_buffers", "buffer"))

    # Changes of all at once

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every submodule and then on this one; typically to initialise."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode, which dropout, batch norm and the like ask for."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        object.__setattr__(self, "training", mode)
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say whether the parameters are to be trained."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or make them zero."""
        reset_grads(list(self.parameters()), set_to_none)

    # State dicts

    def state_dict(
        self, *args: Any, destination: dict[str, Any] | None = None, prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Collect parameters and persistent buffers by dotted name, detached unless `keep_vars`."""
        given = (*args, *(destination, prefix, keep_vars)[len(args) :])
        return state.state_dict(self, *given)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy a state dict in, or with `assign` take its tensors over; return the keys that did not fit.

        With `strict`, missing and unexpected keys raise RuntimeError; shapes that differ always do.
        """
        return state.load_state_dict(self, state_dict, strict, assign)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        state.save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: dict[str, Any],
        strict: bool, missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        state.load_own(
            self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
            error_msgs,
        )  # fmt: skip

    get_extra_state = state.no_extra_state

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` returned."""
        raise RuntimeError("set_extra_state: this module has no extra state")

    # Text

    def extra_repr(self) -> str:
        """Describe the text between the parentheses of the printed module."""
        return ""

    _repr_html_ = shown_by("module")

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        below = []
        for name, child in self._modules.items():
            below.append(f"({name}): " + repr(child).replace("\n", "\n  "))
        if len(lines) == 1 and not below:
            return f"{self._get_name()}({lines[0]})"
        lines += below
        inside = "\n  " + "\n  ".join(lines) + "\n" if lines else ""
        return f"{self._get_name()}({inside})"


def _keep_module(module: Module, name: str, child: Module) -> None:
    """Keep a submodule that is assigned: no attribute is asked for, because `__getattr__` may be the user's."""
    module._modules[name] = hooks.registered(module, "module", name, child)


_KEPT: tuple[tuple[type, str, Callable[[Any, str, Any], None]], ...] = (
    (Parameter, "_parameters", lambda m, name, p: m.register_parameter(name, p)),
    (Module, "_modules", _keep_module),
    (Buffer, "_buffers", lambda m, name, b: m.register_buffer(name, b, b.persistent)),
)


def unusual(module: Module, **usual: Any) -> str:
    """Describe each attribute of a module that differs from its usual value as ", name=value"."""
    found = {name: getattr(module, name) for name in usual}
    return "".join(f", {name}={value}" for name, value in found.items() if value != usual[name])


def _too_early(module: Module, kind: str) -> AttributeError:
    return AttributeError(
        f"cannot assign a {kind} before Module.__init__() call; "
        f"call super().__init__() first in {type(module).__name__}.__init__"
    )


if TYPE_CHECKING:
    from collections.abc import Mapping

    class Layer(Module):
        """A module whose result is a tensor, as type checkers see it."""

        def __call__(self, *args: Any, **kwargs: Any) -> Tensor: ...

else:
    Layer = Module


class Optioned(Layer):
    """A module that passes the attributes named in `_options` to a function; a replay compares them."""

    _options: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.GUARDED = (*Module.GUARDED, *cls._options)

    def _given(self) -> dict[str, Any]:
        """Collect the options by name; `compile` does not analyse this `getattr`, which may read anything."""
        return {name: getattr(self, name) for name in self._options}
