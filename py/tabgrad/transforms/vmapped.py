"""Apply functions and rules that are written for one element to each element of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import Box
from tabgrad.transforms.contexts import FunctionCtx
from tabgrad.transforms.levels import Level
from tabgrad.transforms.rule_results import gradients
from tabgrad.transforms.vmap import Batch

Leaves = Sequence[Any]


def hidden(level: Batch, leaves: Leaves, dims: Sequence[int | None]) -> list[Any]:
    """Lift the tensors among `leaves` to `level`, with their axes `dims` as hidden batch axes."""
    return [
        x if d is None or not isinstance(x, Box) else level.lift(x, d)
        for x, d in zip(leaves, dims, strict=True)
    ]


def shown(level: Batch, leaves: Leaves) -> list[Any]:
    """Lower the tensors among `leaves`, with their batch axes in front."""
    return [level.lower(y, 0) if isinstance(y, Box) else y for y in leaves]


def summed(level: Batch, g: Box | None, dim: int | None) -> Any:
    """Lower the gradient of an argument; sum it over the batch if all elements share the argument."""
    if not isinstance(g, Box):
        return g
    if dim is not None:
        return level.lower(g, dim)
    return REGISTRY["reduce_sum"].bind(level.lower(g, 0), axes=(0,))


def per_element(
    like: Batch, fn: Callable[[list[Any]], Leaves], leaves: Leaves, dims: Sequence[int | None]
) -> list[Any]:
    """Apply `fn` to each element of a batch as long as that of `like`; results have the batch axis in front."""
    level = Batch(like.size, like.randomness)
    with level.inside():
        outs = fn(hidden(level, leaves, dims))
    return shown(level, outs)


class BatchedFunctions:
    """Turns functions of leaves into functions of batched leaves; each call has a level of its own."""

    def __init__(self, like: Batch, dims: Sequence[int | None]) -> None:
        self.like, self.dims = like, list(dims)

    def level(self) -> Batch:
        """Make a level of batching for one call."""
        return Batch(self.like.size, self.like.randomness)

    def plain(self, fn: Callable[..., Any]) -> Any:
        """Batch fn(leaves) -> leaves."""
        return lambda leaves: per_element(self.like, fn, leaves, self.dims)

    def forward(self, fwd: Callable[..., Any]) -> Any:
        """Batch fwd(leaves) -> (leaves, (residual leaves, structure))."""

        def call(leaves: Leaves) -> Any:
            level = self.level()
            with level.inside():
                outs, (residuals, its) = fwd(hidden(level, leaves, self.dims))
            flags = tuple(0 if isinstance(r, Box) and r.owner is level else None for r in residuals)
            low = [
                r if d is None else level.lower(r, 0) for r, d in zip(residuals, flags, strict=True)
            ]
            return shown(level, outs), (low, (its, flags))

        return call

    def backward(self, bwd: Any) -> Any:
        """Batch bwd((residual leaves, structure), cts) -> leaves."""

        def call(residuals: Any, cts: Leaves) -> list[Any]:
            low, (its, flags) = residuals
            level = self.level()
            with level.inside():
                kept = hidden(level, low, flags)
                found = bwd((kept, its), hidden(level, cts, [0] * len(cts)))
            return [summed(level, g, d) for g, d in zip(found, self.dims, strict=True)]

        return call

    def pushed(self, rule: Callable[..., Any]) -> Any:
        """Batch rule(primals, tangents) -> (outputs, tangents)."""

        def call(primals: Leaves, tangents: Leaves) -> Any:
            level = self.level()
            with level.inside():
                outs, ts = rule(
                    hidden(level, primals, self.dims), hidden(level, tangents, self.dims)
                )
            return shown(level, outs), shown(level, ts)

        return call


class VmappedRules:
    """The rules of a function applied to each element of a batch, made from those of the function."""

    split = True

    def __init__(self, rules: Any, size: int, randomness: str, dims: tuple[Any, ...]) -> None:
        self.rules = rules
        self.name = rules.name
        self.size = size
        self.randomness = randomness
        self.dims = dims

    def level(self) -> Batch:
        """Make a level of batching for one call of a rule."""
        return Batch(self.size, self.randomness)

    def forward(self, ctx: FunctionCtx, args: Sequence[Any]) -> Any:
        """Run the function's forward on the batch, and set up `ctx`."""
        level = self.level()
        with level.inside():
            lifted = hidden(level, args, self.dims)
            inner = FunctionCtx()
            inner.needs_input_grad = ctx.needs_input_grad
            out = self.rules.forward(inner, lifted)
            outs = out if isinstance(out, tuple) else (out,)
        low = shown(level, outs)
        self.keep(ctx, inner, level, args, lifted, low, outs)
        return tuple(low) if isinstance(out, tuple) else low[0]

    def setup(self, ctx: FunctionCtx, args: Sequence[Any], out: Any, above: Level) -> None:
        """Set up `ctx` at a level above the one where forward ran."""
        level = self.level()
        low = list(out) if isinstance(out, tuple) else [out]
        with level.inside():
            lifted = hidden(level, args, self.dims)
            outs = tuple(hidden(level, low, [0] * len(low)))
            inner = FunctionCtx()
            inner.needs_input_grad = ctx.needs_input_grad
            self.rules.setup(inner, lifted, outs if isinstance(out, tuple) else outs[0], above)
        self.keep(ctx, inner, level, args, lifted, low, outs)

    def keep(
        self,
        ctx: Any,
        inner: FunctionCtx,
        level: Batch,
        args: Leaves,
        lifted: Leaves,
        low: Leaves,
        outs: Leaves,
    ) -> None:
        """Save on `ctx` the tensors that the inner function saved."""
        known = [(b, a, d) for a, b, d in zip(args, lifted, self.dims, strict=True)]
        known += [(b, a, 0) for a, b in zip(low, outs, strict=True)]

        def outward(saved: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Any]]:
            tensors, dims = [], []
            for s in saved:
                match = next(((a, d) for b, a, d in known if b is s), None)
                if match is None:
                    own = isinstance(s, Box) and s.owner is level
                    match = (level.lower(s, 0), 0) if own else (s, None)
                tensors.append(match[0])
                dims.append(match[1])
            return tuple(tensors), dims

        ctx.specs = [a.spec if isinstance(a, Box) else None for a in lifted]
        saved, ctx.saved_dims = outward(inner._to_save)
        forward, ctx.forward_dims = outward(inner._for_forward)
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*forward)
        ctx.mark_non_differentiable(*outward(inner._constant)[0])
        if inner._dirty:
            raise TransformError(f"{self.name}: mark_dirty can't be used inside func.vmap")
        ctx.set_materialize_grads(inner._materialize)
        inner._to_save = inner._for_forward = inner._constant = ()
        ctx.inner = inner

    def backward(self, ctx: Any, *cts: Any) -> tuple[Any, ...]:
        """Run the function's backward on the batch."""
        level = self.level()
        inner = ctx.inner
        with level.inside():
            inner.needs_input_grad = ctx.needs_input_grad
            inner._loaded = tuple(hidden(level, ctx.saved_tensors, ctx.saved_dims))
            lifted = hidden(level, cts, [0] * len(cts))
            try:
                found = self.rules.backward(inner, *lifted)
            finally:
                inner._loaded = None
            # inside the level, shapes are those of one element: outside a sum could include the batch axis
            grads = gradients(self.name, found, ctx.specs, (True,) * len(ctx.specs))
        return tuple([summed(level, g, d) for g, d in zip(grads, self.dims, strict=True)])

    def jvp(self, ctx: Any, *tangents: Any) -> Any:
        """Run the function's jvp on the batch."""
        level = self.level()
        inner = ctx.inner
        dims = ctx.forward_dims or ctx.saved_dims
        with level.inside():
            inner._loaded = tuple(hidden(level, ctx.saved_tensors, dims))
            out = self.rules.jvp(inner, *hidden(level, tangents, self.dims))
        outs = out if isinstance(out, tuple) else (out,)
        low = shown(level, outs)
        return tuple(low) if isinstance(out, tuple) else low[0]

    def batched(self, level: Batch, dims: tuple[Any, ...], args: list[Any]) -> Any:
        """Give None: there is no rule written by hand."""
        return None

    def vmapped(self, level: Batch, dims: tuple[Any, ...]) -> VmappedRules:
        """Make the rules of this applied to each element of another batch."""
        return VmappedRules(self, level.size, level.randomness, dims)
