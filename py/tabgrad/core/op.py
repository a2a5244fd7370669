"""Ops: what a primitive is, the families that own what is common, and the registry.

An op is declared by decorating a function with a family. The function's body is its meaning in NumPy;
positional arguments are arrays, keyword-only arguments are static parameters. Derivatives are written
with tabgrad's own ops, so they can be differentiated again. `families.py` holds the families.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.dtype import DType
from tabgrad.core.errors import RegistryError
from tabgrad.core.spec import NO_PARAMS, Params, Spec, intern_params
from tabgrad.core.trace import bind

Rule = Callable[..., Any]


class Op:
    """A primitive. Families subclass this and fill in the rules.

    Contracts of the rules (all on Tensors; `params` is the Params of the application):
    - `infer_spec(*specs, **params)` returns the Spec of the result, or raises with a clear message;
    - `jvp(primals, tangents, y, params)` returns the tangent of `y`; None among the tangents is zero;
    - `vjp(ct, needs, inputs, y, params)` returns one cotangent (or None) for each input; entries of
      `inputs`, and `y`, are None where `saves(needs)` said that they are not used. An op that leaves
      `vjp` as None gets the transposed jvp;
    - `batch(size, args, dims, params)` returns the batched result, its batch axis in front; `dims` holds
      the batch axis of each argument or None.
    """

    family = ""
    vjp: Rule | None = None
    linear = False
    kinked = False
    """Whether its derivative is the same in pieces: see core/kinks.py."""
    raw = False
    """Whether its NumPy body takes half precision as it is stored: it computes nothing."""
    lowering = ""
    """The name under which `lower` has a record of how it becomes kernels: the op's own, but for kernels that
    users wrote."""

    def __init__(self, fn: Callable[..., Any], **facts: Any) -> None:
        self.fn = fn
        self.name = fn.__name__.rstrip("_")
        self.lowering = self.lowering or self.name
        self.__name__ = fn.__name__
        self.__doc__ = fn.__doc__
        self.__module__ = fn.__module__
        self.__wrapped__ = fn
        parameters = inspect.signature(fn).parameters.values()
        self.operands = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.facts = facts
        self.specs: dict[Any, Spec] = {}
        self.saved: dict[tuple[bool, ...], tuple[tuple[bool, ...], bool]] = {}
        self.plans: dict[Any, Any] = {}
        self.fits: dict[Any, tuple[Spec, ...]] = {}
        self.setup(**facts)
        REGISTRY.add(self)

    def setup(self, **facts: Any) -> None:
        """Take the family's facts; raise RegistryError where one is missing."""
        raise NotImplementedError

    @property
    def differentiable(self) -> bool:
        """Whether the op has a derivative at all."""
        return True

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (REGISTRY.__getitem__, (self.name,))

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the primitive: ranks, shapes and dtypes must already fit."""
        return bind(self, args, intern_params(params) if params else NO_PARAMS)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return self.bind(*args, **params)

    def infer(self, specs: tuple[Spec, ...], params: Params) -> Spec:
        """Return the Spec of the result, remembered for each combination."""
        key = (specs, params)
        found = self.specs.get(key)
        if found is None:
            found = self.specs[key] = self.infer_spec(*specs, **params)
        return found

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Return the Spec of the result."""
        raise NotImplementedError

    def numpy(self, arrays: Sequence[Any], spec: Spec, params: Params) -> Any:
        """Return the result for NumPy arrays; `spec` is what `infer` said."""
        return self.fn(*arrays, **params)

    def check(self) -> None:
        """Raise RegistryError where the declaration lacks something, or does not fit together."""
        if not (self.__doc__ or "").strip():
            raise RegistryError(f"{self.name}: has no docstring; say what it computes")

    def jvp(self, primals: Any, tangents: Any, y: Any, params: Params) -> Any:
        """Return the tangent of the result."""
        raise NotImplementedError

    def batch(self, size: int, args: Any, dims: Any, params: Params) -> Any:
        """Return the batched result."""
        raise NotImplementedError

    def saves(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Return which inputs, and whether the output, `vjp` reads when `needs` inputs want cotangents."""
        found = self.saved.get(needs)
        if found is None:
            found = self.saved[needs] = self.saves_for(needs)
        return found

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Return what `saves` returns; all of them unless the family knows better."""
        return (True,) * len(needs), True


class Registry:
    """Every op by name.

    While `tabgrad.ops` is imported its rules may name ops that come later. `freeze` ends that: an op added
    afterwards is checked at once.
    """

    def __init__(self) -> None:
        self.ops: dict[str, Op] = {}
        self.frozen = False
        self.watchers: list[Callable[[Op], None]] = []

    def add(self, op: Op) -> None:
        """Register `op`; a name is used once."""
        if op.name in self.ops:
            raise RegistryError(
                f"{op.name}: an op of this name is declared in {self.ops[op.name].__module__}"
            )
        if self.frozen:
            op.check()
        for watch in self.watchers:
            watch(op)
        self.ops[op.name] = op

    def watch(self, check: Callable[[Op], None]) -> None:
        """Let a later stage check every op, those that come later too: `check` raises RegistryError."""
        for op in self:
            check(op)
        self.watchers.append(check)

    def freeze(self) -> None:
        """Say that all of tabgrad's own ops are declared."""
        self.frozen = True

    def check(self) -> None:
        """Raise RegistryError for the first op that lacks something its family needs."""
        for op in self:
            op.check()

    def __reduce__(self) -> str:
        return "REGISTRY"

    def __getitem__(self, name: str) -> Op:
        return self.ops[name]

    def __iter__(self) -> Any:
        return iter(self.ops.values())

    def __contains__(self, name: str) -> bool:
        return name in self.ops


REGISTRY = Registry()


def require(op: Op, **facts: Any) -> None:
    """Raise RegistryError for a fact that is None: absence is an error, never silent."""
    for name, value in facts.items():
        if value is None:
            raise RegistryError(f"{op.name}: the {op.family} family needs `{name}`")


def uses(rule: Rule, skip: int = 0) -> tuple[bool, ...]:
    """Return which parameters a rule reads: those whose names don't begin with an underscore."""
    names = [
        p.name for p in inspect.signature(rule).parameters.values() if p.kind is not p.KEYWORD_ONLY
    ]
    return tuple(not n.startswith("_") for n in names[skip:])


def same_dtype(name: str, specs: Sequence[Spec]) -> DType:
    """Return the one dtype of `specs`; primitives are dtype-strict."""
    dtype = specs[0].dtype
    for s in specs:
        if s.dtype is not dtype:
            raise RegistryError(
                f"{name}: the primitive got {', '.join(map(repr, specs))}; cast first"
            )
    return dtype
