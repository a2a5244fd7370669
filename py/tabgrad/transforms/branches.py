"""`while_loop` and `cond`: loops and branches that are traced once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError, TransformError
from tabgrad.core.families import to_front
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, Box, constant, zeros_like
from tabgrad.transforms.calls import RuledCall, apply
from tabgrad.transforms.control import added, cotangents, scan_flat, stacked
from tabgrad.transforms.node import Node
from tabgrad.transforms.program import TracedProgram, floats, pulled, scattered, traced
from tabgrad.transforms.vmap import Batch

Leaves = list[Any]


def where(mask: Box, x: Box, y: Box) -> Any:
    """Select `x` where the 0-d or batched `mask` holds and `y` elsewhere, both of one spec."""
    shape = x.spec.shape
    lead = mask.spec.shape
    mask = REGISTRY["reshape"].bind(mask, shape=(*lead, *(1,) * (len(shape) - len(lead))))
    mask = REGISTRY["expand"].bind(mask, shape=shape)
    return REGISTRY["where"].bind(mask, x, y)


def reading(what: str) -> None:
    """Raise TransformError where a value can't be read: inside a compiled function."""
    if MODE.get().capture is not None:
        raise TransformError(
            f"{what}: how often it repeats is not known when the function is compiled; "
            "use func.fori_loop or func.scan with a fixed length, or call it outside compile"
        )


