"""The op families: each defines the rules that its members share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, cast

from tabgrad.core import dtype as dt
from tabgrad.core.errors import RegistryError
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import REGISTRY, Op, Rule, real_only, require, same_dtype, uses
from tabgrad.core.promotion import accumulate, call, cast as cast_to, single
from tabgrad.core.shape import without
from tabgrad.core.spec import Params, Spec, spec
from tabgrad.core.trace import at_once, bind, constant

P = ParamSpec("P")
R = TypeVar("R")
Derivative: TypeAlias = Rule | tuple[Rule | None, ...] | Literal["unsaid"] | None
Domain: TypeAlias = tuple[float, float] | tuple[tuple[float, float], ...]
Samples: TypeAlias = Sequence[tuple[Any, dict[str, Any]]]
"""The shape of the input, or shapes of the inputs, and the parameters of each test of an op."""

if TYPE_CHECKING:
    from tabgrad.core.op import Dims, Inputs, Needs, Operands, Result, Tangents
    from tabgrad.tensor import Tensor

    class Declared(Op, Generic[P, R]):
        """A declared op as type checkers see it: an Op with the signature of the decorated function."""

        batch: Any
        saves: Any
        samples: Any
        vjp: Any

        def __call__(self, *args: P.args, **params: P.kwargs) -> R:
            """Apply the op."""
            ...


def to_front(x: Tensor, dim: int | None, size: int) -> Tensor:
    """Move the batch axis of `x` to the front; if it has none, add one by broadcasting."""
    if dim is None:
        return REGISTRY["expand"].bind(x, shape=(size, *x.spec.shape))
    if dim == 0:
        return x
    order = (dim, *(i for i in range(len(x.spec.shape)) if i != dim))
    return REGISTRY["permute"].bind(x, dims=order)


def conjugate(x: Tensor) -> Tensor:
    """Conjugate a factor, as the transpose of a complex product needs; a real factor stays as it is."""
    return REGISTRY["conj"].bind(x) if x.spec.dtype.is_complex else x


class Elementwise(Op):
    """Computes each output element from the matching input elements.

    `code` is the scalar expression: one string, or a dict by language ("wgsl", "cuda"), by kind of dtype
    ("bool", "int", "float", "complex") or by both ("wgsl int"). A call of a function that `{f}` names serves
    complex operands too, other code for them has the key "complex". In it `{x}` stands for the operand named
    x, `{t}` for the type that operands are computed in, `{f}` for that of floats ("f32", "f64", "c64", "c128").
    `derivative` is dy/dx_i, written with tabgrad's ops: one function of (inputs..., y), or a tuple of one per
    operand; an explicit None means that there is none. `along` may instead give the linear map t -> dy/dx_i t
    as a function of (t, inputs..., y). The name of a parameter that a rule does not read begins with an
    underscore, and its value is not saved. `domain` is the interval of test inputs, or one per operand.
    `result` is "same" or "bool"; `integers` says what integers become: "float" or "same"; None refuses them.
    """

    family = "elementwise"

    def setup(  # type: ignore[override]
        self, *, code: str | dict[str, str] | None = None, derivative: Derivative = "unsaid",
        along: Rule | tuple[Rule | None, ...] | None = None, domain: Domain = (-2.0, 2.0), result: str = "same",
        integers: str | None = "float", kinds: str = "biufc", tolerance: float | None = None,
    ) -> None:  # fmt: skip
        """Store the facts of an element-wise op."""
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
        self.code, self.domain, self.tolerance = code, domain, tolerance
        self.result, self.integers, self.kinds = result, integers, kinds

    def check(self) -> None:
        """Check that there is code for every language and kind of dtype, and that it names only operands."""
        super().check()
        n = len(self.operands)
        bounds = self.domain if isinstance(self.domain[0], tuple) else (self.domain,) * n
        if self.name != "where" and len(bounds) != n:
            raise RegistryError(f"{self.name}: {n} operands but {len(bounds)} domains")
        fields = dict.fromkeys(self.operands, "x")
        for letter in self.kinds.replace("c", ""):
            kind = {"b": "bool", "i": "int", "u": "int", "f": "float"}[letter]
            if kind != "float" and self.integers != "same":
                continue
            for language in ("wgsl", "cuda"):
                found = self.code_in(language, kind)
                if found is None:
                    raise RegistryError(f"{self.name}: has no {language} code for {kind} operands")
                try:
                    found.format(**fields, t="f32", f="f32")
                except (KeyError, IndexError, ValueError) as e:
                    raise RegistryError(
                        f"{self.name}: the code {found!r} names no operand: {e}"
                    ) from e

    def code_in(self, language: str, kind: str) -> str | None:
        """Return the scalar expression for operands of a kind of dtype; None where there is none."""
        code = self.code if isinstance(self.code, dict) else {}
        plain = code.get("float") if isinstance(self.code, dict) else self.code
        if kind == "complex":
            serves = plain is not None and (plain == "{x}" or "_{f}(" in plain)
            return code.get(f"{language} complex", code.get(kind, plain if serves else None))
        keys = (f"{language} {kind}", kind, language)
        return next((code[key] for key in keys if key in code), None) if code else plain

    @property
    def differentiable(self) -> bool:
        """Whether any operand has a derivative."""
        return any(m is not None for m in self.maps)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return call(self, *args, **params)

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Take the common shape and dtype of the operands (masks are bool)."""
        shape = specs[0].shape
        for s in specs:
            if s.shape != shape:
                raise RegistryError(f"{self.name}: the primitive got {specs}; expand first")
        if self.result == "bool":
            return spec(shape, dt.bool_)
        if "dtype" in params:
            return spec(shape, params["dtype"])
        return spec(shape, same_dtype(self.name, specs[1:] if self.name == "where" else specs))

    def jvp(self, primals: Operands, tangents: Tangents, y: Result, params: Params) -> Any:
        """Sum the linear maps of all tangents."""
        total = None
        for rule, t in zip(self.maps, tangents, strict=True):
            if t is not None and rule is not None:
                total = accumulate(total, rule(t, *primals, y, **params))
        return total

    def vjp(self, ct: Tensor, needs: Needs, inputs: Inputs, y: Result, params: Params) -> Any:
        """Apply the linear maps to the cotangent: each is its own transpose, except for conjugation."""
        if ct.spec.dtype.is_complex:
            conj = REGISTRY["conj"].bind
            return tuple(
                conj(rule(conj(ct), *inputs, y, **params)) if need and rule is not None else None
                for rule, need in zip(self.maps, needs, strict=True)
            )
        given = (ct, *inputs, y)
        rules = [rule if need else None for rule, need in zip(self.maps, needs, strict=True)]
        return tuple([rule and _applied(rule, given, params) for rule in rules])

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Save what the linear maps of the needed operands read."""
        read = [r for r, need in zip(self.reads, needs, strict=True) if need and r is not None]
        flags = [any(r[i] for r in read) for i in range(len(needs) + 1)]
        return tuple(flags[:-1]), flags[-1]

    def batch(self, size: int, args: Operands, dims: Dims, params: Params) -> Any:
        """Apply the op to operands with all batch axes in front."""
        return bind(
            self, tuple(to_front(a, d, size) for a, d in zip(args, dims, strict=True)), params
        )


def _applied(rule: Any, given: tuple[Any, ...], params: Params) -> Any:
    done = None if params else at_once(rule, given)
    return rule(*given, **params) if done is None else done


def _times(d: Rule) -> Rule:
    reads, mul = uses(d), REGISTRY.ops.get("mul")

    def along(t: Tensor, *inputs: Tensor, **params: Any) -> Tensor:
        nonlocal mul
        if mul is None:
            mul = REGISTRY["mul"]
        if t.spec.dtype in dt.HALVES:  # the formula is rounded once, not at each of its ops
            return cast_to(along(*map(single, (t, *inputs)), **params), t.spec.dtype)
        factor = d(*inputs, **params)
        if hasattr(factor, "spec"):
            return mul.bind(t, factor)
        # 0 times an infinite t would be nan
        return t * factor if factor else constant(0, t.spec, t.device)

    along.__signature__ = _signature(reads)  # type: ignore[attr-defined]
    return along


def _signature(reads: tuple[bool, ...]) -> inspect.Signature:
    names = ["t", *(f"x{i}" if r else f"_x{i}" for i, r in enumerate(reads))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(n, kind) for n in names])


class View(Op):
    """Moves elements and computes nothing.

    `shape(spec_shape, **params)` is the result's shape. `index(i, shape, **params)` maps the tuple `i` of
    output indices to (input indices, conditions). A condition (e, lo, hi) means lo <= e < hi; an element for
    which one fails has the fill value. The map must work on any objects with + - * // %.
    `transpose(ct, x, **params)` is the transpose; of the input `x` it reads the shape. `lift(size, **params)`
    returns the parameters for one more axis in front. `fills` says whether a condition can fail. Where
    kernels may follow an element from the input to the result, `inverse(shape, **params)` returns the
    parameters with which the same op takes the result back.
    """

    family = "view"
    linear = True
    raw = True

    def setup(  # type: ignore[override]
        self, *, shape: Rule | None = None, index: Rule | None = None, transpose: Rule | None = None,
        lift: Rule | None = None, samples: Samples | None = None, fills: bool = False,
        inverse: Rule | None = None,
    ) -> None:  # fmt: skip
        """Store the facts of a view."""
        self.fills, self.inverse = fills, inverse
        require(self, shape=shape, index=index, transpose=transpose, lift=lift, samples=samples)
        assert shape
        assert index
        assert transpose
        assert lift
        self.shape, self.index, self.transpose, self.lift = shape, index, transpose, lift
        self.samples: Samples = samples or ()

    def check(self) -> None:
        """Check on samples that the index has every axis, and that lifting adds one axis in front."""
        super().check()
        for source, params in self.samples:
            shape = self.shape(source, **params)
            index, _ = self.index((0,) * len(shape), source, **params)
            if len(index) != len(source):
                raise RegistryError(
                    f"{self.name}: {len(index)} indices for an input of shape {source}"
                )
            back = self.inverse and self.shape(shape, **self.inverse(source, **params))
            if back not in (None, source):
                raise RegistryError(f"{self.name}: its inverse makes {back} of {source}")
            lifted = self.shape((7, *source), **self.lift(7, **params))
            if self.name != "expand" and lifted != (7, *shape):
                raise RegistryError(
                    f"{self.name}: lifted, {source} becomes {lifted} instead of {(7, *shape)}"
                )

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Change only the shape."""
        return spec(self.shape(specs[0].shape, **params), specs[0].dtype)

    def jvp(self, primals: Operands, tangents: Tangents, y: Result, params: Params) -> Any:
        """Apply the view to the tangent."""
        return bind(self, (tangents[0],), params)

    def vjp(self, ct: Tensor, needs: Needs, inputs: Inputs, y: Result, params: Params) -> Any:
        """Apply the declared transpose."""
        return (self.transpose(ct, inputs[0], **params),)

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Save nothing: the tape keeps the input's shape anyway."""
        return (False,), False

    def batch(self, size: int, args: Operands, dims: Dims, params: Params) -> Any:
        """Apply the view lifted by one axis in front."""
        x = to_front(args[0], dims[0], size)
        return self.bind(x, **self.lift(size, **params))


