"""The rules of a Function under vmap, made from its own: `generate_vmap_rule`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import Box
from tabgrad.transforms.contexts import FunctionCtx
from tabgrad.transforms.returned import gradients
from tabgrad.transforms.vmap import Batch


class VmappedRules:
    """The rules of a function applied to each element of a batch, made from those of the function."""

    split = True

    def __init__(self, rules: Any, size: int, randomness: str, dims: tuple[Any, ...]) -> None:
        self.rules = rules
        self.name = rules.name
        self.size = size
        self.randomness = randomness
        self.dims = dims

    def level(self) -> Any:
        """Return a new level of batching."""
        return Batch(self.size, self.randomness)

    def forward(self, ctx: FunctionCtx, args: Sequence[Any]) -> Any:
        """Run the function's forward on the batch, and set up `ctx`."""
        level = self.level()
        with level.inside():
            lifted = self.lifted(level, args)
            inner = FunctionCtx()
            inner.needs_input_grad = ctx.needs_input_grad
            out = self.rules.forward(inner, lifted)
            outs = out if isinstance(out, tuple) else (out,)
        low = [level.lower(y, 0) if isinstance(y, Box) else y for y in outs]
        self.keep(ctx, inner, level, args, lifted, low, outs)
        return tuple(low) if isinstance(out, tuple) else low[0]

    def setup(self, ctx: FunctionCtx, args: Sequence[Any], out: Any, above: Any) -> None:
        """Set up `ctx` at a level above the one where forward ran."""
        level = self.level()
        low = list(out) if isinstance(out, tuple) else [out]
        with level.inside():
            lifted = self.lifted(level, args)
            outs = tuple([level.lift(y, 0) if isinstance(y, Box) else y for y in low])
            inner = FunctionCtx()
            inner.needs_input_grad = ctx.needs_input_grad
            self.rules.setup(inner, lifted, outs if isinstance(out, tuple) else outs[0], above)
        self.keep(ctx, inner, level, args, lifted, low, outs)

    def lifted(self, level: Any, args: Sequence[Any]) -> list[Any]:
        """Return the arguments as tensors of `level`."""
        return [a if d is None else level.lift(a, d) for a, d in zip(args, self.dims, strict=True)]

    def keep(
        self, ctx: Any, inner: FunctionCtx, level: Any, args: Any, lifted: Any, low: Any, outs: Any
    ) -> None:
        """Save on `ctx` what the inner function saved."""
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
            inner._loaded = tuple(
                [
                    s if d is None else level.lift(s, d)
                    for s, d in zip(ctx.saved_tensors, ctx.saved_dims, strict=True)
                ]
            )
            lifted = [level.lift(ct, 0) if isinstance(ct, Box) else ct for ct in cts]
            try:
                found = self.rules.backward(inner, *lifted)
            finally:
                inner._loaded = None
            # here, where the shapes are those of one element: outside a sum could take the batch along
            grads = gradients(self.name, found, ctx.specs, (True,) * len(ctx.specs))
        return tuple(
            [self.lowered_grad(level, g, d) for g, d in zip(grads, self.dims, strict=True)]
        )

    def lowered_grad(self, level: Any, g: Any, dim: int | None) -> Any:
        """Return the gradient of an argument: summed over the batch where all elements share the argument."""
        if g is None or not isinstance(g, Box):
            return g
        if dim is not None:
            return level.lower(g, dim)
        return REGISTRY["reduce_sum"].bind(level.lower(g, 0), axes=(0,))

    def jvp(self, ctx: Any, *tangents: Any) -> Any:
        """Run the function's jvp on the batch."""
        level = self.level()
        inner = ctx.inner
        dims = ctx.forward_dims or ctx.saved_dims
        with level.inside():
            inner._loaded = tuple(
                [
                    s if d is None else level.lift(s, d)
                    for s, d in zip(ctx.saved_tensors, dims, strict=True)
                ]
            )
            lifted = [
                t if d is None or t is None else level.lift(t, d)
                for t, d in zip(tangents, self.dims, strict=True)
            ]
            out = self.rules.jvp(inner, *lifted)
        outs = out if isinstance(out, tuple) else (out,)
        low = [level.lower(t, 0) if isinstance(t, Box) else t for t in outs]
        return tuple(low) if isinstance(out, tuple) else low[0]

    def batched(self, level: Any, dims: tuple[Any, ...], args: list[Any]) -> Any:
        """There is no rule written by hand."""
        return None

    def vmapped(self, level: Any, dims: tuple[Any, ...]) -> VmappedRules:
        """Return the rules of this applied to each element of another batch."""
        return VmappedRules(self, level.size, level.randomness, dims)
