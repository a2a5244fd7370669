"""Parameters and buffers that are functions of others: `weight` computed from what is trained, at each use.

The function is a module; several in a row are composed. What the tensor is computed from is
`module.parametrizations.weight.original`, the parameter that was there before (`original0`, `original1`, ...
where a `right_inverse` gives several).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tabgrad as tg
from tabgrad.core.settings import setting
from tabgrad.nn.containers import ModuleDict, ModuleList
from tabgrad.nn.module import Module
from tabgrad.nn.parameter import Parameter

Tensor = tg.Tensor


@setting
class _Cache:
    """The tensors that were computed in a block of `cached`, None outside of one."""

    value: Any = None


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once in the block, at its first use.

    >>> import tabgrad as tg
    >>> with tg.nn.utils.parametrize.cached():
    ...     pass
    """
    before = _Cache.value
    if before is None:
        _Cache.value = {}
    try:
        yield
    finally:
        _Cache.value = before


def _keep(module: Module, name: str, tensor: Tensor | None) -> None:
    """Register a tensor of a module as what it is: a parameter or a buffer."""
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


class ParametrizationList(ModuleList):
    """The functions that compute one tensor of a module, and what they compute it from.

    `unsafe` says that they may change dtype and shape.
    """

    def __init__(
        self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False
    ) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with tg.no_grad():
            new: Any = self._undone(original)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        self._take(original, new)
        if not self.unsafe:
            self._check(self(), shape, dtype)

    def _take(self, original: Any, new: Any) -> None:
        """Keep what the tensor is computed from."""
        if self.is_tensor:
            if original.dtype is not new.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            if new is not original:
                with tg.no_grad():
                    original.data = new.detach()
            _keep(self, "original", original)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                        f"element {i} of the sequence with type {type(part).__name__}."
                    )
                trained = isinstance(original, Parameter)
                kept = Parameter(part, original.requires_grad) if trained else part
                _keep(self, f"original{i}", kept)

    def _undone(self, value: Any) -> Any:
        """Return what the functions would make `value` of."""
        for module in reversed(list(self)):
            if not hasattr(module, "right_inverse"):
                if len(self) > 1 or not isinstance(value, Tensor):
                    return value
                continue
            try:
                value = module.right_inverse(value)
            except NotImplementedError:
                # the value that was there is then what is computed from
                return value
        if not isinstance(value, Tensor | Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                f"{type(value).__name__}"
            )
        return value

    @staticmethod
    def _check(found: Any, shape: Any, dtype: Any) -> None:
        if not isinstance(found, Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(found).__name__}.")
        if found.dtype is not dtype:
            raise ValueError(
                "Registering a parametrization may not change the dtype of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized dtype: {dtype}\nparametrized dtype: {found.dtype}"
            )
        if found.shape != shape:
            raise ValueError(
                "Registering a parametrization may not change the shape of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized shape: {shape}\nparametrized shape: {found.shape}"
            )

    def right_inverse(self, value: Tensor) -> None:
        """Set what the tensor is computed from, so that it becomes `value`."""
        with tg.no_grad():
            new: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                new = module.right_inverse(new)
            parts = [new] if self.is_tensor else list(new)
            if not self.is_tensor and len(parts) != self.ntensors:
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors of length "
                    f"{self.ntensors}. Got a sequence of length {len(parts)}."
                )
            for original, part in zip(self.originals(), parts, strict=True):
                if part.dtype is not original.dtype:
                    raise ValueError(
                        f"The tensor returned by `right_inverse` has dtype {part.dtype} while the original has "
                        f"{original.dtype}"
                    )
                original.data = part.detach().clone() if part is value else part.detach()

    def originals(self) -> list[Any]:
        """Return what the tensor is computed from."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def forward(self, *args: Any) -> Any:
        """Return the tensor."""
        first, *rest = self
        found = first(*self.originals())
        for module in rest:
            found = module(found)
        return found


def _computed(name: str) -> property:
    """Return the property of a module's class that computes a tensor, and sets it by the inverses."""

    def get(self: Any) -> Any:
        kept = _Cache.value
        if kept is None:
            return self.parametrizations[name]()
        key = id(self), name
        if key not in kept:
            kept[key] = self, self.parametrizations[name]()
        return kept[key][1]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)


def _own_class(module: Module) -> None:
    """Give a module a class of its own, which can have properties."""
    kind: Any = type(module)

    def state(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(): save that, and load "
            "it into a module that is parametrized in the same way"
        )

    def copied(self: Any, memo: dict[int, Any]) -> Any:
        own: Any = type(self)
        found = memo[id(self)] = own.__new__(own)
        found.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return found

    body: dict[str, Any] = {"__getstate__": state, "__module__": kind.__module__}
    if not hasattr(kind, "__deepcopy__"):
        body["__deepcopy__"] = copied
    make: Any = type
    module.__class__ = make(f"Parametrized{kind.__name__}", (kind,), body)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make a parameter or buffer of `module` the result of a function of itself; return the module.

    What is trained is then the argument of the function. If this has a method `right_inverse` the argument is
    set so that the tensor keeps its value, and the tensor can be assigned; a further function is applied to the
    result of those before. Dtype and shape must stay, unless `unsafe`.

    >>> import tabgrad as tg
    >>> class Symmetric(tg.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = tg.nn.Linear(3, 3, device="cpu")
    >>> _ = tg.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found: Any = module.parametrizations
        if not unsafe:
            before = getattr(module, tensor_name)
            ParametrizationList._check(parametrization(before), before.shape, before.dtype)
        found[tensor_name].append(parametrization)
        found[tensor_name].unsafe |= unsafe
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _own_class(module)
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _computed(tensor_name))
    module.parametrizations[tensor_name] = made
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Return whether a module, or its tensor of this name, is parametrized."""
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized tensor an ordinary one again, with its present value; return the module.

    Unless `leave_parametrized` it gets the value that it was computed from, which must be one tensor.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    table: Any = module.parametrizations
    found = table[tensor_name]
    trained = found.originals()[0]
    if not leave_parametrized and not found.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms "
            "of a sequence of tensors."
        )
    if leave_parametrized:
        with tg.no_grad():
            value = getattr(module, tensor_name).detach()
        if found.is_tensor:
            # the optimizer may have it
            trained.data = value
        else:
            trained = Parameter(value) if isinstance(trained, Parameter) else value
    kind = type(module)
    delattr(kind, tensor_name)
    del table[tensor_name]
    _keep(module, tensor_name, trained)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = kind.__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """Return the class that a module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give `to_module` the parametrizations of another module and what they compute from; return it.

    Of all tensors, or of one.
    """
    if not is_parametrized(from_module):
        return to_module
    table: Any = from_module.parametrizations
    for name in [tensor_name] if tensor_name is not None else list(table):
        if name not in table:
            continue
        if not hasattr(to_module, name):
            setattr(to_module, name, copy.deepcopy(table[name].originals()[0]))
        for function in table[name]:
            register_parametrization(
                to_module, name, copy.deepcopy(function), unsafe=table[name].unsafe
            )
        there: Any = to_module.parametrizations
        for mine, theirs in zip(there[name].originals(), table[name].originals(), strict=True):
            mine.data = theirs.detach().clone()
    return to_module


__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip
