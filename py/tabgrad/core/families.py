"""The op families: each owns the rules that its members share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from tabgrad.core import dtype as dt
from tabgrad.core.errors import RegistryError
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import REGISTRY, Op, Rule, require, same_dtype, uses
from tabgrad.core.promotion import call, cast as cast_to, single
from tabgrad.core.shape import without
from tabgrad.core.spec import Params, Spec, spec
from tabgrad.core.trace import bind, constant

P = ParamSpec("P")
R = TypeVar("R")


if TYPE_CHECKING:

    class Declared(Op, Generic[P, R]):
        """What a decorated function has become: an Op that still shows the function's signature."""

        batch: Any
        saves: Any
        samples: Any
        vjp: Any

        def __call__(self, *args: P.args, **params: P.kwargs) -> R:
            """Apply the op."""
            ...


def to_front(x: Any, dim: int | None, size: int) -> Any:
    """Return `x` with its batch axis in front; a batch axis is made where it has none."""
    if dim is None:
        return REGISTRY["expand"].bind(x, shape=(size, *x.spec.shape))
    if dim == 0:
        return x
    order = (dim, *(i for i in range(len(x.spec.shape)) if i != dim))
    return REGISTRY["permute"].bind(x, dims=order)


def conjugate(x: Any) -> Any:
    """Return the conjugate of a factor, which the transpose of a complex product takes; a real one as it is."""
    return REGISTRY["conj"].bind(x) if x.spec.dtype.is_complex else x


def accumulate(total: Any, term: Any) -> Any:
    """Return the sum of two tangents or cotangents, None being zero."""
    if total is None:
        return term
    return total if term is None else REGISTRY["add"].bind(total, term)


class Elementwise(Op):
    """One output element from the matching input elements.

    `code` is the scalar expression, `{x}` standing for the operand named x, `{t}` for the type that its
    operands are computed in, `{f}` for that of floats ("f64" for float64, else "f32"): one string, or a dict by
    language ("wgsl", "cuda"), by kind of dtype ("bool", "int", "float") or both ("wgsl int").
    `derivative` is dy/dx_i written with our own ops: one function of (inputs..., y), or one for each
    operand; None where there is none, said explicitly. `along` instead gives the linear map t -> dy/dx_i t
    as a function of (t, inputs..., y). A parameter that a rule does not read begins with an underscore:
    what is not read is not saved. `domain` is the interval of test inputs, one or one for each operand.
    `result` is "same" or "bool"; `integers` says what integers become: "float" or "same"; None refuses them.
    """

    family = "elementwise"

    def setup(  # type: ignore[override]
        self,
        *,
        code: str | dict[str, str] | None = None,
        derivative: Any = "unsaid",
        along: Any = None,
        domain: Any = (-2.0, 2.0),
        result: str = "same",
        integers: str | None = "float",
        kinds: str = "biufc",
        tolerance: float | None = None,
    ) -> None:
        """Take the facts of an element-wise op."""
        if derivative == "unsaid" and along is None:
            raise RegistryError(f"{self.name}: say `derivative=None` if there is none")
        require(self, code=code)
        n = len(self.operands)
        if along is not None:
            self.linear = True
            self.maps: tuple[Rule | None, ...] = along if isinstance(along, tuple) else (along,)
        elif derivative is None or derivative == "unsaid":
            self.maps = (None,) * n
        else:
            each = derivative if isinstance(derivative, tuple) else (derivative,)
            self.maps = tuple(None if d is None else _times(d) for d in each)
        if len(self.maps) != n:
            raise RegistryError(f"{self.name}: {n} operands but {len(self.maps)} derivatives")
        self.reads = tuple(None if m is None else uses(m, 1) for m in self.maps)
        self.code = code
        self.domain = domain
        self.result = result
        self.integers = integers
        self.kinds = kinds
        self.tolerance = tolerance

    def check(self) -> None:
        """The code of every language and kind of dtype must exist and name only operands."""
        super().check()
        bounds = (
            self.domain
            if isinstance(self.domain[0], tuple)
            else (self.domain,) * len(self.operands)
        )
        if self.name != "where" and len(bounds) != len(self.operands):
            raise RegistryError(
                f"{self.name}: {len(self.operands)} operands but {len(bounds)} domains"
            )
        fields = dict.fromkeys(self.operands, "x")
        for letter in self.kinds.replace("c", ""):
            kind = {"b": "bool", "i": "int", "u": "int", "f": "float"}[letter]
            if kind != "float" and self.integers != "same":
                continue
            for language in ("wgsl", "cuda"):
                keys = (f"{language} {kind}", kind, language)
                code: Any = self.code
                found = (
                    next((code[k] for k in keys if k in code), None)
                    if isinstance(code, dict)
                    else code
                )
                if found is None:
                    raise RegistryError(f"{self.name}: has no {language} code for {kind} operands")
                try:
                    found.format(**fields, t="f32", f="f32")
                except (KeyError, IndexError, ValueError) as e:
                    raise RegistryError(
                        f"{self.name}: the code {found!r} names no operand: {e}"
                    ) from e

    @property
    def differentiable(self) -> bool:
        """Whether any operand has a derivative."""
        return any(m is not None for m in self.maps)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return call(self, *args, **params)

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """All operands have one shape and dtype (masks are bool)."""
        shape = specs[0].shape
        for s in specs:
            if s.shape != shape:
                raise RegistryError(f"{self.name}: the primitive got {specs}; expand first")
        if self.result == "bool":
            return spec(shape, dt.bool_)
        if "dtype" in params:
            return spec(shape, params["dtype"])
        return spec(shape, same_dtype(self.name, specs[1:] if self.name == "where" else specs))

    def jvp(self, primals: Any, tangents: Any, y: Any, params: Params) -> Any:
        """Sum the maps along each tangent."""
        total = None
        for rule, t in zip(self.maps, tangents, strict=True):
            if t is not None and rule is not None:
                total = accumulate(total, rule(t, *primals, y, **params))
        return total

    def vjp(self, ct: Any, needs: Any, inputs: Any, y: Any, params: Params) -> Any:
        """Apply the maps to the cotangent: an element-wise map is its own transpose, but for conjugation."""
        if ct.spec.dtype.is_complex:
            conj = REGISTRY["conj"].bind
            return tuple(
                conj(rule(conj(ct), *inputs, y, **params)) if need and rule is not None else None
                for rule, need in zip(self.maps, needs, strict=True)
            )
        return tuple(
            [
                rule(ct, *inputs, y, **params) if need and rule is not None else None
                for rule, need in zip(self.maps, needs, strict=True)
            ]
        )

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """What the maps of the needed operands read."""
        read = [r for r, need in zip(self.reads, needs, strict=True) if need and r is not None]
        flags = [any(r[i] for r in read) for i in range(len(needs) + 1)]
        return tuple(flags[:-1]), flags[-1]

    def batch(self, size: int, args: Any, dims: Any, params: Params) -> Any:
        """Bring every batch axis to the front."""
        return bind(
            self, tuple(to_front(a, d, size) for a, d in zip(args, dims, strict=True)), params
        )


