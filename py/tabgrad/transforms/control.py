"""Loops and branches that are traced once: scan, while_loop, cond.

Each is a call (see calls) of one or two programs. Its derivative is another loop or branch: forward mode
carries the tangents along, reverse mode keeps the carry of each repetition and goes back over them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import GradientError, ShapeError, TransformError
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import Spec, spec
from tabgrad.core.trace import MODE, Box, Mode, constant, using, wrap, zeros_like
from tabgrad.ops.loop import Body, fits
from tabgrad.transforms.autograd import Autograd, pullback
from tabgrad.transforms.calls import Call, apply, lift_outputs, lower_all, lowered_call, top_level
from tabgrad.transforms.custom import batch_parts, snapshot, tied, wants
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.node import Node, edge, leaf_node
from tabgrad.transforms.program import Program, Trace
from tabgrad.transforms.tape import record_call
from tabgrad.transforms.vmap import Batch, draw

Flat = Callable[[list[Any], list[Any]], tuple[list[Any], list[Any]]]
"""The body of a scan on lists of leaves: (carry, x) -> (carry, y)."""


def row(x: Any, t: int) -> Any:
    """Return x[t]."""
    shape = x.spec.shape
    rest = len(shape) - 1
    part = REGISTRY["slice"].bind(
        x, starts=(t,) + (0,) * rest, stops=(t + 1, *shape[1:]), steps=(1,) * (rest + 1)
    )
    return REGISTRY["reshape"].bind(part, shape=shape[1:])


def stacked(rows: Sequence[Any], like: Spec, device: Any) -> Any:
    """Return the tensors stacked along a new first axis; `like` is the Spec of one of them."""
    if not rows:
        return constant(0, spec((0, *like.shape), like.dtype), device)
    lifted = [REGISTRY["reshape"].bind(r, shape=(1, *like.shape)) for r in rows]
    return lifted[0] if len(lifted) == 1 else REGISTRY["cat"].bind(*lifted, axis=0)


def floats(tensors: Sequence[Any]) -> list[bool]:
    """Return which tensors have a dtype that carries gradients."""
    return [x.spec.dtype.is_differentiable for x in tensors]


def pulled(
    fn: Callable[[list[Any]], list[Any]], inputs: list[Any], cts: Sequence[Any]
) -> list[Any]:
    """Return the cotangents of `inputs` for those of fn(inputs), None where there is none.

    None among `cts` is zero; inputs and outputs of other dtypes count as constants.
    """
    level = Autograd()
    with level.inside():
        lifted = [level.lift(x) for x in inputs]
        nodes = [leaf_node(x) if f else None for x, f in zip(lifted, floats(inputs), strict=True)]
        outs = fn(lifted)
    ends = [edge(y, level) if ct is not None else None for y, ct in zip(outs, cts, strict=True)]
    pairs = [(n, ct) for n, ct in zip(ends, cts, strict=True) if n is not None]
    return pullback(
        [n for n, _ in pairs], [ct for _, ct in pairs], nodes, False, False, lowered=True
    )


def pushed(
    fn: Callable[[list[Any]], list[Any]], inputs: list[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Return fn(inputs) and its tangents, zeros where an output of a float dtype has none, else None."""
    level = Forward()
    with level.inside():
        outs = fn(
            [x if t is None else level.lift(x, t) for x, t in zip(inputs, tangents, strict=True)]
        )
    parts = [level.parts(y) for y in outs]
    filled = [
        zeros_like(y) if t is None and y.spec.dtype.is_differentiable else t for y, t in parts
    ]
    return [y for y, _ in parts], filled


# -- scan ------------------------------------------------------------------------------------------


