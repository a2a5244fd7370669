"""Loops that end when a condition does, and branches: while_loop and cond, traced once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ShapeError, TransformError
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, Box, Mode, constant, using, wrap, zeros_like
from tabgrad.transforms.calls import Call, apply, lift_outputs, lower_all, lowered_call
from tabgrad.transforms.control import floats, pulled, pushed, scan_flat, stacked
from tabgrad.transforms.custom import batch_parts, snapshot, tied, wants
from tabgrad.transforms.node import Node
from tabgrad.transforms.program import Program, Trace
from tabgrad.transforms.tape import record_call
from tabgrad.transforms.vmap import Batch


def where(mask: Any, x: Any, y: Any) -> Any:
    """Return `x` where the 0-d or batched `mask` holds and `y` elsewhere, both of one spec."""
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


class WhileCall(Call):
    """A program repeated while another says so. Arguments: carry, captured by the condition, by the body.

    With `keep` the outputs are followed by the carries that went into each repetition, stacked, and by
    whether the repetition counted (for a batch that goes on for others it does not).
    """

    name = "while_loop"
    node_name = "WhileLoopBackward"

    def __init__(self, test: Program, body: Program, carries: int, keep: bool = False) -> None:
        self.test, self.program, self.carries, self.keep = test, body, carries, keep

    def parts(self, args: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the carry, and the tensors that the condition and the body captured."""
        c, n = self.carries, self.carries + len(self.test.captured)
        return list(args[:c]), list(args[c:n]), list(args[n:])

    def keeping(self) -> WhileCall:
        """Return the call that keeps its carries."""
        return WhileCall(self.test, self.program, self.carries, True)

    def plain(self, args: list[Any]) -> list[Any]:
        """Return outputs of the right shapes."""
        if self.keep:
            raise TransformError(
                "while_loop: can't be differentiated in reverse inside a traced loop, where the number of "
                "repetitions is not known; use func.scan or func.fori_loop"
            )
        return self.parts(args)[0]

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Repeat the program; keep the carries where something wants gradients."""
        if wants(args, None, mode) and not self.keep:
            with using(mode.replace(grad=False)):
                outs = self.keeping().repeated(args)
            return self.recorded(args, outs, None)
        return self.repeated(args)

    def repeated(self, args: list[Any]) -> list[Any]:
        """Return the outputs for tensors of the base."""
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

    def at_autograd(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Run below, keeping the carries, and record the call here."""
        low = lower_all(level, args)
        if not wants(args, level, mode):
            return lowered_call(self, level, low, mode)
        outs = lowered_call(self.keeping(), level, low, mode)
        return self.recorded(args, outs, level)

    def recorded(self, args: list[Any], outs: list[Any], owner: Any) -> list[Any]:
        """Return the outputs tied to the tape, without what is kept."""
        c = self.carries
        kept = ([snapshot(a, owner) for a in args], outs[c:])
        mine = (
            [snapshot(y, None) for y in outs[:c]]
            if owner is None
            else lift_outputs(owner, outs[:c])
        )
        record_call(self, args, mine, owner, kept)
        if not self.keep:
            return mine
        rest = outs[c:] if owner is None else lift_outputs(owner, outs[c:])
        return [*mine, *rest]

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """Go back over the repetitions."""
        saved, kept = node.kept
        owner = node.owner
        if lowered:
            args = [a.value if isinstance(a, Box) else a for a in saved]
        else:
            args = tied(saved, node, graph)
            if graph:
                kept = self._again(args, kept)
            elif owner is not None:
                kept = [wrap(k, k.spec, k.device, owner) for k in kept]
        return self.backwards(args, kept[:-1], kept[-1], cts[: self.carries], needs)

    def _again(self, args: list[Any], kept: list[Any]) -> list[Any]:
        """Return the carries as functions of the tied arguments: the number of repetitions is known now."""
        carry, _, captured = self.parts(args)
        counted = kept[-1]

        def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            after = self.program.run(state, captured)
            return [where(x[0], a, s) for a, s in zip(after, state, strict=True)], list(state)

        outs = scan_flat(body, carry, [counted], counted.spec.shape[0], False)
        return [*outs[self.carries :], counted]

    def backwards(
        self, args: list[Any], carries: list[Any], counted: Any, cts: list[Any], needs: Any
    ) -> list[Any]:
        """Return the cotangents of the arguments."""
        carry, seen, captured = self.parts(args)
        flags = floats(carry)
        wanted = [bool(w) for w in needs[self.carries + len(seen) :]]
        start = [
            zeros_like(x) if ct is None else ct
            for x, ct, f in zip(carry, cts, flags, strict=True)
            if f
        ]
        chosen = [v for v, w in zip(captured, wanted, strict=True) if w]
        k = len(start)

        def back(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            def run(inputs: list[Any]) -> list[Any]:
                rest = iter(inputs[self.carries :])
                values = [next(rest) if w else v for v, w in zip(captured, wanted, strict=True)]
                return self.program.run(inputs[: self.carries], values)

            ends = iter(state[:k])
            inputs = [*x[:-1], *chosen]
            grads = pulled(run, inputs, [next(ends) if f else None for f in flags])
            grads = [
                zeros_like(v) if g is None and f else g
                for v, g, f in zip(inputs, grads, floats(inputs), strict=True)
            ]
            new = [g for g in grads[: self.carries] if g is not None]
            sums = [
                REGISTRY["add"].bind(s, g)
                for s, g in zip(state[k:], grads[self.carries :], strict=True)
            ]
            return [where(x[-1], a, s) for a, s in zip([*new, *sums], state, strict=True)], []

        sums = [zeros_like(v) for v in chosen]
        outs = iter(
            scan_flat(back, [*start, *sums], [*carries, counted], counted.spec.shape[0], True)
        )
        found = [next(outs) if f else None for f in flags]
        return [*found, *[None] * len(seen), *[next(outs) if w else None for w in wanted]]

    def at_forward(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Carry the tangents along."""
        with using(level.below(mode)):
            carry, seen, captured = self.parts([level.parts(a) for a in args])
            primals = [p for p, _ in carry]
            flags = floats(primals)
            tangents = [
                zeros_like(p) if t is None else t
                for (p, t), f in zip(carry, flags, strict=True)
                if f
            ]
            c = self.carries

            def test(state: list[Any]) -> list[Any]:
                return self.test.run(state[:c], [p for p, _ in seen])

            def body(state: list[Any]) -> list[Any]:
                rest = iter(state[c:])
                ts = [next(rest) if f else None for f in flags] + [t for _, t in captured]
                inputs = [*state[:c], *[p for p, _ in captured]]
                outs, dys = pushed(lambda v: self.program.run(v[:c], v[c:]), inputs, ts)
                return [*outs, *[t for t, f in zip(dys, flags, strict=True) if f]]

            outs = while_flat(test, body, [*primals, *tangents], self.keep)
        n = c + len(tangents)
        found = iter(outs[c:n])
        lifted = [
            level.lift(p, next(found)) if f else p for p, f in zip(outs[:c], flags, strict=True)
        ]
        if not self.keep:
            return lifted
        stacks = iter(outs[n + c : n + n])
        kept = [
            level.lift(p, next(stacks)) if f else p
            for p, f in zip(outs[n : n + c], flags, strict=True)
        ]
        return [*lifted, *kept, outs[-1]]

    def at_batch(self, level: Batch, args: list[Any], mode: Mode) -> list[Any]:
        """Go on while any element does; those that are done stay as they are."""
        low, dims = batch_parts(level, args)
        with using(level.below(mode)):
            _, seen, captured = self.parts(low)
            _, s_dims, v_dims = self.parts(dims)
            carry = [level.lower(a, 0) for a in self.parts(args)[0]]

            def inside(
                program: Program, state: list[Any], values: list[Any], their: list[Any]
            ) -> list[Any]:
                inner = Batch(level.size, level.randomness)
                with inner.inside():
                    outs = program.run(
                        [inner.lift(s, 0) for s in state],
                        [
                            v if d is None else inner.lift(v, d)
                            for v, d in zip(values, their, strict=True)
                        ],
                    )
                return [inner.lower(y, 0) for y in outs]

            def test(state: list[Any]) -> list[Any]:
                (mask,) = inside(self.test, state, seen, s_dims)
                return [REGISTRY["reduce_any"].bind(mask, axes=(0,))]

            def body(state: list[Any]) -> list[Any]:
                (mask,) = inside(self.test, state, seen, s_dims)
                after = inside(self.program, state, captured, v_dims)
                return [where(mask, a, s) for a, s in zip(after, state, strict=True)]

            outs = while_flat(test, body, carry, self.keep)
            c = self.carries
            if self.keep:
                outs = [*outs[:-1], self._masks(inside, outs, seen, s_dims)]
        lifted = [level.lift(y, 0) for y in outs[:c]]
        return [*lifted, *[level.lift(y, 1) for y in outs[c:]]]

    def _masks(self, inside: Any, outs: list[Any], seen: list[Any], s_dims: list[Any]) -> Any:
        """Return for each repetition and element whether it counted."""
        stacks = outs[self.carries : 2 * self.carries]
        length = outs[-1].spec.shape[0]

        def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            return [], inside(self.test, x, seen, s_dims)

        if not length:
            size = stacks[0].spec.shape[1]
            return constant(False, spec((0, size), dt.bool_), stacks[0].device)
        return scan_flat(body, [], stacks, length, False)[0]


def program_of(name: str, fn: Any, like: Sequence[Any]) -> Program:
    """Return the program of fn(tracers) -> leaves, for tracers like the tensors `like`."""
    trace = Trace(name)
    with trace.inside():
        tracers = [trace.tracer(x.spec, x.device) for x in like]
        outs = fn(tracers)
    return Program(trace, [t.value for t in tracers], outs)


def while_flat(test: Any, body: Any, carry: list[Any], keep: bool = False) -> list[Any]:
    """Trace test(leaves) -> [mask] and body(leaves) -> leaves, and repeat the body while the mask holds."""
    tests = program_of("while_loop", test, carry)
    (mask,) = tests.out_specs
    if mask.shape or mask.dtype is not dt.bool_:
        raise ShapeError(
            f"while_loop: the condition must be one bool with no dimensions, got {mask}"
        )
    program = program_of("while_loop", body, carry)
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


class CondCall(Call):
    """One of two programs, by a 0-d bool.

    Arguments: the bool, the operands, what the first captured, what the second captured.
    """

    name = "cond"
    node_name = "CondBackward"

    def __init__(self, first: Program, second: Program, operands: int) -> None:
        self.first, self.second, self.operands = first, second, operands

    def parts(self, args: Sequence[Any]) -> tuple[Any, list[Any], list[Any], list[Any]]:
        """Return the bool, the operands, and what each program captured."""
        n = 1 + self.operands
        m = n + len(self.first.captured)
        return args[0], list(args[1:n]), list(args[n:m]), list(args[m:])

    def both(self, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the outputs of both programs."""
        _, operands, left, right = self.parts(args)
        return self.first.run(operands, left), self.second.run(operands, right)

    def plain(self, args: list[Any]) -> list[Any]:
        """Return the outputs of both, selected."""
        a, b = self.both(args)
        return [where(args[0], x, y) for x, y in zip(a, b, strict=True)]

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Run the program that the bool names, or both where it can't be read."""
        recording = wants(args, None, mode)
        with using(mode.replace(grad=False)) if recording else using(mode):
            if mode.capture is not None:
                outs = self.plain(args)
            else:
                pred, operands, left, right = self.parts(args)
                outs = (
                    self.first.run(operands, left)
                    if pred.item()
                    else self.second.run(operands, right)
                )
        return self.recorded(args, outs, None) if recording else outs

    def at_autograd(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Run below, and record the call here."""
        outs = lowered_call(self, level, lower_all(level, args), mode)
        return (
            self.recorded(args, lift_outputs(level, outs), level)
            if wants(args, level, mode)
            else outs
        )

    def recorded(self, args: list[Any], outs: list[Any], owner: Any) -> list[Any]:
        """Return the outputs tied to the tape."""
        outs = [snapshot(y, owner) for y in outs]
        record_call(self, args, outs, owner, [snapshot(a, owner) for a in args])
        return outs

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """Branch again, over the pullbacks: nothing of the branch not taken reaches the gradients."""
        args = tied(node.kept, node, graph)
        if lowered:
            args = [a.value if isinstance(a, Box) else a for a in args]
        pred, operands, left, right = self.parts(args)
        flags = [bool(n) for n in needs[1:]]
        inputs = [*operands, *left, *right]
        n, m = len(operands), len(operands) + len(left)

        def pull(program: Program, which: slice) -> Any:
            def run(cotangents: list[Any]) -> list[Any]:
                given = iter(cotangents)
                ends = [None if ct is None else next(given) for ct in cts]
                grads = pulled(lambda v: program.run(v[:n], v[which]), inputs, ends)
                return [
                    zeros_like(x) if g is None else g
                    for x, g, f in zip(inputs, grads, flags, strict=True)
                    if f
                ]

            return run

        known = [ct for ct in cts if ct is not None]
        outs = iter(
            cond_flat(pred, pull(self.first, slice(n, m)), pull(self.second, slice(m, None)), known)
        )
        return [None, *[next(outs) if f else None for f in flags]]

    def at_forward(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Branch over the derivatives."""
        with using(level.below(mode)):
            parts = [level.parts(a) for a in args]
            inputs = [p for p, _ in parts[1:]]
            tangents = [t for _, t in parts[1:]]
            n, m = self.operands, self.operands + len(self.first.captured)

            def push(program: Program, which: slice) -> Any:
                def run(_: list[Any]) -> list[Any]:
                    outs, ts = pushed(lambda v: program.run(v[:n], v[which]), inputs, tangents)
                    return [*outs, *[t for t in ts if t is not None]]

                return run

            outs = cond_flat(
                parts[0][0], push(self.first, slice(n, m)), push(self.second, slice(m, None)), []
            )
        k = len(self.first.out_specs)
        rest = iter(outs[k:])
        flags = [s.dtype.is_differentiable for s in self.first.out_specs]
        return [level.lift(y, next(rest)) if f else y for y, f in zip(outs[:k], flags, strict=True)]

    def at_batch(self, level: Batch, args: list[Any], mode: Mode) -> list[Any]:
        """Branch for all where all agree, else run both and select for each element."""
        low, dims = batch_parts(level, args)
        with using(level.below(mode)):
            pred = low[0]
            n, m = self.operands, self.operands + len(self.first.captured)

            def inside(program: Program, which: slice) -> Any:
                def run(_: list[Any]) -> list[Any]:
                    inner = Batch(level.size, level.randomness)
                    with inner.inside():
                        lifted = [
                            v if d is None else inner.lift(v, d)
                            for v, d in zip(low[1:], dims[1:], strict=True)
                        ]
                        outs = program.run(lifted[:n], lifted[which])
                    return [inner.lower(y, 0) for y in outs]

                return run

            first, second = inside(self.first, slice(n, m)), inside(self.second, slice(m, None))
            if dims[0] is None:
                outs = cond_flat(pred, first, second, [])
            else:
                outs = [where(pred, x, y) for x, y in zip(first([]), second([]), strict=True)]
        return [level.lift(y, 0) for y in outs]


def cond_flat(pred: Any, first: Any, second: Any, operands: list[Any]) -> list[Any]:
    """Trace both branches on leaves, and apply the one that `pred` names."""
    one, other = program_of("cond", first, operands), program_of("cond", second, operands)
    a, b = one.out_specs, other.out_specs
    if len(a) != len(b) or any(x is not y for x, y in zip(a, b, strict=True)):
        raise ShapeError(
            f"cond: both branches must return the same shapes and dtypes, got {list(a)} and {list(b)}"
        )
    call = CondCall(one, other, len(operands))
    return apply(call, [pred, *operands, *one.captured, *other.captured])