def _times(d: Rule) -> Rule:
    reads, mul = uses(d), REGISTRY.ops.get("mul")

    def along(t: Any, *inputs: Any, **params: Any) -> Any:
        nonlocal mul
        if mul is None:
            mul = REGISTRY["mul"]
        if t.spec.dtype in dt.HALVES:  # one formula: its steps are not rounded
            return cast_to(along(*map(single, (t, *inputs)), **params), t.spec.dtype)
        factor = d(*inputs, **params)
        if hasattr(factor, "spec"):
            return mul.bind(t, factor)
        # of an infinite t 0 times it would be nan
        return t * factor if factor else constant(0, t.spec, t.device)

    along.__signature__ = _signature(reads)  # type: ignore[attr-defined]
    return along


def _signature(reads: tuple[bool, ...]) -> Any:
    import inspect

    names = ["t", *(f"x{i}" if r else f"_x{i}" for i, r in enumerate(reads))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(n, kind) for n in names])


class View(Op):
    """Moves data and computes nothing.

    `shape(spec_shape, **params)` is the result's shape. `index(i, shape, **params)` maps the tuple `i` of
    output indices to (input indices, conditions); a condition (e, lo, hi) means lo <= e < hi, and where
    one fails the element is the fill value. It must work on any objects with + - * // %.
    `transpose(ct, shape, **params)` is the transpose for an input of that shape; `lift(size, **params)`
    gives the parameters with one more axis in front; `fills` says whether a condition may fail at all.
    """

    family = "view"
    linear = True
    raw = True

    def setup(  # type: ignore[override]
        self, *, shape: Rule | None = None, index: Rule | None = None, transpose: Rule | None = None,
        lift: Rule | None = None, samples: Any = None, fills: bool = False,
    ) -> None:  # fmt: skip
        """Take the facts of a view."""
        self.fills = fills
        require(self, shape=shape, index=index, transpose=transpose, lift=lift, samples=samples)
        assert shape
        assert index
        assert transpose
        assert lift
        self.shape, self.index, self.transpose, self.lift = shape, index, transpose, lift
        self.samples = samples

    def check(self) -> None:
        """On every sample: an index for every axis, and the lifted view is the view with one axis in front."""
        super().check()
        for source, params in self.samples:
            shape = self.shape(source, **params)
            index, _ = self.index((0,) * len(shape), source, **params)
            if len(index) != len(source):
                raise RegistryError(
                    f"{self.name}: {len(index)} indices for an input of shape {source}"
                )
            lifted = self.shape((7, *source), **self.lift(7, **params))
            if self.name != "expand" and lifted != (7, *shape):
                raise RegistryError(
                    f"{self.name}: lifted, {source} becomes {lifted} instead of {(7, *shape)}"
                )

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Only the shape changes."""
        return spec(self.shape(specs[0].shape, **params), specs[0].dtype)

    def jvp(self, primals: Any, tangents: Any, y: Any, params: Params) -> Any:
        """A view of the tangent."""
        return bind(self, (tangents[0],), params)

    def vjp(self, ct: Any, needs: Any, inputs: Any, y: Any, params: Params) -> Any:
        """The declared transpose."""
        return (self.transpose(ct, inputs[0], **params),)

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Nothing but the input's shape, which the tape keeps anyway."""
        return (False,), False

    def batch(self, size: int, args: Any, dims: Any, params: Params) -> Any:
        """The same view with one more axis in front."""
        x = to_front(args[0], dims[0], size)
        return self.bind(x, **self.lift(size, **params))


