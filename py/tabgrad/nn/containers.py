"""Modules and parameters in sequences and dictionaries."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self

import tabgrad as tg
from tabgrad.core.errors import warn
from tabgrad.nn.module import Module
from tabgrad.nn.parameter import Parameter


def _at(module: Module, index: int) -> str:
    n = len(module._modules)
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of range")
    return list(module._modules)[index]


class _Row(Module):
    """The base of Sequential and ModuleList: modules under the names 0, 1, 2, ..."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._of(list(self)[index], list(self._modules)[index])
        return self._modules[_at(self, index)]

    def _of(self, modules: list[Module], names: list[str]) -> Any:
        made = type(self).__new__(type(self))
        Module.__init__(made)
        made._modules.update(enumerate_names(modules))
        return made

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, _at(self, index), module)

    def _refill(self, modules: Iterable[Module]) -> None:
        new = enumerate_names(modules)
        self._modules.clear()
        self._modules.update(new)

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        if not isinstance(index, slice):
            _at(self, index)
        del kept[index]
        self._refill(kept)

    def append(self, module: Module) -> Self:
        """Add `module` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add `module` before the one at `index`."""
        if not isinstance(module, Module):
            raise TypeError(f"insert: expected a Module, got {type(module).__name__}")
        modules = list(self)
        modules.insert(index, module)
        self._refill(modules)
        return self

    def pop(self, key: int | slice) -> Any:
        """Remove the module at the index `key` and return it."""
        found = self[key]
        del self[key]
        return found


def enumerate_names(modules: Iterable[Module]) -> dict[str, Module | None]:
    """Give modules the names 0, 1, 2, ..."""
    return {str(i): m for i, m in enumerate(modules)}


class Container(Module):
    """A module with the given submodules; PyTorch's older name, which warns: subclass Module."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        warn("nn.Container is deprecated: subclass nn.Module", FutureWarning)
        for key, value in kwargs.items():
            self.add_module(key, value)


class Sequential(_Row):
    """A chain of modules: each gets the result of the one before.

    >>> import tabgrad as tg
    >>> tg.nn.Sequential(tg.nn.Flatten(), tg.nn.ReLU())
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def _of(self, modules: list[Module], names: list[str]) -> Sequential:
        made = type(self).__new__(type(self))
        Module.__init__(made)
        made._modules.update(zip(names, modules, strict=True))
        return made

    def extend(self, sequential: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        return super().extend(sequential)

    def forward(self, input: Any) -> Any:
        """Pass `input` through all modules."""
        for module in self:
            input = module(input)
        return input

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        return self.extend(other)

    def _times(self, times: int) -> list[Any]:
        if times <= 0:
            raise ValueError(f"Non-positive multiplication factor {times} for {type(self)}")
        return list(self) * times

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*self._times(times)) if isinstance(times, int) else NotImplemented

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        if not isinstance(times, int):
            return NotImplemented
        return self.extend(self._times(times)[len(self) :])


class ModuleList(_Row):
    """A list of modules; it has no forward."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, modules: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *modules])

    def __repr__(self) -> str:
        """Runs of equal modules are printed once, as `(0-3): 4 x ...`."""
        if not len(self):
            return self._get_name() + "()"
        runs: list[list[Any]] = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = []
        for first, last, text in runs:
            label = f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x "
            lines.append("  " + (label + text).replace("\n", "\n  "))
        return self._get_name() + "(\n" + "\n".join(lines) + "\n)"


class ModuleDict(Module):
    """A dict of modules; it has no forward."""

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove the module under `key` and return it."""
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module | None]:
        """Return the (name, module) pairs."""
        return self._modules.items()

    def values(self) -> ValuesView[Module | None]:
        """Return the modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add the modules of a mapping, or of (name, module) pairs."""
        pairs = modules.items() if hasattr(modules, "items") else modules
        for name, module in pairs:
            self[name] = module


class ParameterList(Module):
    """A list of parameters; a Tensor that is added becomes a Parameter."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        self.extend(values or ())

    def _name(self, index: int) -> str:
        if not -self._size <= index < self._size:
            raise IndexError(f"index {index} is out of range")
        return str(index % self._size)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return getattr(self, self._name(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name(index), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(self._size)])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a value at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several values at the end."""
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """Describe each value on a line of its own."""
        return "\n".join(
            f"  ({i}): {_described(v, lambda t: repr(t.dtype))}" for i, v in enumerate(self)
        )


class ParameterDict(Module):
    """A dict of parameters; a Tensor that is added becomes a Parameter."""

    def __init__(
        self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None
    ) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._keys.keys()

    def items(self) -> list[tuple[str, Any]]:
        """Return the (name, value) pairs."""
        return [(k, self[k]) for k in self._keys]

    def values(self) -> list[Any]:
        """Return the values."""
        return [self[k] for k in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value under `key`, or `default`."""
        return self[key] if key in self._keys else default

    def pop(self, key: str) -> Any:
        """Remove the value under `key` and return it."""
        found = self[key]
        del self[key]
        return found

    def popitem(self) -> tuple[str, Any]:
        """Remove the last (name, value) pair and return it; KeyError if there is none."""
        key = next(reversed(self._keys), None)
        if key is None:
            raise KeyError("popitem: the ParameterDict is empty")
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove all values."""
        for key in list(self._keys):
            del self[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value under `key`, which becomes `default` if there is none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def copy(self) -> ParameterDict:
        """Return a ParameterDict of the same parameters."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a ParameterDict with `default` under each of `keys`."""
        return ParameterDict((k, default) for k in keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __or__(self, other: ParameterDict) -> ParameterDict:
        return self.copy().__ior__(other)

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        made = ParameterDict(other.items())
        return made.__ior__(self)

    def __ior__(self, other: ParameterDict) -> Self:
        self.update(other.items())
        return self

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add the values of a mapping, or of (name, value) pairs."""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for name, value in pairs:
            self[name] = value

    def extra_repr(self) -> str:
        """Describe each value on a line of its own."""
        return "\n".join(f"  ({k}): {_described(v, lambda t: t.type())}" for k, v in self.items())


def _as_parameter(value: Any) -> Any:
    if isinstance(value, tg.Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _described(value: Any, name: Callable[[tg.Tensor], Any]) -> str:
    if isinstance(value, tg.Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        size = "x".join(str(n) for n in value.shape)
        where = "" if value.device.type == "cpu" else f" ({value.device})"
        return f"{kind} containing: [{name(value)} of size {size}{where}]"
    return f"Object of type: {type(value).__name__}"
