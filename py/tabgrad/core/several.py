"""Ops with several results, such as the factors of a decomposition, or a sort's values and positions.

A graph node has one result, so what is recorded, lowered and exported is a `Part` of the op. Lowering joins the
parts of one application, so that its kernel runs once. The whole op has the rules for derivatives and batching.
"""

from __future__ import annotations

from _thread import _local
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import RegistryError
from tabgrad.core.families import KernelOp, _decorator
from tabgrad.core.op import REGISTRY, Dims, Op, Operands, Result, Rule, Tangents
from tabgrad.core.spec import NO_PARAMS, Params, Spec, intern_params
from tabgrad.core.trace import Box

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


class Several(KernelOp):
    """A kernel op with `results` results.

    Like KernelOp, except that the body, `infer` and `batching` return a tuple with one entry per result, and
    `derivative(primals, tangents, ys, **params)` returns one tangent per result, None for zero.
    `pull(cts, needs, inputs, ys, **params)` may define the reverse rule; if not, the derivative is transposed.
    The cotangent of an unused result is None. `push(primals, tangents, ys, **params)` may define the forward
    rule where the results are not unique: it returns those to which the tangents lead, and their tangents.
    """

    parts: tuple[Part, ...]

    def setup(
        self, *, results: int = 0, pull: Rule | None = None, push: Rule | None = None, **facts: Any
    ) -> None:
        """Store the facts of the op."""
        if results < 2:
            raise RegistryError(f"{self.name}: say how many `results` it has, 2 or more")
        super().setup(**facts)
        self.results, self.pull, self.push = results, pull, push
        self.parts = tuple(Part(self, i) for i in range(results))

    def bind(self, *args: Box, **params: object) -> Any:
        """Apply the op; return a tuple of tensors."""
        return _Applied.apply(self, args, intern_params(params) if params else NO_PARAMS)

    def infer_all(self, specs: tuple[Spec, ...], params: Params) -> tuple[Spec, ...]:
        """Return the Spec of each result."""
        found: tuple[Spec, ...] = tuple(self.infer_rule(*specs, **params))
        if len(found) != self.results:
            raise RegistryError(
                f"{self.name}: has {self.results} results, but infers {len(found)} specs"
            )
        return found

    def arrays(self, given: Sequence[Any], params: Params) -> tuple[Any, ...]:
        """Compute all results from NumPy arrays; inside `computed_once` the parts share one computation."""
        found = getattr(_SHARED, "found", None)
        if found is None:
            return self.fn(*given, **params)
        key = (params, *map(id, given))
        if key not in found:
            # keep the arrays alive, so that no other object gets their ids
            found[key] = (self.fn(*given, **params), given)
        return found[key][0]


class _Applied:
    """What `dispatch.py` installs: how an op with several results goes down the interpreter stack."""

    apply: Callable[[Several, tuple[Any, ...], Params], tuple[Tensor, ...]]


def install(apply: Callable[[Several, tuple[Any, ...], Params], tuple[Tensor, ...]]) -> None:
    """Set the function that applies an op with several results through the interpreter stack."""
    _Applied.apply = staticmethod(apply)


_SHARED = _local()


@contextmanager
def computed_once() -> Iterator[None]:
    """Let the parts of one application share one NumPy computation inside the block."""
    before = getattr(_SHARED, "found", None)
    _SHARED.found = {}
    try:
        yield
    finally:
        _SHARED.found = before


class Part(Op):
    """The op that is recorded for result `index` of the op `several`, whose rules it uses."""

    family = "kernel"

    def __init__(self, whole: Several, index: int) -> None:
        self.several, self.index = whole, index
        self.fn = whole.fn
        self.name = f"{whole.name}.{index}"
        self.lowering = whole.name
        self.__name__, self.__doc__, self.__module__ = self.name, whole.__doc__, whole.__module__
        self.operands, self.variadic, self.facts = whole.operands, whole.variadic, {}
        self.specs, self.runs, self.saved, self.plans, self.fits = {}, {}, {}, {}, {}
        REGISTRY.add(self)

    @property
    def samples(self) -> Rule | None:
        """The test arguments of the whole op."""
        return self.several.samples

    @property
    def differentiable(self) -> bool:
        """Whether the whole op has a derivative."""
        return self.several.differentiable

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Return the Spec of this result."""
        return self.several.infer_all(specs, intern_params(params))[self.index]

    def body(self, spec: Spec) -> Rule | None:
        """Return None: all results come from one computation."""
        return None

    def numpy(self, arrays: Sequence[Any], spec: Spec, params: Params) -> Any:
        """Compute this result."""
        return self.several.arrays(arrays, params)[self.index]

    def jvp(self, primals: Operands, tangents: Tangents, y: Result, params: Params) -> Any:
        """Return the tangent of this result, for a program of parts that is differentiated."""
        ys = self.several.bind(*primals, **params)
        return self.several.jvp(primals, tangents, ys, params)[self.index]

    def batch(self, size: int, args: Operands, dims: Dims, params: Params) -> Any:
        """Return this result of the batched op."""
        return self.several.batch(size, args, dims, params)[self.index]


def several(**facts: object) -> Callable[[Callable[..., Any]], Several]:
    """Declare an op with several results; see Several."""
    return _decorator(Several, facts)  # type: ignore[return-value]


__all__ = ["Part", "Several", "computed_once", "install", "several"]
