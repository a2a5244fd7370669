"""Derivatives of functions: vjp, grad, jvp, linearize. Each runs the function under a level of its own."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import tree
from tabgrad.core.errors import GradientError
from tabgrad.core.trace import Box, filled, zeros_like
from tabgrad.transforms.autograd import Autograd, pullback
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.levels import all_refreshed
from tabgrad.transforms.linear import Linear
from tabgrad.transforms.node import edge, leaf_node

Argnums = int | Sequence[int]


def tensors_in(name: str, what: str, value: Any) -> tuple[list[Any], tree.Structure]:
    """Split `value` into its leaves, which must be tensors, and its structure."""
    leaves, structure = tree.flatten(value)
    for x in leaves:
        if not isinstance(x, Box):
            raise GradientError(
                f"{name}: expected {what} to hold only tensors, got {type(x).__name__}"
            )
    return leaves, structure


def lowered(level: Any, value: Any) -> Any:
    """Replace the tensors of `level` in the tree `value` by their values below it."""
    return tree.map(lambda x: level.lower(x) if isinstance(x, Box) else x, value)


def split_aux(name: str, out: Any, has_aux: bool) -> tuple[Any, Any]:
    """Split a function's result into output and auxiliary output, None where it has none."""
    if not has_aux:
        return out, None
    if not isinstance(out, tuple) or len(out) != 2:
        raise GradientError(
            f"{name}: with has_aux=True the function must return a pair (output, aux)"
        )
    return out


def check_differentiable(name: str, inputs: Sequence[Any]) -> None:
    """Raise GradientError unless the dtype of every input can carry gradients."""
    for x in inputs:
        if not x.spec.dtype.is_differentiable:
            raise GradientError(
                f"{name}: expected floating-point or complex inputs, got {x.spec.dtype!r}; "
                "convert it, or leave it out of argnums"
            )


class Pullback:
    """A function at a point, ready to map cotangents of its output to cotangents of its inputs."""

    def __init__(
        self, name: str, func: Callable[..., Any], primals: Sequence[Any], has_aux: bool
    ) -> None:
        self.name = name
        leaves, self.in_structure = tensors_in(name, "the inputs", primals)
        check_differentiable(name, leaves)
        level = Autograd()
        with level.inside():
            lifted = [level.lift(x) for x in leaves]
            self.inputs = leaves
            self.in_nodes = [leaf_node(x) for x in lifted]
            out = all_refreshed(func(*tree.unflatten(self.in_structure, lifted)))
        out, aux = split_aux(name, out, has_aux)
        outs, self.out_structure = tensors_in(name, "the output", out)
        self.out_nodes = [edge(y, level) for y in outs]
        self.outputs = [level.lower(y) for y in outs]
        self.aux = lowered(level, aux)

    @property
    def output(self) -> Any:
        """The value of the function."""
        return tree.unflatten(self.out_structure, self.outputs)

    def pull(self, cotangents: Sequence[Any], keep: bool) -> Any:
        """Pull cotangents of the outputs back to the inputs, in their structure."""
        found = pullback(self.out_nodes, cotangents, self.in_nodes, keep, False, lowered=True)
        filled = [
            zeros_like(x) if g is None else g for x, g in zip(self.inputs, found, strict=True)
        ]
        return tree.unflatten(self.in_structure, filled)

    def checked(self, cotangents: Any) -> list[Any]:
        """Give the leaves of `cotangents`, checked against the outputs."""
        leaves, structure = tensors_in(self.name, "the cotangents", cotangents)
        if structure != self.out_structure:
            raise GradientError(
                f"{self.name}: the cotangents must have the structure of the output, "
                f"{self.out_structure}, got {structure}"
            )
        for y, ct in zip(self.outputs, leaves, strict=True):
            check_like(self.name, "cotangent", ct, "output", y)
        return leaves