class Reduction(Op):
    """Many elements to one, over the static parameter `axes`, whose axes are dropped.

    `kind` names the combination ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin");
    `derivative(dx, x, y, axes)` is the jvp, None where there is none; sum alone is linear.
    """

    family = "reduction"

    def setup(  # type: ignore[override]
        self, *, kind: str | None = None, derivative: Any = "unsaid", transpose: Rule | None = None,
        result: str = "same", kinds: str = "iuf", domain: Any = (-2.0, 2.0),
    ) -> None:  # fmt: skip
        """Take the facts of a reduction."""
        require(self, kind=kind)
        if isinstance(derivative, str):
            raise RegistryError(f"{self.name}: say `derivative=None` if there is none")
        self.kind, self.derivative, self.transpose = kind, derivative, transpose
        self.linear = transpose is not None
        self.result, self.kinds, self.domain = result, kinds, domain

    def check(self) -> None:
        """The combination must be one that the printers know."""
        super().check()
        if self.kind not in ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin"):
            raise RegistryError(f"{self.name}: {self.kind!r} is no combination of a reduction")

    @property
    def differentiable(self) -> bool:
        """Whether a derivative was declared."""
        return self.derivative is not None

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """The reduced axes are gone."""
        (x,) = specs
        axes = params["axes"]
        result = {"same": x.dtype, "bool": dt.bool_, "index": dt.int64}[self.result]
        return spec(without(x.shape, axes), params.get("dtype", result))

    def numpy(self, arrays: Any, spec: Spec, params: Params) -> Any:
        """The body; NumPy has no extreme of nothing, not even where none is asked for."""
        return self.fn(*arrays, **params) if spec.size else np.zeros(spec.shape, arrays[0].dtype)

    def jvp(self, primals: Any, tangents: Any, y: Any, params: Params) -> Any:
        """The declared derivative."""
        if self.derivative is None:
            return None
        return self.derivative(tangents[0], primals[0], y, **params)

    @property
    def vjp(self) -> Rule | None:  # type: ignore[override]
        """The declared transpose of a linear reduction; None asks for the transposed jvp."""
        return self._vjp if self.transpose is not None else None

    def _vjp(self, ct: Any, needs: Any, inputs: Any, y: Any, params: Params) -> Any:
        assert self.transpose is not None
        return (self.transpose(ct, inputs[0], **params),)

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """A linear reduction needs only the shape."""
        return ((False,), False) if self.linear else ((True,), True)

    def batch(self, size: int, args: Any, dims: Any, params: Params) -> Any:
        """Reduce the same axes, one further back."""
        x = to_front(args[0], dims[0], size)
        axes: Any = params["axes"]
        return self.bind(x, **{**params, "axes": tuple(a + 1 for a in axes)})


