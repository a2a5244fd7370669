"""The primitives: the base class Op, and the registry of all ops.

An op is declared by decorating a function with a family (`families.py`). The function's body defines the result
in NumPy; positional arguments are arrays, keyword-only arguments are static parameters. Derivatives are
written with tabgrad's own ops, so they can be differentiated again.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, RegistryError
from tabgrad.core.spec import NO_PARAMS, Params, ShapeOnly, Spec, intern_params
from tabgrad.core.trace import Box, bind

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

Rule = Callable[..., Any]
Operands: TypeAlias = "Sequence[Tensor]"
Tangents: TypeAlias = "Sequence[Tensor | None]"
Inputs: TypeAlias = "Sequence[Tensor | ShapeOnly | None]"
Result: TypeAlias = "Tensor | tuple[Tensor, ...] | None"
Needs: TypeAlias = Sequence[bool]
Dims: TypeAlias = Sequence[int | None]
Operand: TypeAlias = Any
"""A NumPy array in the body of an op; a Tensor, or a number beside one, where the op is called."""
Array: TypeAlias = Any
"""The result of an op: a NumPy array in its body, a Tensor where the op is called."""
Ints: TypeAlias = tuple[int, ...]


class Op:
    """A primitive. Families subclass this and define the rules.

    Contracts of the rules (all on Tensors; `params` is the Params of the application):
    - `infer_spec(*specs, **params)` returns the Spec of the result, or raises with a clear message;
    - `jvp(primals, tangents, y, params)` returns the tangent of `y`; a tangent of None is zero;
    - `vjp(ct, needs, inputs, y, params)` returns one cotangent (or None) for each input. An entry of `inputs`,
      or `y`, is None if `saves(needs)` said that it is not used. If `vjp` is None, the jvp is transposed;
    - `batch(size, args, dims, params)` returns the batched result with its batch axis in front; `dims` has
      the batch axis of each argument, or None.
    """

    family = ""
    vjp: Rule | None = None
    linear = False
    kinked = False
    """Whether it is piecewise linear: see core/kinks.py."""
    raw = False
    """Whether its NumPy body takes half precision as stored, because it only moves data."""
    may_be_refused = False
    """Whether its record in `lower` names operands that a device can't take."""
    lowering = ""
    """The name of its record in `lower`: the op's own name, except for kernels that users wrote."""

    def __init__(self, fn: Callable[..., Any], **facts: object) -> None:
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
        self.runs: dict[Any, Any] = {}
        self.saved: dict[tuple[bool, ...], tuple[tuple[bool, ...], bool]] = {}
        self.plans: dict[Any, Any] = {}
        self.fits: dict[Any, tuple[Spec, ...]] = {}
        self.setup(**facts)
        REGISTRY.add(self)

    def setup(self, **facts: Any) -> None:
        """Store the facts that the family needs; raise RegistryError if one is missing."""
        raise NotImplementedError

    @property
    def differentiable(self) -> bool:
        """Whether the op has a derivative at all."""
        return True

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (REGISTRY.__getitem__, (self.name,))

    def bind(self, *args: Box, **params: object) -> Any:
        """Apply the primitive to operands whose ranks, shapes and dtypes already match."""
        return bind(self, args, intern_params(params) if params else NO_PARAMS)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return self.bind(*args, **params)

    def infer(self, specs: tuple[Spec, ...], params: Params) -> Spec:
        """Return the Spec of the result, cached for each combination of specs and params."""
        key = (specs, params)
        found = self.specs.get(key)
        if found is None:
            found = self.specs[key] = self.infer_spec(*specs, **params)
        return found

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Return the Spec of the result."""
        raise NotImplementedError

    def cost(self, out: Spec, operands: Sequence[Spec]) -> int:
        """Estimate the multiply-adds of one application; a view takes none."""
        if self.family != "bilinear":
            return 0 if self.family == "view" else max([out.size, *[s.size for s in operands]])
        x, y = operands
        return out.size * (x.shape[-1] if self.name == "matmul" else math.prod(y.shape[1:]))

    def numpy(self, arrays: Sequence[Any], spec: Spec, params: Params) -> Any:
        """Compute the result from NumPy arrays; `spec` is the result of `infer`."""
        body = self.body(spec)
        assert body is not None
        return body(*arrays, **params)

    def body(self, spec: Spec) -> Rule | None:
        """Return the function of arrays that computes a result of `spec`; None if only `numpy` can."""
        return self.fn

    def check(self) -> None:
        """Raise RegistryError if the declaration is incomplete or inconsistent."""
        if not (self.__doc__ or "").strip():
            raise RegistryError(f"{self.name}: has no docstring; say what it computes")

    def jvp(self, primals: Operands, tangents: Tangents, y: Result, params: Params) -> Any:
        """Return the tangent of the result."""
        raise NotImplementedError

    def batch(self, size: int, args: Operands, dims: Dims, params: Params) -> Any:
        """Return the batched result."""
        raise NotImplementedError

    def saves(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Return which inputs `vjp` reads for the cotangents of `needs`, and whether it reads the output."""
        found = self.saved.get(needs)
        if found is None:
            found = self.saved[needs] = self.saves_for(needs)
        return found

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Compute the result of `saves`: everything, unless the family knows better."""
        return (True,) * len(needs), True


USER_KERNEL = "user_kernel"
"""The lowering of all ops whose kernels users wrote."""


class Registry:
    """Every op by name.

    While `tabgrad.ops` is imported, rules may name ops that are declared later. After `freeze` each new op is
    checked at once. A late room is a module of ops that few programs need: it is imported when one of them is
    asked for.
    """

    def __init__(self) -> None:
        self.ops: dict[str, Op] = {}
        self.rooms: dict[str, str] = {}
        self.frozen = False
        self.watchers: list[Callable[[Op], None]] = []

    def add(self, op: Op) -> None:
        """Register `op` under its name, which must be new."""
        if op.name in self.ops:
            raise RegistryError(
                f"{op.name}: an op of this name is declared in {self.ops[op.name].__module__}"
            )
        room = self.room_of(op.name)
        if room is not None and op.__module__ != room:
            raise RegistryError(f"{op.name}: {room} has an op of this name")
        if self.frozen:
            op.check()
        for watch in self.watchers:
            watch(op)
        self.ops[op.name] = op

    def add_room(self, module: str, *names: str) -> None:
        """Say which ops a late room declares."""
        self.rooms.update(dict.fromkeys(names, module))

    def room_of(self, name: str) -> str | None:
        """Find the late room that declares the op of this name, or the op whose result it is."""
        return self.rooms.get(name.partition(".")[0])

    def watch(self, check: Callable[[Op], None]) -> None:
        """Let a later stage check all ops, present and future: `check` raises RegistryError."""
        for op in list(self.ops.values()):
            check(op)
        self.watchers.append(check)

    def freeze(self) -> None:
        """Mark that all of tabgrad's own ops are declared."""
        self.frozen = True

    def check(self) -> None:
        """Raise RegistryError for the first op that lacks something its family needs."""
        for op in self:
            op.check()

    def __reduce__(self) -> str:
        return "REGISTRY"

    def __getitem__(self, name: str) -> Op:
        found = self.ops.get(name)
        if found is None:
            room = self.room_of(name)
            if room is not None:
                import_module(room)
                found = self.ops.get(name)
        if found is None:
            raise RegistryError(f"{name}: no op has this name")
        return found

    def __iter__(self) -> Iterator[Op]:
        for room in dict.fromkeys(self.rooms.values()):
            import_module(room)
        return iter(list(self.ops.values()))

    def __contains__(self, name: str) -> bool:
        return name in self.ops or name in self.rooms