def check_like(name: str, what: str, t: Box, of: str, x: Box) -> None:
    """Raise GradientError unless `t` has the shape and dtype of `x`."""
    if t.spec is not x.spec:
        raise GradientError(
            f"{name}: each {what} must have the shape and dtype of its {of}: expected {x.spec}, got {t.spec}"
        )


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Apply `func`; return its output and the function that maps cotangents of it to those of `primals`.

    With `has_aux` the function returns (output, aux) and the result is (output, vjp_fn, aux).

    >>> import tabgrad as tg
    >>> y, vjp_fn = tg.func.vjp(tg.sin, tg.tensor([0.0]))
    >>> vjp_fn(tg.tensor([2.0]))
    (tensor([2.]),)
    """
    linearized = Pullback("vjp", func, primals, has_aux)
    for y in linearized.outputs:
        if not y.spec.dtype.is_differentiable:
            raise GradientError(
                f"vjp: expected floating-point or complex outputs, got {y.spec.dtype!r}; return it as aux"
            )

    def vjp_fn(
        *cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None
    ) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        return linearized.pull(linearized.checked(given), retain_graph)

    if has_aux:
        return linearized.output, vjp_fn, linearized.aux
    return linearized.output, vjp_fn


def positions(name: str, argnums: Argnums, args: Sequence[Any]) -> list[int]:
    """Find the places in `args` that `argnums` names, counted from the front."""
    given = [argnums] if isinstance(argnums, int) else list(argnums)
    found = []
    for i in given:
        if not isinstance(i, int) or not -len(args) <= i < len(args):
            raise GradientError(
                f"{name}: argnums {i!r} names none of the {len(args)} positional arguments of the call"
            )
        found.append(i % len(args))
    if not found or len(set(found)) != len(found):
        raise GradientError(
            f"{name}: argnums {argnums!r} must name at least one argument, and none twice"
        )
    return found


def partial(
    func: Callable[..., Any], at: list[int], args: Sequence[Any], kwargs: dict[str, Any]
) -> Callable[..., Any]:
    """Make `func` a function of its arguments `at`; the others are taken from `args` and `kwargs`."""

    def call(*chosen: Any) -> Any:
        full = list(args)
        for i, x in zip(at, chosen, strict=True):
            full[i] = x
        return func(*full, **kwargs)

    return call


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Make a function that computes the gradient and the value of a scalar function.

    The result is (gradient, value), or (gradient, (value, aux)) with `has_aux`. The gradient has the
    structure of the argument that `argnums` names, a tuple of them if it names several.

    >>> import tabgrad as tg
    >>> tg.func.grad_and_value(lambda x: x * x)(tg.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        at = positions("grad", argnums, args)
        linearized = Pullback(
            "grad", partial(func, at, args, kwargs), tuple(args[i] for i in at), has_aux
        )
        value = linearized.output
        if not isinstance(value, Box) or value.spec.size != 1 or value.spec.shape:
            got = value.spec if isinstance(value, Box) else type(value).__name__
            raise GradientError(
                f"grad: expected the function to return one tensor with no dimensions, got {got}; "
                "reduce it, or use func.vjp or func.jacrev"
            )
        if value.spec.dtype.is_complex:
            raise GradientError(
                f"grad can be implicitly created only for real scalar outputs but got {value.spec.dtype!r}: "
                "take the real part or the absolute value, or use func.vjp"
            )
        one = filled(1.0, value.spec, value.device)
        grads = linearized.pull([one], keep=False)
        found = grads[0] if isinstance(argnums, int) else grads
        return found, ((value, linearized.aux) if has_aux else value)

    return call


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Make a function that computes the gradient of a scalar function.

    The gradient has the structure of the argument that `argnums` names, a tuple of them if it names
    several. With `has_aux` the function returns (scalar, aux) and the result is (gradient, aux).

    >>> import tabgrad as tg
    >>> tg.func.grad(tg.func.grad(lambda x: x**3))(tg.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return call


def _check_tangents(name: str, primals: Any, tangents: Any) -> tuple[list[Any], list[Any], Any]:
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise GradientError(
            f"{name}: primals and tangents are tuples with one entry for each argument"
        )
    xs, structure = tensors_in(name, "the primals", tuple(primals))
    ts, its = tensors_in(name, "the tangents", tuple(tangents))
    if its != structure:
        raise GradientError(
            f"{name}: the tangents must have the structure of the primals, {structure}, got {its}"
        )
    if not xs:
        raise GradientError(f"{name}: expected at least one tensor among the primals")
    for x, t in zip(xs, ts, strict=True):
        check_like(name, "tangent", t, "primal", x)
    return xs, ts, structure


def jvp(
    func: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """Compute `func(*primals)` and its derivative along `tangents`.

    `strict` raises where an output does not depend on the inputs, instead of returning zeros. What `func`
    writes to an argument in place is written to the caller's primal and tangent. With
    `has_aux` the function returns (output, aux) and the result is (output, tangent, aux).

    >>> import tabgrad as tg
    >>> tg.func.jvp(tg.sin, (tg.tensor(0.0),), (tg.tensor(2.0),))
    (tensor(0.), tensor(2.))
    """
    xs, ts, structure = _check_tangents("jvp", primals, tangents)
    level = Forward()
    with level.inside():
        lifted = [level.tie(x, t) for x, t in zip(xs, ts, strict=True)]
        out = all_refreshed(func(*tree.unflatten(structure, lifted)))
    out, aux = split_aux("jvp", out, has_aux)
    ys, out_structure = tensors_in("jvp", "the output", out)
    parts = [level.parts(y) for y in ys]
    if strict and any(t is None for _, t in parts):
        raise GradientError(
            "jvp: an output does not depend on the inputs, which strict=True refuses"
        )
    y = tree.unflatten(out_structure, [p for p, _ in parts])
    dy = tree.unflatten(out_structure, [zeros_like(p) if t is None else t for p, t in parts])
    if has_aux:
        return y, dy, tree.map(lambda a: level.parts(a)[0] if isinstance(a, Box) else a, aux)
    return y, dy


class Linearized:
    """A function at a point: its value there, and the linear program of its derivative."""

    def __init__(
        self, name: str, func: Callable[..., Any], primals: Sequence[Any], has_aux: bool = False
    ) -> None:
        self.inputs, self.in_structure = tensors_in(name, "the primals", primals)
        self.trace = Linear(lasting=True)
        # a reference cycle: the steps hold tensors of the trace, which hold the trace
        weakref.finalize(self, self.trace.steps.clear)
        with self.trace.inside():
            self.tracers = [self.trace.tracer(x.spec, x.device) for x in self.inputs]
            level = Forward()
            with level.inside():
                lifted = [level.lift(x, t) for x, t in zip(self.inputs, self.tracers, strict=True)]
                out = all_refreshed(func(*tree.unflatten(self.in_structure, lifted)))
        out, aux = split_aux(name, out, has_aux)
        ys, self.out_structure = tensors_in(name, "the output", out)
        parts = [level.parts(y) for y in ys]
        self.outputs = [p for p, _ in parts]
        self.tangents = [t for _, t in parts]
        self.aux = lowered(level, aux)
        for y in self.outputs:
            if y.owner is self.trace:
                raise GradientError(f"{name}: the function's value depends on a tangent")


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """Compute `func(*primals)` and the linear function of tangents that is its derivative there.

    `func` runs once; each call of the linear function repeats only the ops that tangents go through.

    >>> import tabgrad as tg
    >>> y, jvp_fn = tg.func.linearize(tg.sin, tg.tensor(0.0))
    >>> jvp_fn(tg.tensor(2.0))
    tensor(2.)
    """
    at = Linearized("linearize", func, primals)

    def jvp_fn(*tangents: Any) -> Any:
        _, ts, _ = _check_tangents("linearize", primals, tangents)
        outs = at.trace.replay(at.tracers, ts, at.tangents)
        filled = [zeros_like(y) if t is None else t for y, t in zip(at.outputs, outs, strict=True)]
        return tree.unflatten(at.out_structure, filled)

    return tree.unflatten(at.out_structure, at.outputs), jvp_fn


__all__ = ["Pullback", "grad", "grad_and_value", "jvp", "linearize", "vjp"]
