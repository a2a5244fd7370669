"""Ops with several results: a decomposition gives its factors, a sort its values and places.

What is recorded, lowered and exported has one result: a `Part` of the op. Lowering puts the parts of one
application together again, so that its kernel runs once. Derivatives and batching are rules of the whole op.
"""

from __future__ import annotations

from _thread import _local
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tabgrad.core.errors import RegistryError
from tabgrad.core.families import KernelOp, _decorator
from tabgrad.core.op import REGISTRY, Op, Rule
from tabgrad.core.spec import NO_PARAMS, Params, Spec, intern_params


class Several(KernelOp):
    """A kernel op with `results` results.

    As KernelOp, but that the body, `infer` and `batching` give a tuple with one entry for each result, and
    `derivative(primals, tangents, ys, **params)` one tangent for each, None being zero.
    `pull(cts, needs, inputs, ys, **params)` may state the reverse rule, else the derivative is transposed; the
    cotangent of a result that nobody used is None.
    """

    parts: tuple[Part, ...]

    def setup(self, *, results: int = 0, pull: Rule | None = None, **facts: Any) -> None:
        """Take the facts of the op."""
        if results < 2:
            raise RegistryError(f"{self.name}: say how many `results` it has, 2 or more")
        super().setup(**facts)
        self.results, self.pull = results, pull
        self.parts = tuple(Part(self, i) for i in range(results))

    def bind(self, *args: Any, **params: Any) -> Any:
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

    def arrays(self, given: Sequence[Any], params: Params) -> Any:
        """Return the results for NumPy arrays, computed once where parts are asked for one after the other."""
        found = getattr(_SHARED, "found", None)
        if found is None:
            return self.fn(*given, **params)
        key = (params, *map(id, given))
        if key not in found:
            # the arrays are kept, so that their ids are theirs
            found[key] = (self.fn(*given, **params), given)
        return found[key][0]


class _Applied:
    """The slot that the transforms fill: the core does not know how an op goes down the interpreter stack."""

    apply: Callable[[Several, tuple[Any, ...], Params], Any]


def install(apply: Callable[[Several, tuple[Any, ...], Params], Any]) -> None:
    """Set what applies an op with several results through the interpreter stack."""
    _Applied.apply = staticmethod(apply)


_SHARED = _local()


@contextmanager
def computed_once() -> Iterator[None]:
    """Let the parts of one application share what NumPy computes for them."""
    before = getattr(_SHARED, "found", None)
    _SHARED.found = {}
    try:
        yield
    finally:
        _SHARED.found = before


class Part(Op):
    """Result `index` of the op `several`: what is recorded of it. Its rules are those of the whole op."""

    family = "kernel"

    def __init__(self, whole: Several, index: int) -> None:
        self.several, self.index = whole, index
        self.fn = whole.fn
        self.name = f"{whole.name}.{index}"
        self.lowering = whole.name
        self.__name__, self.__doc__, self.__module__ = self.name, whole.__doc__, whole.__module__
        self.operands, self.variadic, self.facts = whole.operands, whole.variadic, {}
        self.specs, self.saved, self.plans, self.fits = {}, {}, {}, {}
        REGISTRY.add(self)

    @property
    def samples(self) -> Any:
        """The test arguments of the whole."""
        return self.several.samples

    @property
    def differentiable(self) -> bool:
        """Whether the whole has a derivative."""
        return self.several.differentiable

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """The Spec of this result."""
        return self.several.infer_all(specs, intern_params(params))[self.index]

    def numpy(self, arrays: Sequence[Any], spec: Spec, params: Params) -> Any:
        """This result."""
        return self.several.arrays(arrays, params)[self.index]

    def jvp(self, primals: Any, tangents: Any, y: Any, params: Params) -> Any:
        """The tangent of this result, where a program of parts is differentiated."""
        ys = self.several.bind(*primals, **params)
        return self.several.jvp(primals, tangents, ys, params)[self.index]

    def batch(self, size: int, args: Any, dims: Any, params: Params) -> Any:
        """This result of the batched whole."""
        return self.several.batch(size, args, dims, params)[self.index]


def several(**facts: Any) -> Callable[[Callable[..., Any]], Several]:
    """Declare an op with several results; see Several."""
    return _decorator(Several, facts)  # type: ignore[return-value]


__all__ = ["Part", "Several", "computed_once", "install", "several"]
