"""Rules for plain functions: `custom_vjp` and `custom_jvp`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import tree
from tabgrad.core.errors import GradientError, TransformError
from tabgrad.core.trace import MODE, Box, Mode, filled, zeros_like
from tabgrad.transforms.calls import RuledCall, apply
from tabgrad.transforms.levels import Level
from tabgrad.transforms.linear import Linear
from tabgrad.transforms.node import Node
from tabgrad.transforms.rule_results import differentiable, like
from tabgrad.transforms.vmap import Batch
from tabgrad.transforms.vmapped import BatchedFunctions


class _Custom:
    """The base of custom_vjp and custom_jvp: a plain function, and the sorting of its arguments."""

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        self.fun = fun
        self.signature = _signature(fun)
        self.nondiff_argnums = tuple(nondiff_argnums)
        functools.update_wrapper(self, fun)  # type: ignore[arg-type]

    def positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Put the arguments in their places, and fill in defaults."""
        if self.signature is not None:
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        if kwargs:
            raise TypeError(
                f"{_name(self.fun)}: rules are given arguments by position, so {', '.join(kwargs)} can't be "
                "keyword-only"
            )
        return args

    def split(self, args: tuple[Any, ...]) -> tuple[dict[int, Any], _Trees]:
        """Split the arguments into those without a derivative and the trees of the others."""
        fixed = {i: args[i] for i in self.nondiff_argnums}
        return fixed, _Trees(tuple(a for i, a in enumerate(args) if i not in fixed))