class ScanCall(Call):
    """A program repeated `length` times: its inputs are `carries` tensors that go round and a row of each of
    `rows` tensors, its outputs the next carry and what is stacked. Arguments: carry, rows, captured."""

    name = "scan"
    node_name = "ScanBackward"

    def __init__(
        self, program: Program, carries: int, rows: int, length: int, reverse: bool
    ) -> None:
        self.program = program
        self.carries, self.rows, self.length, self.reverse = carries, rows, length, reverse

    def parts(self, args: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the carry, the rows and the captured tensors among the arguments."""
        c, n = self.carries, self.carries + self.rows
        return list(args[:c]), list(args[c:n]), list(args[n:])

    def body(self, captured: Sequence[Any]) -> Flat:
        """Return the body on lists of leaves."""

        def run(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            outs = self.program.run([*carry, *x], captured)
            return outs[: self.carries], outs[self.carries :]

        return run

    def keeping(self, captured: Sequence[Any]) -> Flat:
        """Return the body that also stacks the carry that goes in."""
        body = self.body(captured)

        def run(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            after, y = body(carry, x)
            return after, [*y, *carry]

        return run

    def order(self) -> range:
        """Return the rows in the order they are visited."""
        return range(self.length - 1, -1, -1) if self.reverse else range(self.length)

    def plain(self, args: list[Any]) -> list[Any]:
        """Return the outputs of one repetition, in the shapes of all."""
        carry, xs, captured = self.parts(args)
        firsts = [constant(0, spec(x.spec.shape[1:], x.spec.dtype), x.device) for x in xs]
        after, y = self.body(captured)(carry, firsts)
        return [
            *after,
            *[constant(0, spec((self.length, *v.spec.shape), v.spec.dtype), v.device) for v in y],
        ]

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Repeat the program; keep the carries where something wants gradients."""
        if not wants(args, None, mode):
            return self.repeated(args)
        carry, xs, captured = self.parts(args)
        with using(mode.replace(grad=False)):
            outs = scan_flat(self.keeping(captured), carry, xs, self.length, self.reverse)
        return self.recorded(args, outs, None)

    def repeated(self, args: list[Any]) -> list[Any]:
        """Return the outputs for tensors of the base: of one op where the body is small, else step by step."""
        body = in_one_op(
            self.program, self.carries, [a.spec for a in args[self.carries + self.rows :]]
        )
        if body is not None and self.length:
            return self.at_once(args, *body)
        return self.unrolled(args)

    def unrolled(self, args: list[Any]) -> list[Any]:
        """Return the outputs by running the program once for each row."""
        carry, xs, captured = self.parts(args)
        ys: list[list[Any]] = []
        for t in self.order():
            after = self.program.run([*carry, *[row(x, t) for x in xs]], captured)
            carry = after[: self.carries]
            ys.append(after[self.carries :])
        if self.reverse:
            ys.reverse()
        device = args[0].device
        specs = self.program.out_specs[self.carries :]
        return [*carry, *[stacked([y[k] for y in ys], s, device) for k, s in enumerate(specs)]]

    def at_once(self, args: list[Any], make: Any, used: list[int]) -> list[Any]:
        """Return the outputs of a `loop` op; `used` are the captured tensors it needs."""
        carry, xs, captured = self.parts(args)
        flats, places = flattened([*carry, *xs, *[captured[k] for k in used]])
        body = make(places)
        y = REGISTRY["loop"].bind(*flats, body=body, length=self.length, reverse=self.reverse)
        outs = []
        at = 0
        for k, s in enumerate(self.program.out_specs):
            shape = s.shape if k < self.carries else (self.length, *s.shape)
            size = s.size * (1 if k < self.carries else self.length)
            part = REGISTRY["slice"].bind(y, starts=(at,), stops=(at + size,), steps=(1,))
            outs.append(REGISTRY["reshape"].bind(part, shape=shape))
            at += size
        return outs

    def at_autograd(self, level: Autograd, args: list[Any], mode: Mode) -> list[Any]:
        """Run below, keeping the carries, and record the call here."""
        low = lower_all(level, args)
        if not wants(args, level, mode):
            return lowered_call(self, level, low, mode)
        carry, xs, captured = self.parts(low)
        with using(level.below(mode)):
            outs = scan_flat(self.keeping(captured), carry, xs, self.length, self.reverse)
        return self.recorded(args, outs, level)

    def recorded(self, args: list[Any], outs: list[Any], owner: Any) -> list[Any]:
        """Return the outputs tied to the tape, without the carries, which are kept."""
        n = len(outs) - self.carries
        kept = ([snapshot(a, owner) for a in args], outs[n:])
        mine = (
            [snapshot(y, None) for y in outs[:n]]
            if owner is None
            else lift_outputs(owner, outs[:n])
        )
        record_call(self, args, mine, owner, kept)
        return mine

    def apply(
        self, node: Node, cts: list[Any], needs: Any, lowered: bool, graph: bool
    ) -> list[Any]:
        """Go back over the repetitions."""
        saved, carries = node.kept
        owner = node.owner
        if lowered:
            args = [a.value if isinstance(a, Box) else a for a in saved]
        else:
            args = tied(saved, node, graph)
            if graph:
                carry, xs, captured = self.parts(args)
                outs = scan_flat(self.keeping(captured), carry, xs, self.length, self.reverse)
                carries = outs[len(outs) - self.carries :]
            elif owner is not None:
                carries = [wrap(c, c.spec, c.device, owner) for c in carries]
        return self.backwards(args, carries, cts, needs)

    def backwards(
        self, args: list[Any], carries: list[Any], cts: list[Any], needs: Any
    ) -> list[Any]:
        """Return the cotangents of the arguments, `carries` being the stacked carries."""
        carry, xs, captured = self.parts(args)
        c, n = self.carries, self.carries + self.rows
        carry_floats, wanted = floats(carry), [bool(w) for w in needs[n:]]
        round_cts = [
            (zeros_like(x) if ct is None else ct)
            for x, ct, f in zip(carry, cts[:c], carry_floats, strict=True)
            if f
        ]
        sums = [zeros_like(v) for v, w in zip(captured, wanted, strict=True) if w]
        y_cts = [ct for ct in cts[c:] if ct is not None]

        def back(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            ct_carry, total = state[: len(round_cts)], state[len(round_cts) :]
            before, here, ct_y = x[:c], x[c:n], x[n:]
            chosen = [v for v, w in zip(captured, wanted, strict=True) if w]

            def run(inputs: list[Any]) -> list[Any]:
                rest = iter(inputs[n:])
                values = [next(rest) if w else v for v, w in zip(captured, wanted, strict=True)]
                return self.program.run(inputs[:n], values)

            ends = _scattered(ct_carry, carry_floats) + _scattered(
                ct_y, [ct is not None for ct in cts[c:]]
            )
            grads = pulled(run, [*before, *here, *chosen], ends)
            filled = [
                zeros_like(v) if g is None and f else g
                for v, g, f in zip(
                    [*before, *here, *chosen], grads, floats([*before, *here, *chosen]), strict=True
                )
            ]
            add = REGISTRY["add"].bind
            added = [add(t, g) for t, g in zip(total, filled[n:], strict=True)]
            return [g for g in filled[:c] if g is not None] + added, [
                g for g in filled[c:n] if g is not None
            ]

        outs = scan_flat(
            back, [*round_cts, *sums], [*carries, *xs, *y_cts], self.length, not self.reverse
        )
        k = len(round_cts)
        return [
            *_scattered(outs[:k], carry_floats),
            *_scattered(outs[k + len(sums) :], floats(xs)),
            *_scattered(outs[k : k + len(sums)], wanted),
        ]

    def at_forward(self, level: Forward, args: list[Any], mode: Mode) -> list[Any]:
        """Carry the tangents along."""
        with using(level.below(mode)):
            both = [level.parts(a) for a in args]
            carry, xs, captured = self.parts(both)
            round_floats = floats([p for p, _ in carry])
            tangents = [
                zeros_like(p) if t is None else t
                for (p, t), f in zip(carry, round_floats, strict=True)
                if f
            ]
            moving = [t is not None for _, t in xs]
            c, k = self.carries, len(xs)

            def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
                inputs = [*state[:c], *x[:k], *[p for p, _ in captured]]
                ts = (
                    _scattered(state[c:], round_floats)
                    + _scattered(x[k:], moving)
                    + [t for _, t in captured]
                )
                outs, dys = pushed(lambda v: self.program.run(v[: c + k], v[c + k :]), inputs, ts)
                after = [*outs[:c], *[t for t, f in zip(dys[:c], round_floats, strict=True) if f]]
                return after, [*outs[c:], *[t for t in dys[c:] if t is not None]]

            rows = [*[p for p, _ in xs], *[t for _, t in xs if t is not None]]
            outs = scan_flat(
                body, [*[p for p, _ in carry], *tangents], rows, self.length, self.reverse
            )
        y_floats = [s.dtype.is_differentiable for s in self.program.out_specs[c:]]
        at = c + len(tangents)
        primals = [*outs[:c], *outs[at : at + len(y_floats)]]
        found = [
            *_scattered(outs[c:at], round_floats),
            *_scattered(outs[at + len(y_floats) :], y_floats),
        ]
        return [p if t is None else level.lift(p, t) for p, t in zip(primals, found, strict=True)]

    def at_batch(self, level: Batch, args: list[Any], mode: Mode) -> list[Any]:
        """Repeat the batched program; every carry gets a batch axis."""
        low, dims = batch_parts(level, args)
        with using(level.below(mode)):
            carry, xs, captured = self.parts(low)
            _, x_dims, v_dims = self.parts(dims)
            carry = [level.lower(a, 0) for a in self.parts(args)[0]]
            # the scanned axis stays in front, the batch axis comes after it
            xs = [x if d is None else _moved(x, d, 1) for x, d in zip(xs, x_dims, strict=True)]

            def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
                inner = Batch(level.size, level.randomness)
                with inner.inside():
                    outs = self.program.run(
                        [
                            *[inner.lift(s, 0) for s in state],
                            *[
                                v if d is None else inner.lift(v, 0)
                                for v, d in zip(x, x_dims, strict=True)
                            ],
                        ],
                        [
                            v if d is None else inner.lift(v, d)
                            for v, d in zip(captured, v_dims, strict=True)
                        ],
                    )
                found = [inner.lower(y, 0) for y in outs]
                return found[: self.carries], found[self.carries :]

            outs = scan_flat(body, carry, xs, self.length, self.reverse)
        c = self.carries
        return [*[level.lift(y, 0) for y in outs[:c]], *[level.lift(y, 1) for y in outs[c:]]]


def in_one_op(program: Program, carries: int, captured: Sequence[Spec]) -> Any:
    """Return what makes the body of a `loop` op from the places of its operands, and which captured tensors it
    needs; None where the program must be repeated step by step."""
    if not program.ready() or len({s.dtype for s in program.out_specs}) != 1:
        return None
    n = program.count
    specs = [*program.specs, *captured]

    def number(r: int) -> int:
        return r if r >= 0 else n + ~r

    steps = []
    for op, params, refs, out, _ in program.steps:
        numbers = tuple([number(r) for r in refs])
        if not fits(op, params, [specs[k] for k in numbers], specs[out]):
            return None
        steps.append((op, params, numbers, out))
    outputs = [number(r) for r in program.outputs]
    seen = {k for _, _, numbers, _ in steps for k in numbers} | set(outputs)
    used = [k for k in range(len(captured)) if n + k in seen]

    def make(places: Any) -> Body:
        return Body(specs, steps, program.inputs, [n + k for k in used], outputs, carries, places)

    return make, used


def flattened(tensors: Sequence[Any]) -> tuple[list[Any], list[tuple[int, int]]]:
    """Return the tensors side by side, flat, one tensor for each dtype, and where each lies."""
    pieces: dict[Any, list[Any]] = {}
    sizes: dict[Any, int] = {}
    places = []
    for x in tensors:
        kind = x.spec.dtype
        which = list(pieces).index(kind) if kind in pieces else len(pieces)
        pieces.setdefault(kind, []).append(REGISTRY["reshape"].bind(x, shape=(x.spec.size,)))
        places.append((which, sizes.get(kind, 0)))
        sizes[kind] = sizes.get(kind, 0) + x.spec.size
    return [
        p[0] if len(p) == 1 else REGISTRY["cat"].bind(*p, axis=0) for p in pieces.values()
    ], places


def _moved(x: Any, source: int, target: int) -> Any:
    """Return `x` with one axis moved; `source` counts without the first axis where it is hidden below."""
    order = [i for i in range(len(x.spec.shape)) if i != source]
    order.insert(target, source)
    return x if order == sorted(order) else REGISTRY["permute"].bind(x, dims=tuple(order))


def _scattered(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """Return the values in the places of the flags that are set, None elsewhere."""
    rest = iter(values)
    return [next(rest) if flag else None for flag in flags]


def scan_flat(body: Flat, carry: list[Any], xs: list[Any], length: int, reverse: bool) -> list[Any]:
    """Trace `body` on leaves and apply it `length` times; return the last carry and the stacked outputs.

    What `body` closes over becomes an input of the loop; random numbers are drawn for all repetitions at once.
    """
    trace = Trace("scan")
    extra: list[Any] = []
    outer = MODE.get()

    def draws(make: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...]) -> Any:
        with using(outer):
            every = draw(make, (length, *shape))
        extra.append((every, trace.tracer(spec(shape, every.spec.dtype), every.device)))
        return extra[-1][1]

    trace.draws = draws
    with trace.inside():
        tracers = [trace.tracer(x.spec, x.device) for x in carry]
        rows = [trace.tracer(spec(x.spec.shape[1:], x.spec.dtype), x.device) for x in xs]
        after, ys = body(tracers, rows)
    _check_carry(carry, after)
    xs = [*xs, *[every for every, _ in extra]]
    inputs = [t.value for t in (*tracers, *rows, *[t for _, t in extra])]
    program = Program(trace, inputs, [*after, *ys])
    call = ScanCall(program, len(carry), len(xs), length, reverse)
    return apply(call, [*carry, *xs, *program.captured])


def _check_carry(before: Sequence[Any], after: Sequence[Any]) -> None:
    if len(before) != len(after):
        raise ShapeError(
            f"scan: the carry has {len(before)} tensors, the function returned {len(after)}"
        )
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        if a.spec is not b.spec:
            raise ShapeError(
                f"scan: the carry must keep its shapes and dtypes: tensor {i} goes in as {a.spec} "
                f"and comes out as {b.spec}"
            )


__all__ = ["MODE", "GradientError", "ScanCall", "TransformError", "scan_flat", "top_level"]
