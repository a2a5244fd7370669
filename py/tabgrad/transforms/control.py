"""`scan`: a loop that is traced once. `while_loop` and `cond` are in `branches`.

Each is a call (see `calls`) of one or two programs. Its derivative is another loop or branch: forward mode
carries the tangents along, reverse mode keeps the carry of each repetition and goes back over them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.errors import ShapeError
from tabgrad.core.families import to_front
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import Spec, spec
from tabgrad.core.trace import MODE, Box, constant, using, zeros_like
from tabgrad.ops.loop import Body, fits
from tabgrad.transforms.calls import RuledCall, apply
from tabgrad.transforms.program import Trace, TracedProgram, floats, scattered
from tabgrad.transforms.vmap import Batch, draw

Flat = Callable[[list[Any], list[Any]], tuple[list[Any], list[Any]]]
"""The body of a scan on lists of leaves: (carry, x) -> (carry, y)."""


def row(x: Box, t: int) -> Any:
    """Take x[t]."""
    shape = x.spec.shape
    rest = len(shape) - 1
    part = REGISTRY["slice"].bind(
        x, starts=(t,) + (0,) * rest, stops=(t + 1, *shape[1:]), steps=(1,) * (rest + 1)
    )
    return REGISTRY["reshape"].bind(part, shape=shape[1:])


def stacked(rows: Sequence[Any], like: Spec, device: Any) -> Any:
    """Stack tensors along a new first axis; `like` is the Spec of one of them."""
    if not rows:
        return constant(0, spec((0, *like.shape), like.dtype), device)
    lifted = [REGISTRY["reshape"].bind(r, shape=(1, *like.shape)) for r in rows]
    return lifted[0] if len(lifted) == 1 else REGISTRY["cat"].bind(*lifted, axis=0)


class ScanCall(RuledCall):
    """A program repeated `length` times. Its inputs are `carries` tensors that go round and a row of each of
    `rows` tensors; its outputs are the next carry and values to stack. Arguments: carry, rows, captured."""

    name = "scan"
    node_name = "ScanBackward"

    def __init__(
        self, program: TracedProgram, carries: int, rows: int, length: int, reverse: bool
    ) -> None:
        self.program = program
        self.carries, self.rows, self.length, self.reverse = carries, rows, length, reverse

    def parts(self, args: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Split the arguments into the carry, the rows, and the captured tensors."""
        c, n = self.carries, self.carries + self.rows
        return list(args[:c]), list(args[c:n]), list(args[n:])

    def body(self, captured: Sequence[Any]) -> Flat:
        """Make the body a function of lists of leaves."""

        def run(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            outs = self.program.run([*carry, *x], captured)
            return outs[: self.carries], outs[self.carries :]

        return run

    def saving(self, captured: Sequence[Any]) -> Flat:
        """Make a body that also stacks the carry it is given."""
        body = self.body(captured)

        def run(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            after, y = body(carry, x)
            return after, [*y, *carry]

        return run

    def order(self) -> range:
        """Give the numbers of the rows in the order they are visited."""
        return range(self.length - 1, -1, -1) if self.reverse else range(self.length)

    def plain(self, args: list[Any]) -> list[Any]:
        """Run one repetition, to make stand-ins with the shapes of all outputs."""
        carry, xs, captured = self.parts(args)
        firsts = [constant(0, spec(x.spec.shape[1:], x.spec.dtype), x.device) for x in xs]
        after, y = self.body(captured)(carry, firsts)
        return [
            *after,
            *[constant(0, spec((self.length, *v.spec.shape), v.spec.dtype), v.device) for v in y],
        ]

    def run(self, args: list[Any]) -> list[Any]:
        """Repeat the program on tensors of the base: as one op if the body allows it, else step by step."""
        body = in_one_op(
            self.program, self.carries, [a.spec for a in args[self.carries + self.rows :]]
        )
        if body is not None and self.length:
            return self.at_once(args, *body)
        return self.unrolled(args)

    def unrolled(self, args: list[Any]) -> list[Any]:
        """Run the program once for each row."""
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

    def at_once(self, args: list[Any], make: Callable[..., Any], used: list[int]) -> list[Any]:
        """Apply one `loop` op; `used` are the captured tensors it needs."""
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

    def forward(self, args: list[Any]) -> tuple[list[Any], list[Any]]:
        """Repeat the program, and keep the carry that enters each repetition."""
        carry, xs, captured = self.parts(args)
        outs = scan_flat(self.saving(captured), carry, xs, self.length, self.reverse)
        n = len(outs) - self.carries
        return outs[:n], outs[n:]

    def pull(
        self, args: list[Any], kept: list[Any], cts: list[Any], needs: Sequence[bool]
    ) -> list[Any]:
        """Go back over the repetitions, and add up the cotangents of the captured tensors."""
        carry, xs, captured = self.parts(args)
        c, n = self.carries, self.carries + self.rows
        flags, wanted = floats(carry), [bool(w) for w in needs[n:]]
        start = cotangents(carry, cts[:c])
        sums = [zeros_like(v) for v, w in zip(captured, wanted, strict=True) if w]
        given = [ct is not None for ct in cts[c:]]
        k, m = len(start), len(start) + len(sums)

        def back(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            ends = scattered(state[:k], flags) + scattered(x[n:], given)
            grads = self.program.pull(x[:n], captured, ends, wanted)
            before, rows = ([g for g in part if g is not None] for part in (grads[:c], grads[c:n]))
            return [*before, *added(state[k:], grads[n:])], rows

        y_cts = [ct for ct in cts[c:] if ct is not None]
        outs = scan_flat(back, [*start, *sums], [*kept, *xs, *y_cts], self.length, not self.reverse)
        return [
            *scattered(outs[:k], flags),
            *scattered(outs[m:], floats(xs)),
            *scattered(outs[k:m], wanted),
        ]

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Carry the tangents along."""
        carry, xs, captured = self.parts(primals)
        dcarry, dxs, dcaptured = self.parts(tangents)
        c, k = self.carries, self.rows
        flags, given = floats(carry), [t is not None for t in dxs]

        def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            moving = scattered(state[c:], flags) + scattered(x[k:], given)
            outs, dys = self.program.push([*state[:c], *x[:k]], captured, moving, dcaptured)
            after, ys = ([t for t in part if t is not None] for part in (dys[:c], dys[c:]))
            return [*outs[:c], *after], [*outs[c:], *ys]

        start = cotangents(carry, dcarry)
        rows = [*xs, *[t for t in dxs if t is not None]]
        outs = scan_flat(body, [*carry, *start], rows, self.length, self.reverse)
        y_flags = [s.dtype.is_differentiable for s in self.program.out_specs[c:]]
        at = c + len(start)
        end = at + len(y_flags)
        moved = [*scattered(outs[c:at], flags), *scattered(outs[end:], y_flags)]
        return [*outs[:c], *outs[at:end]], moved

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Repeat the batched program; every carry gets a batch axis."""
        carry, xs, captured = self.parts(args)
        carry_dims, x_dims, v_dims = self.parts(dims)
        carry = [to_front(x, d, level.size) for x, d in zip(carry, carry_dims, strict=True)]
        # the scanned axis stays in front, the batch axis comes after it
        xs = [x if d is None else _moved(x, d, 1) for x, d in zip(xs, x_dims, strict=True)]
        axes = [*[0] * self.carries, *[None if d is None else 0 for d in x_dims]]

        def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
            found = self.program.each(level, [*state, *x], axes, captured, v_dims)
            return found[: self.carries], found[self.carries :]

        outs = scan_flat(body, carry, xs, self.length, self.reverse)
        return outs, [*[0] * self.carries, *[1] * (len(outs) - self.carries)]


def cotangents(tensors: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """Fill in zeros for cotangents or tangents that are None; leave out those of dtypes without derivatives."""
    return [
        zeros_like(x) if ct is None else ct
        for x, ct in zip(tensors, given, strict=True)
        if x.spec.dtype.is_differentiable
    ]


def added(xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
    """Add two lists of tensors."""
    return [REGISTRY["add"].bind(x, y) for x, y in zip(xs, ys, strict=True)]


def in_one_op(program: TracedProgram, carries: int, captured: Sequence[Spec]) -> Any:
    """Turn a program into one `loop` op: the maker of its body (from the places of operands) and the captured
    tensors that it needs, or None where the program must be repeated step by step."""
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
    """Join tensors, flattened, to one tensor for each dtype, and tell where each of them lies."""
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


def _moved(x: Box, source: int, target: int) -> Any:
    """Move the axis `source` of `x` to `target`."""
    order = [i for i in range(len(x.spec.shape)) if i != source]
    order.insert(target, source)
    return x if order == sorted(order) else REGISTRY["permute"].bind(x, dims=tuple(order))


def scan_flat(body: Flat, carry: list[Any], xs: list[Any], length: int, reverse: bool) -> list[Any]:
    """Trace `body` on leaves and apply it `length` times; return the last carry and the stacked outputs.

    A tensor that `body` closes over becomes an input of the loop; random numbers are drawn all at once.
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
    program = TracedProgram(trace, inputs, [*after, *ys])
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