class Reduction(Op):
    """Combines the elements along the static parameter `axes`, and drops these axes.

    `kind` names the combination ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin").
    `derivative(dx, x, y, axes)` is the jvp; None means that there is none. Only sum is linear. Of another,
    `pull(ct, x, y, axes)` may give the vjp where that takes less than to transpose the jvp.
    """

    family = "reduction"

    def setup(  # type: ignore[override]
        self, *, kind: str | None = None, derivative: Rule | str | None = "unsaid",
        transpose: Rule | None = None, result: str = "same", kinds: str = "iuf", domain: Domain = (-2.0, 2.0),
        pull: Rule | None = None,
    ) -> None:  # fmt: skip
        """Store the facts of a reduction."""
        require(self, kind=kind)
        if isinstance(derivative, str):
            raise RegistryError(f"{self.name}: say `derivative=None` if there is none")
        self.kind, self.derivative, self.transpose, self.pull = kind, derivative, transpose, pull
        self.linear = transpose is not None
        self.result, self.kinds, self.domain = result, kinds, domain

    def check(self) -> None:
        """Check that the printers know the combination."""
        super().check()
        if self.kind not in ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin"):
            raise RegistryError(f"{self.name}: {self.kind!r} is no combination of a reduction")

    @property
    def differentiable(self) -> bool:
        """Whether a derivative was declared."""
        return self.derivative is not None

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Drop the reduced axes."""
        (x,) = specs
        if "c" not in self.kinds:
            real_only(self.name.removeprefix("reduce_"), x)
        axes = params["axes"]
        result = {"same": x.dtype, "bool": dt.bool_, "index": dt.int64}[self.result]
        return spec(without(x.shape, axes), params.get("dtype", result))

    def body(self, spec: Spec) -> Rule | None:
        """Return the body; an empty result needs none, and NumPy refuses the maximum of an empty axis."""
        return self.fn if spec.size else lambda x, **_: np.zeros(spec.shape, x.dtype)

    def jvp(self, primals: Operands, tangents: Tangents, y: Result, params: Params) -> Any:
        """Apply the declared derivative."""
        if self.derivative is None:
            return None
        return self.derivative(tangents[0], primals[0], y, **params)

    @property
    def vjp(self) -> Rule | None:  # type: ignore[override]
        """The declared transpose or pull; None for others, whose jvp is transposed."""
        return self._vjp if self.transpose is not None or self.pull is not None else None

    def _vjp(self, ct: Tensor, needs: Needs, inputs: Inputs, y: Result, params: Params) -> Any:
        if self.pull is not None:
            return (self.pull(ct, inputs[0], y, **params),)
        assert self.transpose is not None
        return (self.transpose(ct, inputs[0], **params),)

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Save nothing for a linear reduction, which needs only the shape; else everything."""
        return ((False,), False) if self.linear else ((True,), True)

    def batch(self, size: int, args: Operands, dims: Dims, params: Params) -> Any:
        """Reduce the same axes, each one further back."""
        x = to_front(args[0], dims[0], size)
        axes: Any = params["axes"]
        return self.bind(x, **{**params, "axes": tuple(a + 1 for a in axes)})