class Bilinear(Op):
    """Linear in each of two operands: `lhs(ct, x, y, **params)` is the cotangent of x, given the shape of x
    and the value of y; `rhs(ct, x, y, **params)` that of y."""

    family = "bilinear"

    def setup(  # type: ignore[override]
        self, *, shape: Rule | None = None, lhs: Rule | None = None, rhs: Rule | None = None,
        batching: Rule | None = None, kinds: str = "iuf", samples: Any = None,
    ) -> None:  # fmt: skip
        """Take the facts of a bilinear op."""
        require(self, shape=shape, lhs=lhs, rhs=rhs, batching=batching, samples=samples)
        assert shape
        assert lhs
        assert rhs
        assert batching
        self.shape, self.lhs, self.rhs, self.batching = shape, lhs, rhs, batching
        self.kinds, self.samples = kinds, samples

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Both operands have one dtype, which is the result's."""
        x, y = specs
        return spec(self.shape(x.shape, y.shape, **params), same_dtype(self.name, specs))

    def jvp(self, primals: Any, tangents: Any, y: Any, params: Params) -> Any:
        """The product rule."""
        (a, b), (da, db) = primals, tangents
        left = None if da is None else self.bind(da, b, **params)
        return accumulate(left, None if db is None else self.bind(a, db, **params))

    def vjp(self, ct: Any, needs: Any, inputs: Any, y: Any, params: Params) -> Any:
        """The two partial transposes."""
        a, b = inputs
        return (
            self.lhs(ct, a, conjugate(b), **params) if needs[0] else None,
            self.rhs(ct, conjugate(a), b, **params) if needs[1] else None,
        )

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """The other operand."""
        return (needs[1], needs[0]), False

    def batch(self, size: int, args: Any, dims: Any, params: Params) -> Any:
        """The declared rule."""
        return self.batching(size, args, dims, **params)


class KernelOp(Op):
    """An op with a lowering of its own (gather, scatter, scans, sorts, generators, concatenation).

    `infer(*specs, **params)` gives the Spec; `derivative(primals, tangents, y, **params)` the jvp, None
    where there is none; `transpose(ct, needs, inputs, y, **params)` the vjp of a linear op, which any other
    op gets from its jvp; `batching(size, args, dims, **params)` the batched result; `samples` a function
    that yields test arguments.
    """

    family = "kernel"

    def setup(  # type: ignore[override]
        self, *, infer: Rule | None = None, derivative: Any = "unsaid", transpose: Rule | None = None,
        batching: Rule | None = None, samples: Any = None, reads: tuple[tuple[bool, ...], bool] | None = None,
    ) -> None:  # fmt: skip
        """Take the facts of a kernel op."""
        require(self, infer=infer, batching=batching, samples=samples)
        if isinstance(derivative, str):
            raise RegistryError(f"{self.name}: say `derivative=None` if there is none")
        assert infer
        assert batching
        self.infer_rule, self.derivative, self.transpose_rule = infer, derivative, transpose
        self.batching, self.samples, self.saved_always = batching, samples, reads
        self.linear = transpose is not None
        if transpose is not None:
            self.vjp = self._vjp

    @property
    def differentiable(self) -> bool:
        """Whether a derivative was declared."""
        return self.derivative is not None

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """The declared rule."""
        result: Spec = self.infer_rule(*specs, **params)
        return result

    def jvp(self, primals: Any, tangents: Any, y: Any, params: Params) -> Any:
        """The declared derivative."""
        if self.derivative is None:
            return None
        return self.derivative(primals, tangents, y, **params)

    def _vjp(self, ct: Any, needs: Any, inputs: Any, y: Any, params: Params) -> Any:
        assert self.transpose_rule is not None
        return self.transpose_rule(ct, needs, inputs, y, **params)

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """What `reads` declares, everything unless it does."""
        return self.saved_always or super().saves_for(needs)

    def batch(self, size: int, args: Any, dims: Any, params: Params) -> Any:
        """The declared rule."""
        return self.batching(size, args, dims, **params)


def _decorator(kind: type[Op], facts: dict[str, Any]) -> Callable[[Callable[P, R]], Declared[P, R]]:
    def declare(fn: Callable[P, R]) -> Declared[P, R]:
        return cast("Declared[P, R]", kind(fn, **facts))

    return declare


def elementwise(**facts: Any) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare an element-wise op; see Elementwise."""
    return _decorator(Elementwise, facts)


def view(**facts: Any) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare a view; see View."""
    return _decorator(View, facts)


def reduction(**facts: Any) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare a reduction; see Reduction."""
    return _decorator(Reduction, facts)


def bilinear(**facts: Any) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare a bilinear op; see Bilinear."""
    return _decorator(Bilinear, facts)


def kernel(**facts: Any) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare an op with its own lowering; see KernelOp."""
    return _decorator(KernelOp, facts)
