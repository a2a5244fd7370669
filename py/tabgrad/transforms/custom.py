"""Rules for plain functions: `custom_vjp` and `custom_jvp`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import tree
from tabgrad.core.errors import GradientError, TransformError
from tabgrad.core.trace import MODE, Box, Mode, filled, using, wrap, zeros_like
from tabgrad.transforms.batched_functions import BatchedFunctions
from tabgrad.transforms.calls import Call, apply, lift_outputs, lower_all, lowered_call
from tabgrad.transforms.linear import Linear
from tabgrad.transforms.node import Node
from tabgrad.transforms.returned import differentiable, like
from tabgrad.transforms.saving import frozen
from tabgrad.transforms.tape import record_call
from tabgrad.transforms.vmap import Batch


class custom_vjp:
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

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        self.fun = fun
        self.signature = _signature(fun)
        self.nondiff_argnums = tuple(nondiff_argnums)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        functools.update_wrapper(self, fun)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rule."""
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function; arguments given by name reach the rules by position, defaults filled in."""
        args = _positional(self, args, kwargs)
        if self.fwd is None or self.bwd is None:
            raise TransformError(
                f"{_name(self.fun)}: give the custom_vjp its rule with .defvjp(fwd, bwd) first"
            )
        fun, fwd, bwd = self.fun, self.fwd, self.bwd
        fixed = {i: args[i] for i in self.nondiff_argnums}
        if fixed:
            order = tuple(fixed[i] for i in sorted(fixed))
            fun, fwd = _with_fixed(fun, fixed), _with_fixed(fwd, fixed)
            bwd = functools.partial(bwd, *order)
        moving = tuple(a for i, a in enumerate(args) if i not in fixed)
        leaves, structure = tree.flatten(moving)
        out_tree: list[Any] = []
        return _run(
            VjpCall(_name(self.fun), *_flat(fun, fwd, bwd, leaves, structure, out_tree)),
            leaves,
            out_tree,
        )


def _run(call: Call, leaves: list[Any], out_tree: list[Any]) -> Any:
    outputs = apply(call, leaves)
    return tree.unflatten(out_tree[0], outputs)


def _name(fn: Any) -> str:
    return str(getattr(fn, "__name__", type(fn).__name__))


def _signature(fn: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):  # a function written in C may have none
        return None


def _positional(custom: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    if custom.signature is None:
        bound = None
    else:
        bound = custom.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        kwargs = bound.kwargs
    if kwargs:
        raise TypeError(
            f"{_name(custom.fun)}: rules are given arguments by position, so {', '.join(kwargs)} can't be "
            "keyword-only"
        )
    return args if bound is None else bound.args


def _with_fixed(fn: Callable[..., Any], fixed: dict[int, Any]) -> Callable[..., Any]:
    def call(*moving: Any) -> Any:
        rest = iter(moving)
        return fn(
            *[fixed[i] if i in fixed else next(rest) for i in range(len(fixed) + len(moving))]
        )

    return call


def _flat(
    fun: Any, fwd: Any, bwd: Any, args: Sequence[Any], structure: Any, out_tree: list[Any]
) -> tuple[Any, Any, Any]:
    """Return the functions on lists of leaves like `args`; the output's structure is put in `out_tree`."""
    specs = differentiable(args)

    def flat_fun(leaves: Sequence[Any]) -> list[Any]:
        outs, found = tree.flatten(fun(*tree.unflatten(structure, leaves)))
        out_tree[:] = [found]
        return outs

    def flat_fwd(leaves: Sequence[Any]) -> tuple[list[Any], tuple[list[Any], Any]]:
        pair = fwd(*tree.unflatten(structure, leaves))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TransformError("custom_vjp: fwd must return a pair (output, residuals)")
        outs, found = tree.flatten(pair[0])
        out_tree[:] = [found]
        return outs, tree.flatten(pair[1])

    def flat_bwd(residuals: tuple[list[Any], Any], cts: Sequence[Any]) -> list[Any]:
        leaves, its = residuals
        found = bwd(tree.unflatten(its, leaves), tree.unflatten(out_tree[0], cts))
        return like("custom_vjp", "gradient", _gradients(found, structure), "argument", specs)

    return flat_fun, flat_fwd, flat_bwd


def _gradients(found: Any, structure: Any) -> list[Any]:
    """Return the leaves of what bwd returned; None stands for zeros of a whole argument."""
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


def snapshot(x: Any, owner: Any) -> Any:
    """Return an untied tensor of the level `owner` with the present value of `x`."""
    if not isinstance(x, Box):
        return x
    return wrap(x.value if x.owner is owner else frozen(x), x.spec, x.device, owner)


