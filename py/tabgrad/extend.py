"""Ops of your own: element by element from one line of code, or from a kernel you wrote.

They are ops like tabgrad's: every transform knows them, element-wise ones are fused, compiled steps replay
them, and they run on each device that they have code for.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import families
from tabgrad.core.errors import DeviceError, RegistryError
from tabgrad.core.op import REGISTRY, USER_KERNEL, Dims, Op, Operands, Rule
from tabgrad.core.settings import on_restore
from tabgrad.core.spec import Params, Spec, intern_params, spec
from tabgrad.core.trace import Box, bind

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType

Source = str | pathlib.Path
LANGUAGES = {"webgpu": "wgsl", "cuda": "cuda"}


def _check_device(op: UserElementwise | UserKernel, args: tuple[object, ...]) -> None:
    """Raise DeviceError if `op` has no code for the device of its arguments."""
    for a in args:
        if isinstance(a, Box):
            language = LANGUAGES.get(a.device.type, "numpy")
            if language not in op.languages:
                raise DeviceError(
                    f"{op.name}: has code for {', '.join(sorted(op.languages)) or 'nothing'}, not for "
                    f"{a.device} ({language}); declare it, or move the tensor to another device"
                )


@on_restore
def _forget_declared() -> None:
    for name, op in list(REGISTRY.ops.items()):
        if isinstance(op, UserElementwise | UserKernel):
            del REGISTRY.ops[name]


def _has_body(fn: Callable[..., Any]) -> bool:
    """Whether a function has more than a docstring and `...`."""
    code = fn.__code__
    return (
        any(name for name in (*code.co_names, *code.co_freevars))
        or len(code.co_code) > 16
        or (bool(code.co_consts) and any(c not in (None, ..., fn.__doc__) for c in code.co_consts))
    )


def _declared(name: str) -> None:
    """Remove a user's op of this name, which is declared again when a notebook's cell runs again."""
    old = REGISTRY.ops.get(name)
    if name in REGISTRY and not isinstance(old, UserElementwise | UserKernel):
        raise RegistryError(f"{name}: tabgrad has an op of this name; choose another")
    if old is not None:
        del REGISTRY.ops[name]


class UserElementwise(families.Elementwise):
    """An element-wise op that a user declared."""

    languages: frozenset[str]

    def check(self) -> None:
        """Check that its code names only its operands; a language may have no code."""
        for language, text in self.code.items():  # type: ignore[union-attr]
            try:
                text.format(**dict.fromkeys(self.operands, "0"), t="f32", f="f32")
            except (KeyError, IndexError, ValueError) as error:
                raise RegistryError(
                    f"{self.name}: its {language} code names {error}; the operands are "
                    f"{', '.join(f'{{{name}}}' for name in self.operands)}"
                ) from None

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the op to tensors and numbers, promoted and broadcast."""
        _check_device(self, args)
        return super().__call__(*args, **params)


