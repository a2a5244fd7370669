"""Reverse mode: the autograd interpreter and the walk back over the tape.

One engine serves `.backward()`, `autograd.grad` and `func.grad`: the base of the stack records on the
tape, and each `func.grad` pushes an `Autograd` level that records its own ops the same way.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.families import accumulate
from tabgrad.core.op import Op
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, Mode, bind, using, wrap
from tabgrad.transforms.linear import vjp
from tabgrad.transforms.tape import ACCUMULATE, FREED, TAPE, record, unpack


class Autograd:
    """One level of reverse mode: tensors it owns hold a Tensor of the level below."""

    def __init__(self, outer: Mode) -> None:
        self.level = len(outer.levels) + 1
        self.outer = outer
        self.quiet = outer if not outer.grad else outer.replace(grad=False)

    def lift(self, x: Any, tracked: bool = True) -> Any:
        """Return `x` as a tensor of this level, a leaf that wants gradients where `tracked`."""
        y = wrap(x, x.spec, x.device, self)
        y.tracked = tracked and x.spec.dtype.is_differentiable
        return y

    def lower(self, x: Any) -> Any:
        """Return the value below this level."""
        return x.value if x.owner is self else x

    def below(self, mode: Mode) -> Mode:
        """Return the mode under which the level below works, given the one of this level."""
        return self.outer if mode.grad else self.quiet

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Apply `op` below, and record it here."""
        mode = MODE.get()
        lowers = tuple([a.value if a.owner is self else a for a in args])
        token = MODE.set(self.below(mode))
        try:
            y = bind(op, lowers, params)
        finally:
            MODE.reset(token)
        y = wrap(y, y.spec, y.device, self)
        if mode.grad and op.differentiable:
            record(op, params, args, y, self)
        return y


class Walk:
    """One walk back over the tape.

    `targets` are (entry, output) pairs whose cotangents are wanted, or None to add to the `.grad` of every
    leaf. `lowered` runs the rules below the level that recorded them; `graph` records them again.
    """

    def __init__(
        self, targets: Sequence[tuple[int, int]] | None, keep: bool, graph: bool, lowered: bool = False
    ) -> None:
        self.targets = targets
        self.keep = keep
        self.graph = graph
        self.lowered = lowered
        self.cts: dict[int, list[Any]] = {}
        self.heap: list[int] = []
        self.at: dict[int, int] = {}
        self.wanted: set[int] | None = None
        self.found: dict[tuple[int, int], Any] = {}

    def seed(self, entry: int, output: int, ct: Any) -> None:
        """Add a cotangent to an output of an entry."""
        slots = self.cts.get(entry)
        if slots is None:
            slots = self.cts[entry] = [None] * len(TAPE.facts[entry][3])
            serial = -TAPE.serial[entry]
            heapq.heappush(self.heap, serial)
            self.at[serial] = entry
        slots[output] = accumulate(slots[output], ct)

    def run(self) -> None:
        """Walk from the latest entry to the earliest: every use of a value comes before its making."""
        if self.targets is not None:
            self.wanted = _leading_to(self.cts, {t[0] for t in self.targets})
        while self.heap:
            i = self.at.pop(heapq.heappop(self.heap))
            cts = self.cts.pop(i)
            self.visit(i, _hooked(i, cts))

    def visit(self, i: int, cts: list[Any]) -> None:
        """Hand the cotangents of entry `i` to its inputs."""
        if self.targets is not None:
            for k, ct in enumerate(cts):
                if (i, k) in self.targets:
                    self.found[i, k] = ct
            assert self.wanted is not None
            if i not in self.wanted:
                return
        rule = TAPE.rule[i]
        if rule is ACCUMULATE:
            if self.targets is None:
                _add_to_grad(i, cts[0], self.graph)
            return
        edges = TAPE.edges[i]
        needs = tuple([s > 0 and (self.wanted is None or s in self.wanted) for s, _ in edges])
        if True not in needs:
            return
        grads = self.pull(i, rule, cts, needs)
        hooks = TAPE.hooks.get(i)
        if hooks and "post" in hooks:
            grads = _post_hooks(hooks["post"], grads, cts)
        for (source, k), grad, need in zip(edges, grads, needs, strict=True):
            if need and grad is not None:
                self.seed(source, k, grad)

    def pull(self, i: int, rule: Any, cts: list[Any], needs: tuple[bool, ...]) -> Any:
        """Return the cotangents of the inputs of entry `i`."""
        if TAPE.saved[i] is FREED or isinstance(rule, Op):
            inputs, y = unpack(i, self.lowered, self.graph)
            if not self.keep:
                TAPE.saved[i] = FREED
            return vjp(rule, cts[0], needs, inputs, y, TAPE.params[i])
        grads = rule.apply(i, cts, needs, self.lowered, self.graph)
        if not self.keep:
            TAPE.saved[i] = FREED
        return grads


def _leading_to(roots: dict[int, Any], targets: set[int]) -> set[int]:
    edges, serial = TAPE.edges, TAPE.serial
    seen = set(roots)
    stack = list(roots)
    while stack:
        for s, _ in edges[stack.pop()]:
            if s and s not in seen:
                seen.add(s)
                stack.append(s)
    wanted: set[int] = set()
    for i in sorted(seen, key=serial.__getitem__):
        if i in targets or any(s in wanted for s, _ in edges[i]):
            wanted.add(i)
    return wanted


def _hooked(i: int, cts: list[Any]) -> list[Any]:
    hooks = TAPE.hooks.get(i)
    if not hooks:
        return cts
    for k in range(len(cts)):
        for fn in list(hooks.get(k, {}).values()):
            if cts[k] is not None:
                new = fn(cts[k])
                cts[k] = cts[k] if new is None else new
    for fn in list(hooks.get("pre", {}).values()):
        new = fn(tuple(cts))
        if new is not None:
            cts = list(new) if isinstance(new, tuple | list) else [new]
    for fn in list(hooks.get("capture", {}).values()):
        fn(cts)
    return cts


def _post_hooks(hooks: dict[int, Any], grads: Any, cts: list[Any]) -> Any:
    for fn in list(hooks.values()):
        new = fn(tuple(grads), tuple(cts))
        if new is not None:
            grads = tuple(new) if isinstance(new, tuple | list) else (new,)
    return grads


def _add_to_grad(i: int, ct: Any, graph: bool) -> None:
    leaf = TAPE.saved[i]()
    if leaf is None or ct is None:
        return
    old = leaf._grad
    if old is None:
        leaf._set_grad(ct if graph else ct.detach())
    else:
        leaf._set_grad(accumulate(old, ct))
    hooks = TAPE.hooks.get(i)
    if hooks:
        for fn in list(hooks.get("accumulated", {}).values()):
            fn(leaf)


def pullback(
    outputs: Sequence[tuple[int, int]], cts: Sequence[Any], inputs: Sequence[tuple[int, int]] | None,
    keep: bool, graph: bool, lowered: bool = False,
) -> list[Any]:  # fmt: skip
    """Return the cotangents of `inputs` for those of `outputs`; entries and outputs are named as in `edge`.

    With `inputs` None the gradients go to the leaves. An input nothing leads to gets None.
    """
    mode = MODE.get()
    walk = Walk(inputs, keep, graph, lowered)
    with using(mode.replace(grad=graph, inference=False)):
        for (entry, k), ct in zip(outputs, cts, strict=True):
            if entry:
                walk.seed(entry, k, ct)
        walk.run()
    if inputs is None:
        return []
    return [walk.found.get(t) for t in inputs]


__all__ = ["Autograd", "GradientError", "pullback"]