REGISTRY = Registry()


def require(op: Op, **facts: object) -> None:
    """Raise RegistryError for a fact that is None: nothing may be missing silently."""
    for name, value in facts.items():
        if value is None:
            raise RegistryError(f"{op.name}: the {op.family} family needs `{name}`")


def uses(rule: Rule, skip: int = 0) -> tuple[bool, ...]:
    """Return which parameters a rule reads: all whose names don't begin with an underscore."""
    names = [
        p.name for p in inspect.signature(rule).parameters.values() if p.kind is not p.KEYWORD_ONLY
    ]
    return tuple(not n.startswith("_") for n in names[skip:])


def real_only(name: str, x: Spec) -> Spec:
    """Return `x`; raise DTypeError if it is complex."""
    if x.dtype.is_complex:
        raise DTypeError(
            f"\"{name}\" not implemented for '{x.dtype.title}': not defined for {x.dtype!r}; take the absolute "
            "values, or the real or imaginary parts, first"
        )
    return x


def same_dtype(name: str, specs: Sequence[Spec]) -> DType:
    """Return the common dtype of `specs`; primitives accept no mixed dtypes."""
    dtype = specs[0].dtype
    for s in specs:
        if s.dtype is not dtype:
            raise RegistryError(
                f"{name}: the primitive got {', '.join(map(repr, specs))}; cast first"
            )
    return dtype