class Bilinear(Op):
    """Linear in each of two operands.

    `lhs(ct, x, y, **params)` is the cotangent of x, given the shape of x and the value of y;
    `rhs(ct, x, y, **params)` is the cotangent of y, given the value of x and the shape of y.
    """

    family = "bilinear"

    def setup(  # type: ignore[override]
        self, *, shape: Rule | None = None, lhs: Rule | None = None, rhs: Rule | None = None,
        batching: Rule | None = None, kinds: str = "iuf", samples: Samples | None = None,
    ) -> None:  # fmt: skip
        """Store the facts of a bilinear op."""
        require(self, shape=shape, lhs=lhs, rhs=rhs, batching=batching, samples=samples)
        assert shape
        assert lhs
        assert rhs
        assert batching
        self.shape, self.lhs, self.rhs, self.batching = shape, lhs, rhs, batching
        self.kinds, self.samples = kinds, samples

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Take the common dtype of both operands."""
        x, y = specs
        return spec(self.shape(x.shape, y.shape, **params), same_dtype(self.name, specs))

    def jvp(self, primals: Operands, tangents: Tangents, y: Result, params: Params) -> Any:
        """Apply the product rule."""
        (a, b), (da, db) = primals, tangents
        left = None if da is None else self.bind(da, b, **params)
        return accumulate(left, None if db is None else self.bind(a, db, **params))

    def vjp(self, ct: Tensor, needs: Needs, inputs: Operands, y: Result, params: Params) -> Any:
        """Apply the two partial transposes."""
        a, b = inputs
        return (
            _applied(self.lhs, (ct, a, conjugate(b)), params) if needs[0] else None,
            _applied(self.rhs, (ct, conjugate(a), b), params) if needs[1] else None,
        )

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Save the other operand of each needed one."""
        return (needs[1], needs[0]), False

    def batch(self, size: int, args: Operands, dims: Dims, params: Params) -> Any:
        """Apply the declared rule."""
        return self.batching(size, args, dims, **params)