class WhileCall(RuledCall):
    """A body program repeated while a condition program gives True.

    Arguments: the carry, the tensors captured by the condition, the tensors captured by the body.

    With `keep` the outputs are followed by the carries that went into each repetition, stacked, and by
    whether the repetition counted (for a batch that goes on for others it does not).
    """

    name = "while_loop"
    node_name = "WhileLoopBackward"

    def __init__(
        self, test: TracedProgram, body: TracedProgram, carries: int, keep: bool = False
    ) -> None:
        self.test, self.program, self.carries, self.keep = test, body, carries, keep

    def parts(self, args: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Split the arguments into the carry and the tensors that the condition and the body captured."""
        c, n = self.carries, self.carries + len(self.test.captured)
        return list(args[:c]), list(args[c:n]), list(args[n:])

    def saving(self) -> WhileCall:
        """Make the same call with the carries of its repetitions as further outputs."""
        return WhileCall(self.test, self.program, self.carries, True)

    def plain(self, args: list[Any]) -> list[Any]:
        """Give stand-ins of the right shapes."""
        if self.keep:
            raise TransformError(
                "while_loop: can't be differentiated in reverse inside a traced loop, where the number of "
                "repetitions is not known; use func.scan or func.fori_loop"
            )
        return self.parts(args)[0]

    def run(self, args: list[Any]) -> list[Any]:
        """Repeat the program on tensors of the base."""
        reading(self.name)
        carry, seen, captured = self.parts(args)
        kept: list[list[Any]] = []
        while self.test.run(carry, seen)[0].item():
            if self.keep:
                kept.append(carry)
            carry = self.program.run(carry, captured)
        if not self.keep:
            return carry
        stacks = [stacked([k[i] for k in kept], x.spec, x.device) for i, x in enumerate(carry)]
        counted = constant(True, spec((len(kept),), dt.bool_), carry[0].device)
        return [*carry, *stacks, counted]

    def forward(self, args: Leaves) -> tuple[Leaves, Leaves]:
        """Repeat the program; keep the carry that enters each repetition, and whether it counted."""
        outs = apply(self if self.keep else self.saving(), args)
        return outs if self.keep else outs[: self.carries], outs[self.carries :]

    def retied(self, node: Node, args: Leaves, kept: Leaves) -> Leaves:
        """Compute the carries as functions of the arguments: the number of repetitions is known now."""
        carry, _, captured = self.parts(args)
        counted = kept[-1]

        def body(state: Leaves, x: Leaves) -> tuple[Leaves, Leaves]:
            after = self.program.run(state, captured)
            return [where(x[0], a, s) for a, s in zip(after, state, strict=True)], list(state)

        outs = scan_flat(body, carry, [counted], counted.spec.shape[0], False)
        return [*outs[self.carries :], counted]

    def pull(self, args: Leaves, kept: Leaves, cts: Leaves, needs: Sequence[bool]) -> Leaves:
        """Go back over the repetitions."""
        *before, counted = kept
        carry, seen, captured = self.parts(args)
        c = self.carries
        flags, wanted = floats(carry), [bool(w) for w in needs[c + len(seen) :]]
        start = cotangents(carry, cts[:c])
        sums = [zeros_like(v) for v, w in zip(captured, wanted, strict=True) if w]
        # with `keep` the stacked carries are outputs too
        of_stacks = cts[c : 2 * c] or [None] * c
        given = [ct is not None for ct in of_stacks]
        rows = [ct for ct in of_stacks if ct is not None]
        k = len(start)

        def back(state: Leaves, x: Leaves) -> tuple[Leaves, Leaves]:
            ends = scattered(state[:k], flags)
            grads = self.program.pull(x[:c], captured, ends, wanted)
            new = [g for g in grads[:c] if g is not None] + added(state[k:], grads[c:])
            new = [where(x[-1], a, s) for a, s in zip(new, state, strict=True)]
            here = [ct for ct, f in zip(scattered(x[c:-1], given), flags, strict=True) if f]
            return [
                n if ct is None else REGISTRY["add"].bind(n, ct)
                for n, ct in zip(new, [*here, *[None] * len(sums)], strict=True)
            ], []

        outs = scan_flat(
            back, [*start, *sums], [*before, *rows, counted], counted.spec.shape[0], True
        )
        return [*scattered(outs[:k], flags), *[None] * len(seen), *scattered(outs[k:], wanted)]

    def push(self, primals: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """Carry the tangents along."""
        carry, seen, captured = self.parts(primals)
        dcarry, _, dcaptured = self.parts(tangents)
        flags, start = floats(carry), cotangents(carry, dcarry)
        c = self.carries

        def test(state: Leaves) -> Leaves:
            return self.test.run(state[:c], seen)

        def body(state: Leaves) -> Leaves:
            moving = scattered(state[c:], flags)
            outs, dys = self.program.push(state[:c], captured, moving, dcaptured)
            return [*outs, *[t for t in dys if t is not None]]

        outs = while_flat(test, body, [*carry, *start], self.keep)
        n = c + len(start)
        moved = scattered(outs[c:n], flags)
        if not self.keep:
            return outs[:c], moved
        stacks = scattered(outs[n + c : n + n], flags)
        return [*outs[:c], *outs[n : n + c], outs[-1]], [*moved, *stacks, None]

    def batch(
        self, level: Batch, args: Leaves, dims: Leaves
    ) -> tuple[Leaves, Sequence[int | None]]:
        """Repeat while the condition holds for any element; elements that are done keep their values."""
        carry, seen, captured = self.parts(args)
        carry_dims, seen_dims, captured_dims = self.parts(dims)
        carry = [to_front(x, d, level.size) for x, d in zip(carry, carry_dims, strict=True)]
        c = self.carries
        front = [0] * c

        def mask(state: Leaves) -> Leaves:
            return self.test.each(level, state, front, seen, seen_dims)

        def test(state: Leaves) -> Leaves:
            return [REGISTRY["reduce_any"].bind(*mask(state), axes=(0,))]

        def body(state: Leaves) -> Leaves:
            (going,) = mask(state)
            after = self.program.each(level, state, front, captured, captured_dims)
            return [where(going, a, s) for a, s in zip(after, state, strict=True)]

        outs = while_flat(test, body, carry, self.keep)
        if self.keep:
            outs = [*outs[:-1], self._masks(mask, outs)]
        return outs, [*front, *[1] * (len(outs) - c)]

    def _masks(self, mask: Callable[[Leaves], Leaves], outs: Leaves) -> Any:
        """Tell for each repetition and element whether the condition held."""
        stacks = outs[self.carries : 2 * self.carries]
        length = outs[-1].spec.shape[0]
        if not length:
            size = stacks[0].spec.shape[1]
            return constant(False, spec((0, size), dt.bool_), stacks[0].device)
        return scan_flat(lambda _, x: ([], mask(x)), [], stacks, length, False)[0]


def while_flat(test: Any, body: Any, carry: list[Any], keep: bool = False) -> list[Any]:
    """Trace test(leaves) -> [mask] and body(leaves) -> leaves, and repeat the body while the mask holds."""
    tests = traced("while_loop", test, carry)
    (mask,) = tests.out_specs
    if mask.shape or mask.dtype is not dt.bool_:
        raise ShapeError(
            f"while_loop: the condition must be one bool with no dimensions, got {mask}"
        )
    program = traced("while_loop", body, carry)
    if len(program.out_specs) != len(carry):
        raise ShapeError(
            f"while_loop: the body must return {len(carry)} tensors as it gets, it returned "
            f"{len(program.out_specs)}"
        )
    for i, (x, s) in enumerate(zip(carry, program.out_specs, strict=True)):
        if x.spec is not s:
            raise ShapeError(
                f"while_loop: the body must keep shapes and dtypes: tensor {i} goes in as {x.spec} "
                f"and comes out as {s}"
            )
    call = WhileCall(tests, program, len(carry), keep)
    return apply(call, [*carry, *tests.captured, *program.captured])


class CondCall(RuledCall):
    """One of two programs, chosen by a 0-d bool.

    Arguments: the bool, the operands, what the first captured, what the second captured.
    """

    name = "cond"
    node_name = "CondBackward"

    def __init__(self, first: TracedProgram, second: TracedProgram, operands: int) -> None:
        self.first, self.second, self.operands = first, second, operands

    def parts(self, args: Sequence[Any]) -> tuple[Any, list[Any], list[Any], list[Any]]:
        """Split the arguments into the bool, the operands, and the tensors that each program captured."""
        n = 1 + self.operands
        m = n + len(self.first.captured)
        return args[0], list(args[1:n]), list(args[n:m]), list(args[m:])

    def both(self, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Run both programs."""
        _, operands, left, right = self.parts(args)
        return self.first.run(operands, left), self.second.run(operands, right)

    def plain(self, args: list[Any]) -> list[Any]:
        """Run both, and select."""
        a, b = self.both(args)
        return [where(args[0], x, y) for x, y in zip(a, b, strict=True)]

    def run(self, args: Leaves) -> Leaves:
        """Run the chosen program, or both where the bool can't be read."""
        if MODE.get().capture is not None:
            return self.plain(args)
        pred, operands, left, right = self.parts(args)
        return self.first.run(operands, left) if pred.item() else self.second.run(operands, right)

    def sides(self) -> tuple[tuple[TracedProgram, slice], tuple[TracedProgram, slice]]:
        """Give each program with the slice of the arguments (behind the bool) that it captured."""
        n, m = self.operands, self.operands + len(self.first.captured)
        return (self.first, slice(n, m)), (self.second, slice(m, None))

    def pull(self, args: Leaves, kept: Leaves, cts: Leaves, needs: Sequence[bool]) -> Leaves:
        """Branch over the pullbacks: the branch that was not taken adds nothing to the gradients."""
        pred, *inputs = args
        flags = [bool(need) for need in needs[1:]]
        n = self.operands
        given = [ct is not None for ct in cts]

        def pull(program: TracedProgram, which: slice) -> Callable[[Leaves], Leaves]:
            def run(known: Leaves) -> Leaves:
                ends = scattered(known, given)
                grads = pulled(lambda v: program.run(v[:n], v[which]), inputs, ends)
                return [
                    zeros_like(x) if g is None else g
                    for x, g, f in zip(inputs, grads, flags, strict=True)
                    if f
                ]

            return run

        first, second = self.sides()
        known = [ct for ct in cts if ct is not None]
        return [None, *scattered(cond_flat(pred, pull(*first), pull(*second), known), flags)]

    def push(self, primals: Leaves, tangents: Leaves) -> tuple[Leaves, Leaves]:
        """Branch over the derivatives."""
        pred, *inputs = primals
        moving = tangents[1:]
        n = self.operands

        def push(program: TracedProgram, which: slice) -> Callable[[Leaves], Leaves]:
            def run(_: Leaves) -> Leaves:
                outs, ts = program.push(inputs[:n], inputs[which], moving[:n], moving[which])
                return [*outs, *[t for t in ts if t is not None]]

            return run

        first, second = self.sides()
        outs = cond_flat(pred, push(*first), push(*second), [])
        k = len(self.first.out_specs)
        flags = [s.dtype.is_differentiable for s in self.first.out_specs]
        return outs[:k], scattered(outs[k:], flags)

    def batch(
        self, level: Batch, args: Leaves, dims: Leaves
    ) -> tuple[Leaves, Sequence[int | None]]:
        """Branch once if the bool is the same for all elements; else run both programs and select."""
        pred, *inputs = args
        axes = dims[1:]
        n = self.operands

        def each(program: TracedProgram, which: slice) -> Callable[[Leaves], Leaves]:
            return lambda _: program.each(level, inputs[:n], axes[:n], inputs[which], axes[which])

        first, second = [each(*side) for side in self.sides()]
        if dims[0] is None:
            outs = cond_flat(pred, first, second, [])
        else:
            outs = [where(pred, x, y) for x, y in zip(first([]), second([]), strict=True)]
        return outs, [0] * len(outs)


def cond_flat(pred: Box, first: Any, second: Any, operands: list[Any]) -> list[Any]:
    """Trace both branches on leaves, and apply the one that `pred` chooses."""
    one, other = traced("cond", first, operands), traced("cond", second, operands)
    a, b = one.out_specs, other.out_specs
    if len(a) != len(b) or any(x is not y for x, y in zip(a, b, strict=True)):
        raise ShapeError(
            f"cond: both branches must return the same shapes and dtypes, got {list(a)} and {list(b)}"
        )
    call = CondCall(one, other, len(operands))
    return apply(call, [pred, *operands, *one.captured, *other.captured])