def completed(cts: Sequence[Any], specs: Sequence[Any], device: Any) -> list[Any]:
    """Return the cotangents with zeros in place of None."""
    return [
        filled(0, s, device) if ct is None and s is not None else ct
        for ct, s in zip(cts, specs, strict=True)
    ]


def tied(leaves: Sequence[Any], node: Node, graph: bool) -> list[Any]:
    """Return fresh tensors like the snapshots `leaves`, tied to the inputs of `node` for a `graph`."""
    owner = node.owner
    found = []
    for x, source in zip(leaves, node.edges, strict=True):
        y = snapshot(x, owner)
        if graph and source is not None:
            y.node, y.tracked = source, True
        found.append(y)
    return found


def wants(args: Sequence[Any], owner: Any, mode: Mode) -> bool:
    """Return whether anything of a call with `args` is to be recorded at the level `owner`."""
    return mode.grad and any(isinstance(a, Box) and a.tracked and a.owner is owner for a in args)


class VjpCall(Call):
    """One application of a custom_vjp, on leaves: fun(leaves), fwd(leaves), bwd(residuals, cts)."""

    def __init__(self, name: str, fun: Any, fwd: Any, bwd: Any) -> None:
        self.name = name
        self.fun, self.fwd, self.bwd = fun, fwd, bwd
        self.node_name = name + "Backward"

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Run fwd without recording, and record the call."""
        if not wants(args, None, mode):
            outs: list[Any] = self.fun(args)
            return outs
        with using(mode.replace(grad=False)):
            outs, residuals = self.fwd(args)
        return self.recorded(args, outs, residuals, None)

    def at_autograd(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Run fwd below, and record the call here."""
        low = lower_all(level, args)
        if not wants(args, level, mode):
            return lowered_call(self, level, low, mode)
        with using(level.below(mode)):
            outs, residuals = self.fwd(low)
        return self.recorded(args, lift_outputs(level, outs), residuals, level)

    def recorded(self, args: list[Any], outs: list[Any], residuals: Any, owner: Any) -> list[Any]:
        """Return the outputs, tied to the tape."""
        leaves, its = residuals
        leaves = [frozen(r) if isinstance(r, Box) else r for r in leaves]
        outs = [snapshot(y, owner) if isinstance(y, Box) else y for y in outs]
        kept = ([snapshot(a, owner) for a in args], leaves, its)
        record_call(self, args, outs, owner, kept)
        return outs

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """Return the gradients; a graph of them goes through fwd again, on inputs that are tied."""
        leaves, residuals, its = node.kept
        cts = completed(cts, node.out_spec, node.out_device)
        if graph and not lowered:
            _, again = self.fwd(tied(leaves, node, graph))
            found: list[Any] = self.bwd(again, cts)
            return found
        if not lowered and node.owner is not None:
            residuals = [
                wrap(r, r.spec, r.device, node.owner) if isinstance(r, Box) else r
                for r in residuals
            ]
        found = self.bwd((residuals, its), cts)
        return found

    def plain(self, args: list[Any]) -> list[Any]:
        """Run the function."""
        outs: list[Any] = self.fun(args)
        return outs

    def at_forward(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Run fwd below, and bwd transposed, which is the forward derivative."""
        parts = [level.parts(a) if isinstance(a, Box) else (a, None) for a in args]
        with using(level.below(mode)):
            outs, residuals = self.fwd([p for p, _ in parts])
            trace = Linear(MODE.get())
            with trace.inside():
                tracers = [
                    trace.tracer(y.spec, y.device) if isinstance(y, Box) else None for y in outs
                ]
                grads = self.bwd(residuals, tracers)
            tangents = trace.transpose(tracers, grads, [t for _, t in parts])
        return [y if t is None else level.lift(y, t) for y, t in zip(outs, tangents, strict=True)]

    def at_batch(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the call made of the batched functions."""
        low, dims = batch_parts(level, args)
        batch = BatchedFunctions(level, dims)
        call = VjpCall(
            self.name, batch.plain(self.fun), batch.forward(self.fwd), batch.backward(self.bwd)
        )
        return [
            level.lift(y, 0) if isinstance(y, Box) else y
            for y in lowered_call(call, level, low, mode)
        ]


def batch_parts(level: Batch, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the tensors below `level` and their batch axes, None where there is none."""
    pairs = [a.value if isinstance(a, Box) and a.owner is level else (a, None) for a in args]
    return [p[0] for p in pairs], [p[1] for p in pairs]


class custom_jvp:
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

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        self.fun = fun
        self.signature = _signature(fun)
        self.nondiff_argnums = tuple(nondiff_argnums)
        self.rule: Callable[..., Any] | None = None
        functools.update_wrapper(self, fun)

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; a decorator. Non-differentiable arguments come before primals and tangents."""
        self.rule = rule
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Set one rule for each argument: rule(tangent, output, *primals), or None for no derivative."""

        def rule(primals: Any, tangents: Any) -> Any:
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
        args = _positional(self, args, kwargs)
        if self.rule is None:
            raise TransformError(
                f"{_name(self.fun)}: give the custom_jvp its rule with .defjvp(rule) first"
            )
        fixed = {i: args[i] for i in self.nondiff_argnums}
        fun: Any = _with_fixed(self.fun, fixed) if fixed else self.fun
        rule = (
            functools.partial(self.rule, *[fixed[i] for i in sorted(fixed)]) if fixed else self.rule
        )
        leaves, structure = tree.flatten(tuple(a for i, a in enumerate(args) if i not in fixed))
        out_tree: list[Any] = []

        def flat_fun(xs: Sequence[Any]) -> list[Any]:
            outs, found = tree.flatten(fun(*tree.unflatten(structure, xs)))
            out_tree[:] = [found]
            return outs

        def flat_rule(xs: Sequence[Any], ts: Sequence[Any]) -> Any:
            pair = rule(tree.unflatten(structure, xs), tree.unflatten(structure, ts))
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TransformError("custom_jvp: the rule must return a pair (output, tangent)")
            outs, found = tree.flatten(pair[0])
            tangents, its = tree.flatten(pair[1])
            if its != found:
                raise GradientError(
                    f"custom_jvp: the tangent has the structure {its}, the output {found}; they must be equal"
                )
            out_tree[:] = [found]
            specs = differentiable(outs)
            return outs, like("custom_jvp", "tangent", tangents, "output", specs)

        return _run(JvpCall(_name(self.fun), flat_fun, flat_rule), leaves, out_tree)


class JvpCall(Call):
    """One application of a custom_jvp, on leaves: fun(leaves), rule(primals, tangents)."""

    def __init__(self, name: str, fun: Any, rule: Any) -> None:
        self.name = name
        self.fun, self.rule = fun, rule
        self.node_name = name + "Backward"

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Run the function without recording, and record the call."""
        if not wants(args, None, mode):
            outs: list[Any] = self.fun(args)
            return outs
        with using(mode.replace(grad=False)):
            outs = self.fun(args)
        return self.recorded(args, outs, None)

    def at_autograd(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the call below, and record it here."""
        low = lowered_call(self, level, lower_all(level, args), mode)
        return (
            self.recorded(args, lift_outputs(level, low), level)
            if wants(args, level, mode)
            else low
        )

    def recorded(self, args: list[Any], outs: list[Any], owner: Any) -> list[Any]:
        """Return the outputs, tied to the tape."""
        outs = [snapshot(y, owner) if isinstance(y, Box) else y for y in outs]
        record_call(self, args, outs, owner, [snapshot(a, owner) for a in args])
        return outs

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """Return the gradients: the rule run on tracers of the tangents, and transposed."""
        primals = tied(node.kept, node, graph)
        if lowered:
            primals = [p.value if isinstance(p, Box) else p for p in primals]
        trace = Linear(MODE.get())
        with trace.inside():
            tracers = [trace.tracer(p.spec, p.device) if isinstance(p, Box) else p for p in primals]
            _, outs = self.rule(primals, tracers)
            tracers = [t if need else None for t, need in zip(tracers, needs, strict=True)]
        return trace.transpose(tracers, outs, cts)

    def at_forward(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the rule below."""
        parts = [level.parts(a) if isinstance(a, Box) else (a, None) for a in args]
        with using(level.below(mode)):
            primals = [p for p, _ in parts]
            tangents = [zeros_like(p) if t is None and isinstance(p, Box) else t for p, t in parts]
            outs, ts = self.rule(primals, tangents)
        return [
            level.lift(y, t) if isinstance(y, Box) else y for y, t in zip(outs, ts, strict=True)
        ]

    def at_batch(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the call made of the batched functions."""
        low, dims = batch_parts(level, args)
        batch = BatchedFunctions(level, dims)
        call = JvpCall(self.name, batch.plain(self.fun), batch.pushed(self.rule))
        return [
            level.lift(y, 0) if isinstance(y, Box) else y
            for y in lowered_call(call, level, low, mode)
        ]

    def at_level(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """A level that traces records the call; tracers of tangents go through the function itself."""
        return super().at_level(level, args, mode) if hasattr(level, "call") else self.plain(args)

    def plain(self, args: list[Any]) -> list[Any]:
        """Run the function."""
        outs: list[Any] = self.fun(args)
        return outs