class UserKernel(families.KernelOp):
    """An op whose kernels a user wrote."""

    lowering = USER_KERNEL
    languages: frozenset[str]
    sources: dict[str, str]
    workgroups: Rule
    constants: Rule | None
    whole = True
    """Each of its operands is stored in a buffer of its own."""

    def check(self) -> None:
        """Check nothing: the declaration did."""

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the op to tensors."""
        for a in args:
            if not isinstance(a, Box):
                raise TypeError(f"{self.name}: expected tensors, got {type(a).__name__}")
        _check_device(self, args)
        return self.bind(*args, **params)


def elementwise(
    *, wgsl: str | None = None, cuda: str | None = None, derivative: families.Derivative = "unsaid",
    along: Rule | tuple[Rule | None, ...] | None = None, domain: families.Domain = (-2.0, 2.0),
    integers: str | None = "float", kinds: str = "f",
) -> Callable[[Callable[..., Any]], UserElementwise]:  # fmt: skip
    """Declare an element-wise op; a decorator of its meaning in NumPy.

    `wgsl` and `cuda` are one expression each in which {x} stands for the operand named x; the functions of
    shaders/lib (`exp_f32`, `tanh_f32`, ...) can be called, of which float64 gets those in its precision
    (`exp_f64`). `derivative` is a function of the operands and the result, written with tabgrad's functions, or
    a tuple of one for each operand; None says that there is none. A parameter whose name begins with an
    underscore is not read, so it is not saved. `along` gives a linear map t -> dy/dx t instead. `integers` says
    what becomes of integer tensors: "float", "same", or None to refuse them; `kinds` which dtypes it is for: b,
    i, u, f, c. A body of `...` leaves `cpu` out.

    >>> import tabgrad as tg
    >>> @tg.extend.elementwise(wgsl="({x} / (1.0 + abs({x})))", derivative=lambda x, _y: 1 / (1 + abs(x)) ** 2)
    ... def my_softsign(x):
    ...     return x / (1 + abs(x))
    >>> tg.func.grad(my_softsign)(tg.tensor(1.0, device="cpu"))
    tensor(0.2500)
    """

    def declare(fn: Callable[..., Any]) -> UserElementwise:
        given = (("wgsl", wgsl), ("cuda", cuda))
        code = {k: v.replace("_f32(", "_{f}(") for k, v in given if v is not None}
        _declared(fn.__name__)
        facts = {"derivative": derivative} if along is None else {"along": along}
        op = UserElementwise(fn, code=code, domain=domain, integers=integers, kinds=kinds, **facts)
        op.languages = frozenset(code) | ({"numpy"} if _has_body(fn) else frozenset())
        return op

    return declare


def kernel(
    *, wgsl: Source | None = None, cuda: Source | None = None, shape: Rule, workgroups: Rule,
    constants: Rule | None = None, dtype: DType | None = None, derivative: Rule | str | None = "unsaid",
    transpose: Rule | None = None, batching: Rule | None = None,
) -> Callable[[Callable[..., Any]], UserKernel]:  # fmt: skip
    """Declare an op with kernels of your own; a decorator of its meaning in NumPy.

    `wgsl` is a whole module, its text or the path of a .wgsl file, with one entry point `main`; binding i of
    group 0 is operand i, read only, and the last binding is the result. `cuda` is a translation unit with
    `extern "C" __global__ void main_kernel(...)`, its pointers in the same order; the number of threads is the
    constant WX. `shape(*shapes, **params)` is the result's shape, `workgroups(*shapes, **params)` how many
    to start, `constants(*shapes, **params)` the values of `override` constants; `dtype` the result's dtype,
    that of the first operand unless given. Parameters of the op are keyword-only and hashable.

    `derivative(primals, tangents, y, **params)` is the tangent of the result (None among the tangents is zero),
    written with tabgrad's functions. Reverse mode is its transpose, made from it; a derivative that calls the
    op itself needs `transpose(ct, needs, inputs, y, **params)`, which returns the cotangent of each operand.
    A derivative of None says that there is none. `batching(size, args, dims, **params)` returns
    the batched result, its batch axis in front; without it the elements of a batch run one after another.

    >>> import tabgrad as tg
    >>> @tg.extend.kernel(
    ...     shape=lambda shape: shape, workgroups=lambda shape: (1,), derivative=lambda p, t, y: t[0] * 2
    ... )
    ... def doubled(x):
    ...     return x * 2
    >>> tg.func.grad(lambda x: doubled(x).sum())(tg.ones(2, device="cpu"))
    tensor([2., 2.])
    """

    def declare(fn: Callable[..., Any]) -> UserKernel:
        _declared(fn.__name__)

        def infer(*specs: Spec, **params: Any) -> Spec:
            made = tuple(int(n) for n in shape(*[s.shape for s in specs], **params))
            return spec(made, specs[0].dtype if dtype is None else dtype)

        op: UserKernel = UserKernel(
            fn, infer=infer, derivative=derivative, transpose=transpose, samples=lambda: iter(()),
            batching=batching or (lambda n, args, dims, **params: _each(op, n, args, dims, params)),
        )  # fmt: skip
        op.sources = {k: _text(v) for k, v in (("wgsl", wgsl), ("cuda", cuda)) if v is not None}
        op.languages = frozenset(op.sources) | ({"numpy"} if _has_body(fn) else frozenset())
        op.workgroups, op.constants = workgroups, constants
        return op

    return declare


def _text(source: Source) -> str:
    """Return the text of a kernel, read from a file if `source` is a path."""
    if isinstance(source, pathlib.Path) or (
        isinstance(source, str) and "\n" not in source and "{" not in source
    ):
        return pathlib.Path(source).read_text()
    return str(source)


def _each(op: Op, n: int, args: Operands, dims: Dims, params: dict[str, Any]) -> Any:
    """Compute the batched result, one element of the batch after another."""
    take, reshape = REGISTRY["slice"], REGISTRY["reshape"]
    rows = []
    for i in range(n):
        picked = []
        for a, d in zip(args, dims, strict=True):
            if d is None:
                picked.append(a)
                continue
            sizes = a.spec.shape
            starts = tuple(i if k == d else 0 for k in range(len(sizes)))
            stops = tuple(i + 1 if k == d else m for k, m in enumerate(sizes))
            one = take.bind(a, starts=starts, stops=stops, steps=(1,) * len(sizes))
            picked.append(reshape.bind(one, shape=(*sizes[:d], *sizes[d + 1 :])))
        y = bind(op, tuple(picked), params if isinstance(params, Params) else intern_params(params))
        rows.append(reshape.bind(y, shape=(1, *y.spec.shape)))
    return REGISTRY["cat"].bind(*rows, axis=0)


__all__ = ["elementwise", "kernel"]