class _Trees:
    """The leaves and the structure of the arguments, and the structure of the output once it is known."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self.leaves, self.structure = tree.flatten(args)
        self.out: Any = None

    def args(self, leaves: Sequence[Any]) -> Any:
        """Build the arguments from `leaves`."""
        return tree.unflatten(self.structure, leaves)

    def outputs(self, value: Any) -> list[Any]:
        """Flatten the output, and remember its structure."""
        leaves, self.out = tree.flatten(value)
        return leaves

    def flat(self, fun: Callable[..., Any]) -> Callable[[Sequence[Any]], list[Any]]:
        """Turn a function of trees into a function of leaves."""
        return lambda leaves: self.outputs(fun(*self.args(leaves)))

    def applied(self, call: RuledCall) -> Any:
        """Apply a call on leaves."""
        outputs = apply(call, self.leaves)
        return tree.unflatten(self.out, outputs)


class custom_vjp(_Custom):
    """Give a plain function a reverse derivative of its own.

    `defvjp(fwd, bwd)`: `fwd(*args)` returns (output, residuals), `bwd(residuals, cotangent)` a tuple with one
    gradient, tree or None for each argument. Arguments and outputs are trees; those named by
    `nondiff_argnums` are passed to `bwd` first, before the residuals. Second derivatives go through
    fwd and bwd.

    >>> import tabgrad as tg
    >>> @tg.func.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, ct: (tg.clamp(ct, -1.0, 1.0),))
    >>> tg.func.grad(lambda x: 10 * clipped(x))(tg.tensor(1.0))
    tensor(1.)
    """

    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rule."""
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function; arguments given by name reach the rules by position, defaults filled in."""
        args = self.positional(args, kwargs)
        if self.fwd is None or self.bwd is None:
            raise TransformError(
                f"{_name(self.fun)}: give the custom_vjp its rule with .defvjp(fwd, bwd) first"
            )
        fixed, trees = self.split(args)
        fun, fwd = _with_fixed(self.fun, fixed), _with_fixed(self.fwd, fixed)
        bwd = functools.partial(self.bwd, *[fixed[i] for i in sorted(fixed)])
        return trees.applied(VjpCall(_name(self.fun), *_flat_vjp(trees, fun, fwd, bwd)))


def _name(fn: Any) -> str:
    return str(getattr(fn, "__name__", type(fn).__name__))


def _signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):  # a function written in C may have none
        return None


def _with_fixed(fn: Callable[..., Any], fixed: dict[int, Any]) -> Callable[..., Any]:
    """Bind the arguments `fixed` by their places."""
    if not fixed:
        return fn

    def call(*moving: Any) -> Any:
        rest = iter(moving)
        return fn(
            *[fixed[i] if i in fixed else next(rest) for i in range(len(fixed) + len(moving))]
        )

    return call


def _flat_vjp(
    trees: _Trees, fun: Callable[..., Any], fwd: Callable[..., Any], bwd: Callable[..., Any]
) -> tuple[Any, Any, Any]:
    """Turn the functions of a custom_vjp into functions of leaves."""
    specs = differentiable(trees.leaves)

    def flat_fwd(leaves: Sequence[Any]) -> tuple[list[Any], tuple[list[Any], Any]]:
        pair = fwd(*trees.args(leaves))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TransformError("custom_vjp: fwd must return a pair (output, residuals)")
        return trees.outputs(pair[0]), tree.flatten(pair[1])

    def flat_bwd(residuals: tuple[list[Any], Any], cts: Sequence[Any]) -> list[Any]:
        leaves, its = residuals
        found = bwd(tree.unflatten(its, leaves), tree.unflatten(trees.out, cts))
        return like("custom_vjp", "gradient", _gradients(found, trees.structure), "argument", specs)

    return trees.flat(fun), flat_fwd, flat_bwd


def _gradients(found: Any, structure: tree.Structure) -> list[Any]:
    """Flatten the gradients that bwd returned; None stands for zeros of a whole argument."""
    children = structure[2]
    if not isinstance(found, tuple | list) or len(found) != len(children):
        raise GradientError(
            f"custom_vjp: bwd must return a tuple with one gradient for each of the {len(children)} arguments"
        )
    out: list[Any] = []
    for g, child in zip(found, children, strict=True):
        if g is None:
            out += [None] * tree.count(child)
            continue
        leaves, its = tree.flatten(g)
        if its != child:
            raise GradientError(
                f"custom_vjp: a gradient has the structure {its}, its argument {child}; they must be equal"
            )
        out += leaves
    return out


def completed(cts: Sequence[Any], specs: Sequence[Any], device: Any) -> list[Any]:
    """Put zeros in place of the cotangents that are None."""
    return [
        filled(0, s, device) if ct is None and s is not None else ct
        for ct, s in zip(cts, specs, strict=True)
    ]


class VjpCall(RuledCall):
    """One application of a custom_vjp, on leaves: fun(leaves), fwd(leaves), bwd(residuals, cts)."""

    def __init__(
        self, name: str, fun: Callable[..., Any], fwd: Callable[..., Any], bwd: Callable[..., Any]
    ) -> None:
        self.name = name
        self.fun, self.fwd, self.bwd = fun, fwd, bwd
        self.node_name = name + "Backward"

    def run(self, args: list[Any]) -> list[Any]:
        """Run the function."""
        outs: list[Any] = self.fun(args)
        return outs

    plain = run

    def forward(self, args: list[Any]) -> tuple[list[Any], list[Any]]:
        """Run fwd; keep the residuals, with their structure last."""
        outs, (leaves, its) = self.fwd(args)
        return outs, [*leaves, its]

    def apply(
        self, node: Node, cts: list[Any], needs: Sequence[bool], lowered: bool, graph: bool
    ) -> list[Any]:
        """Apply bwd, with zeros for missing cotangents."""
        return super().apply(
            node, completed(cts, node.out_spec, node.out_device), needs, lowered, graph
        )

    def pull(
        self, args: list[Any], kept: list[Any], cts: list[Any], needs: Sequence[bool]
    ) -> list[Any]:
        """Run bwd."""
        *leaves, its = kept
        found: list[Any] = self.bwd((leaves, its), cts)
        return found

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Run fwd, and the transpose of bwd, which is the forward derivative."""
        outs, residuals = self.fwd(primals)
        trace = Linear(MODE.get())
        with trace.inside():
            tracers = [trace.tracer(y.spec, y.device) if isinstance(y, Box) else None for y in outs]
            grads = self.bwd(residuals, tracers)
        return outs, trace.transpose(tracers, grads, tangents)

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Apply a call of the batched functions."""
        each = BatchedFunctions(level, dims)
        fun, fwd, bwd = each.plain(self.fun), each.forward(self.fwd), each.backward(self.bwd)
        outs = apply(VjpCall(self.name, fun, fwd, bwd), args)
        return outs, [0] * len(outs)


class custom_jvp(_Custom):
    """Give a plain function a derivative of its own, for forward and reverse mode.

    `defjvp(rule)`: `rule(primals, tangents)` returns (output, tangent of the output), linear in the tangents,
    which are zeros where there is none. Arguments and outputs are trees.

    >>> import tabgrad as tg
    >>> @tg.func.custom_jvp
    ... def log1pexp(x):
    ...     return tg.log(1 + tg.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * tg.sigmoid(x)
    >>> tg.func.grad(log1pexp)(tg.tensor(100.0))
    tensor(1.)
    """

    rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; a decorator. Non-differentiable arguments come before primals and tangents."""
        self.rule = rule
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Set one rule for each argument: rule(tangent, output, *primals), or None for no derivative."""

        def rule(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            out = self(*primals)
            total = None
            for one, t in zip(rules, tangents, strict=True):
                if one is not None:
                    term = one(t, out, *primals)
                    total = term if total is None else tree.map(lambda a, b: a + b, total, term)
            return out, (tree.map(zeros_like, out) if total is None else total)

        self.rule = rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function; arguments given by name reach the rules by position, defaults filled in."""
        args = self.positional(args, kwargs)
        if self.rule is None:
            raise TransformError(
                f"{_name(self.fun)}: give the custom_jvp its rule with .defjvp(rule) first"
            )
        fixed, trees = self.split(args)
        rule = functools.partial(self.rule, *[fixed[i] for i in sorted(fixed)])
        fun = trees.flat(_with_fixed(self.fun, fixed))
        return trees.applied(JvpCall(_name(self.fun), fun, _flat_jvp(trees, rule)))


def _flat_jvp(
    trees: _Trees, rule: Callable[..., Any]
) -> Callable[[Sequence[Any], Sequence[Any]], Any]:
    """Turn the rule of a custom_jvp into a function of leaves."""

    def flat_rule(xs: Sequence[Any], ts: Sequence[Any]) -> Any:
        pair = rule(trees.args(xs), trees.args(ts))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TransformError("custom_jvp: the rule must return a pair (output, tangent)")
        tangents, its = tree.flatten(pair[1])
        outs, found = tree.flatten(pair[0])
        if its != found:
            raise GradientError(
                f"custom_jvp: the tangent has the structure {its}, the output {found}; they must be equal"
            )
        trees.out = found
        return outs, like("custom_jvp", "tangent", tangents, "output", differentiable(outs))

    return flat_rule


class JvpCall(RuledCall):
    """One application of a custom_jvp, on leaves: fun(leaves), rule(primals, tangents)."""

    def __init__(self, name: str, fun: Callable[..., Any], rule: Callable[..., Any]) -> None:
        self.name = name
        self.fun, self.rule = fun, rule
        self.node_name = name + "Backward"

    def run(self, args: list[Any]) -> list[Any]:
        """Run the function."""
        outs: list[Any] = self.fun(args)
        return outs

    plain = run

    def pull(
        self, args: list[Any], kept: list[Any], cts: list[Any], needs: Sequence[bool]
    ) -> list[Any]:
        """Run the rule on tracers of the tangents, and transpose it."""
        trace = Linear(MODE.get())
        with trace.inside():
            tracers = [trace.tracer(p.spec, p.device) if isinstance(p, Box) else p for p in args]
            _, outs = self.rule(args, tracers)
            tracers = [t if need else None for t, need in zip(tracers, needs, strict=True)]
        return trace.transpose(tracers, outs, cts)

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Run the rule."""
        given = [
            zeros_like(p) if t is None and isinstance(p, Box) else t
            for p, t in zip(primals, tangents, strict=True)
        ]
        outs, moved = self.rule(primals, given)
        return outs, moved

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Apply a call of the batched functions."""
        each = BatchedFunctions(level, dims)
        outs = apply(JvpCall(self.name, each.plain(self.fun), each.pushed(self.rule)), args)
        return outs, [0] * len(outs)

    def at_level(self, level: Level, args: list[Any], mode: Mode) -> list[Any]:
        """Record the call at a level that traces; tracers of tangents go through the function itself."""
        return super().at_level(level, args, mode) if hasattr(level, "call") else self.plain(args)