class KernelOp(Op):
    """An op with its own kernels in `lower` (gather, scatter, scans, sorts, generators, concatenation).

    `infer(*specs, **params)` returns the Spec; `derivative(primals, tangents, y, **params)` is the jvp, or None
    if there is none; `transpose(ct, needs, inputs, y, **params)` is the vjp of a linear op, while other ops get
    theirs from the jvp; `batching(size, args, dims, **params)` returns the batched result; `samples` is a
    function that yields test arguments.
    """

    family = "kernel"

    def setup(  # type: ignore[override]
        self, *, infer: Rule | None = None, derivative: Rule | str | None = "unsaid",
        transpose: Rule | None = None, batching: Rule | None = None, samples: Rule | None = None,
        reads: tuple[tuple[bool, ...], bool] | None = None,
    ) -> None:  # fmt: skip
        """Store the facts of a kernel op."""
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
        """Apply the declared rule."""
        result: Spec = self.infer_rule(*specs, **params)
        return result

    def jvp(self, primals: Operands, tangents: Tangents, y: Result, params: Params) -> Any:
        """Apply the declared derivative."""
        if self.derivative is None:
            return None
        return self.derivative(primals, tangents, y, **params)

    def _vjp(self, ct: Tensor, needs: Needs, inputs: Inputs, y: Result, params: Params) -> Any:
        assert self.transpose_rule is not None
        return self.transpose_rule(ct, needs, inputs, y, **params)

    def saves_for(self, needs: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Save what `reads` declares, or everything if it declares nothing."""
        return self.saved_always or super().saves_for(needs)

    def batch(self, size: int, args: Operands, dims: Dims, params: Params) -> Any:
        """Apply the declared rule."""
        return self.batching(size, args, dims, **params)


def _decorator(
    kind: type[Op], facts: dict[str, object]
) -> Callable[[Callable[P, R]], Declared[P, R]]:
    def declare(fn: Callable[P, R]) -> Declared[P, R]:
        return cast("Declared[P, R]", kind(fn, **facts))

    return declare


def elementwise(**facts: object) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare an element-wise op; see Elementwise."""
    return _decorator(Elementwise, facts)


def view(**facts: object) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare a view; see View."""
    return _decorator(View, facts)


def reduction(**facts: object) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare a reduction; see Reduction."""
    return _decorator(Reduction, facts)


def bilinear(**facts: object) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare a bilinear op; see Bilinear."""
    return _decorator(Bilinear, facts)


def kernel(**facts: object) -> Callable[[Callable[P, R]], Declared[P, R]]:
    """Declare an op with its own kernels; see KernelOp."""
    return _decorator(KernelOp, facts)
