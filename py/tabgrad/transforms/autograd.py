"""Reverse mode: the autograd interpreter and the walk back over the tape.

One engine serves `.backward()`, `autograd.grad` and `func.grad`: the base of the stack records on the
tape, and each `func.grad` pushes an `Autograd` level that records its own ops the same way.
"""

from __future__ import annotations

import heapq
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, copy_context
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.locks import WRITING, borrowed, lent
from tabgrad.core.op import Op
from tabgrad.core.promotion import accumulate
from tabgrad.core.spec import Params, Spec
from tabgrad.core.trace import MODE, Box, Mode, bind, using, wrap
from tabgrad.core.undoing import Before
from tabgrad.transforms.jvp import Dual
from tabgrad.transforms.kinks import ZERO, hung, passes, zeros
from tabgrad.transforms.levels import Level
from tabgrad.transforms.linear import vjp
from tabgrad.transforms.node import (
    ACCUMULATE,
    FREED,
    OUTPUT,
    Node,
    free,
    freed_error,
    may_look,
    output_of,
    unpack,
)
from tabgrad.transforms.tape import record


class Autograd(Level):
    """One level of reverse mode: tensors it owns hold a Tensor of the level below."""

    name = "func.grad"

    def below(self, mode: Mode) -> Mode:
        """The mode of the level below: a no_grad inside holds for all levels, one outside only below."""
        seen = self.seen
        if seen[0] is mode:
            return seen[1]
        found = super().below(mode)
        if found.grad and not self.outer.grad:
            found = found.replace(grad=False)
        self.seen = (mode, found)
        return found

    def inner(self) -> Mode:
        """The mode inside: a no_grad outside does not hold for this level."""
        return super().inner().replace(grad=True)

    def lift(self, x: Box) -> Any:
        """Make `x` a leaf of this level that wants gradients, if its dtype can have any."""
        y = wrap(x, x.spec, x.device, self)
        y.tracked = x.spec.dtype.is_differentiable
        return y

    def lower(self, x: Box) -> Any:
        """Take the value below this level."""
        return x.value if x.owner is self else x

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Apply `op` below and record it here; a result without a gradient stays of the level below."""
        mode = self.entered(MODE.get())
        values = tuple([a.value if a.owner is self else a for a in args])
        token = MODE.set(self.below(mode))
        try:
            low = bind(op, values, params)
        finally:
            MODE.reset(token)
        if not mode.grad:
            return low
        y = wrap(low, low.spec, low.device, self)
        record(op, params, args, values, tuple([a.spec for a in args]), y, self, mode)
        return y if y.tracked else low


class Walk:
    """One walk back over the tape.

    `targets` are nodes whose cotangents are wanted, or None to add to the `.grad` of every leaf; with `add`
    those of leaves among them are added too, and hooks run as they do in a walk to all leaves.
    Once the walk has met a hook, which may look at `.grad`, a leaf whose cotangent is complete comes next.
    `keep` leaves the saved tensors for another walk; `graph` records the rules; `lowered` runs the rules
    below the level that recorded them.
    """

    def __init__(
        self, targets: Iterable[Node] | None, keep: bool, graph: bool, lowered: bool = False,
        add: bool = True,
    ) -> None:  # fmt: skip
        self.targets = None if targets is None else set(targets)
        self.add = add
        self.depth = 0
        self.keep = keep
        self.graph = graph
        self.lowered = lowered
        self.cts: dict[int, tuple[Node, Any]] = {}
        self.heap: list[int] = []
        self.wanted: set[Node] | None = None
        self.found: dict[Node, Any] = {}
        self.ends: set[Node] = set()
        self.due: dict[Node, int] | None = None
        self.roots: list[Node] = []
        self.at_end: list[Callable[[], Any]] = []
        self.after: list[Callable[[], Any]] = []
        self.anomaly = MODE.get().anomaly
        self.before = Before()

    def seed(self, node: Node, ct: Any) -> None:
        """Add a cotangent to the output of `node`."""
        i = node.id
        old = self.cts.get(i)
        if old is None:
            heapq.heappush(self.heap, -i)
            self.cts[i] = (node, ct)
        elif old[1] is ZERO:
            self.cts[i] = (node, ct)
        elif ct is not ZERO:
            self.cts[i] = (node, accumulate(old[1], ct))

    def seed_output(self, node: Node, k: int, ct: Any) -> None:
        """Add a cotangent to output `k` of a node that has several."""
        i = node.id
        if i not in self.cts:
            heapq.heappush(self.heap, -i)
            self.cts[i] = (node, [None] * len(node.out_spec))
        slots = self.cts[i][1]
        slots[k] = accumulate(slots[k], ct)

    def reaches(self, nodes: Iterable[Node]) -> list[bool]:
        """Tell for each of `nodes` whether the walk computes its gradient."""
        if self.targets is None:
            seen = _reachable(self.roots)
            return [node in seen for node in nodes]
        assert self.wanted is not None
        return [node in self.wanted or node in self.targets for node in nodes]

    def run(self) -> None:
        """Walk from the latest node to the earliest: a value is used only after it was made."""
        self.roots = [node for node, _ in self.cts.values()]
        if self.targets is not None:
            self.ends = self.targets
            if self.add:
                # the node that made a target runs its hooks, though nothing behind it is wanted
                self.ends = self.targets | {output_of(node)[0] for node in self.targets}
            self.wanted = _leading_to(self.roots, self.ends)
        heap, pending = self.heap, self.cts
        while heap:
            found = pending.pop(-heapq.heappop(heap), None)  # None where a leaf was visited earlier
            if found is not None:
                self.visit(*found)

    def count_leaves(self, node: Node) -> None:
        """Count for each leaf the cotangents that are still to come, those of `node` too."""
        self.due = {}
        roots = [node, *(other for other, _ in self.cts.values())]
        for other in _reachable(roots):
            if self.wanted is None or other in self.wanted or (self.add and other in self.ends):
                for source in other.edges:
                    if source is not None and source.rule is ACCUMULATE:
                        self.due[source] = self.due.get(source, 0) + 1
        self.visit_leaves([other for other in roots[1:] if other.rule is ACCUMULATE])

    def visit_leaves(self, leaves: Iterable[Node | None], passed: int = 0) -> None:
        """Note that each of `leaves` has got `passed` cotangents more; visit those that are complete."""
        assert self.due is not None
        for leaf in leaves:
            if leaf is not None and leaf.rule is ACCUMULATE:
                self.due[leaf] = self.due.get(leaf, 0) - passed
                found = self.cts.pop(leaf.id, None) if self.due[leaf] <= 0 else None
                if found is not None:
                    self.visit(*found)

    def visit(self, node: Node, ct: Any) -> None:
        """Hand the cotangent of `node`, or the list of them if it has several outputs, to its inputs."""
        if ct is ZERO:
            if passes(node):
                self.pass_zeros(node)
                return
            ct = zeros(node)
        notes = node.notes
        if self.due is None and may_look(node):
            self.count_leaves(node)
        if notes is not None:
            ct = _tensor_hooks(notes, ct)
        if self.targets is not None:
            if node in self.targets:
                self.found[node] = ct
            assert self.wanted is not None
            if node not in self.wanted and not (self.add and node in self.ends):
                return
        rule, edges = node.rule, node.edges
        if rule is OUTPUT:
            self.seed_output(edges[0], node.op_params, ct)
            return
        if notes is not None and "pre" in notes:
            ct = _prehooks(node, notes["pre"], ct)
        if rule is ACCUMULATE:
            if self.add:
                add_to_grad(node.kept(), ct, self.graph)
            if notes is not None:
                _after_leaf(node, notes, ct)
            return
        wanted = self.wanted
        if wanted is None:
            needs = tuple([e is not None for e in edges])
        else:
            needs = tuple([e is not None and (e in wanted or e in self.ends) for e in edges])
        if self.graph:
            ct = hung(node, ct)
        grads = self.pull(node, ct, needs) if True in needs else (None,) * len(needs)
        if notes is not None and "post" in notes:
            grads = _posthooks(node, notes["post"], grads, ct)
        for source, grad, need in zip(edges, grads, needs, strict=True):
            if need and grad is not None:
                self.seed(source, grad)
                if self.due is None and source.rule is ACCUMULATE and may_look(source):
                    self.count_leaves(node)
        if self.due is not None:
            self.visit_leaves(edges, 1)

    def pass_zeros(self, node: Node) -> None:
        """Hand on a cotangent of zeros without running the rule of `node`."""
        wanted, targets = self.wanted, self.targets or ()
        if node in targets:
            self.found[node] = zeros(node)
        if wanted is not None and node not in wanted:
            return
        if not self.keep:
            free(node)
        for source in node.edges:
            if source is not None and (wanted is None or source in wanted or source in targets):
                self.seed(source, ZERO)
        if self.due is not None:
            self.visit_leaves(node.edges, 1)

    def pull(self, node: Node, ct: Any, needs: tuple[bool, ...]) -> Any:
        """Run the rule of `node`, from the cotangent of its output to the cotangents of its inputs."""
        rule = node.rule
        try:
            if type(ct) is not list and isinstance(rule, Op):
                inputs, y = unpack(node, self.lowered, self.graph)
                if not self.keep:
                    free(node)
                grads = vjp(rule, ct, needs, inputs, y, node.op_params)
            else:
                if node.kept is FREED:
                    raise freed_error(node)
                cts = ct if type(ct) is list else [ct]
                grads = rule.apply(node, cts, needs, self.lowered, self.graph)
                if not self.keep:
                    free(node)
        except Exception as error:
            if self.anomaly is not None:
                self.anomaly.blame(node, error)
            raise
        if self.anomaly is not None:
            self.anomaly.check(node, grads)
        return grads


def _reachable(roots: Sequence[Node]) -> set[Node]:
    """Collect `roots` and all nodes that they come from."""
    seen = set(roots)
    stack = list(roots)
    while stack:
        for source in stack.pop().edges:
            if source is not None and source not in seen:
                seen.add(source)
                stack.append(source)
    return seen


def _leading_to(roots: Sequence[Node], targets: set[Node]) -> set[Node]:
    """Find the nodes between `roots` and `targets` whose rules must run."""
    seen = _reachable(roots)
    wanted: set[Node] = set()
    for node in sorted(seen, key=lambda node: node.id):
        if any(s is not None and (s in wanted or s in targets) for s in node.edges):
            wanted.add(node)
    return wanted


def _tensor_hooks(notes: dict[str, Any], ct: Any) -> Any:
    for kind in ("tensor", "retain"):
        for fn in list(notes.get(kind, {}).values()):
            new = fn(ct)
            if new is not None:
                _check_like("a tensor hook", new, _spec_of(ct))
                ct = new
    return ct


def _check_like(what: str, new: Any, wanted: Spec) -> None:
    if not isinstance(new, Box):
        raise TypeError(
            f"expected Variable, but hook returned '{type(new).__name__}': {what} gives None or a tensor like "
            f"the gradient, {wanted}"
        )
    its = _spec_of(new)
    if its is not wanted:
        raise GradientError(
            f"{what} returned {its}; expected None or a tensor like the gradient, {wanted}"
        )


def _spec_of(x: Box) -> Spec:
    spec: Spec = x.spec if x._parts is None else x._parts.spec
    return spec


def _prehooks(node: Node, hooks: Any, ct: Any) -> Any:
    many = type(ct) is list
    specs = node.out_spec if many else (node.out_spec,)
    for fn in list(hooks.values()):
        new = fn(tuple(ct) if many else (ct,))
        if new is not None:
            given = _checked(f"a prehook of {node.name()}", new, specs)
            ct = given if many else given[0]
    return ct


def _posthooks(node: Node, hooks: Any, grads: Sequence[Any], ct: Any) -> Any:
    grads = tuple(grads)
    for fn in list(hooks.values()):
        new = fn(grads, tuple(ct) if type(ct) is list else (ct,))
        if new is not None:
            if not isinstance(new, tuple):
                raise TypeError(f"expected tuple, but hook returned '{type(new).__name__}'")
            grads = tuple(_checked(f"a hook of {node.name()}", new, node.in_specs))
    return grads


def _checked(what: str, new: Any, specs: Sequence[Any]) -> list[Any]:
    """Check the gradients that a hook on a node returned: None, or one of each of `specs`."""
    grads = list(new) if isinstance(new, tuple | list) else [new]
    if len(grads) != len(specs):
        plural = "" if len(specs) == 1 else "s"
        raise GradientError(
            f"{what} returned {len(grads)} gradients; expected None or {len(specs)} gradient{plural}"
        )
    for g, spec in zip(grads, specs, strict=True):
        if g is not None:
            _check_like(what, g, spec)
    return grads


def _after_leaf(node: Node, notes: dict[str, Any], ct: Box) -> None:
    leaf = node.kept()
    if leaf is not None:
        for fn in list(notes.get("accumulated", {}).values()):
            new = fn(leaf)
            if new is not None and not isinstance(new, Box):
                raise TypeError(
                    f"expected Variable, but hook returned '{type(new).__name__}'; a post-accumulate hook "
                    "returns None, and may write to the leaf's .grad"
                )
    for fn in list(notes.get("post", {}).values()):
        new = fn((), (ct,))
        if new is not None and len(new):
            raise GradientError(
                f"hook '{getattr(fn, '__name__', fn)}' has returned an incorrect number of values (got "
                f"{len(new)}, but expected 0); a leaf has no inputs"
            )


DEEP = 16
"""The number of nested walks that share one thread, whose stack Python bounds."""


def _in_a_thread(run: Callable[[], None]) -> None:
    """Run a walk in a thread with a stack of its own, and wait for it."""
    errors: list[BaseException] = []
    context = copy_context()

    def walk() -> None:
        with borrowed():
            run()

    def work() -> None:
        try:
            context.run(walk)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="tabgrad backward")
    with lent():
        try:
            thread.start()
        except RuntimeError:
            # a browser has no threads: there Python's stack bounds the depth of walks
            walk()
            return
        thread.join()
    if errors:
        raise errors[0]


WALK: ContextVar[Any] = ContextVar("tabgrad_walk", default=None)
"""The walk that hooks are called from."""


def add_to_grad(leaf: Any, ct: Any, graph: bool) -> None:
    """Add `ct` to the `.grad` of `leaf`, in place unless the addition itself is recorded."""
    if leaf is None or ct is None or not leaf.tracked:
        return
    if ct.alias is not None:
        ct.alias.refresh(ct)  # a user's rule or call may have written to it through a view
    if ct.owner is not leaf.owner and isinstance(ct.owner, Dual):
        ct.owner.leaves.append(weakref.ref(leaf))
    elif ct.owner is not leaf.owner:
        raise GradientError(
            "backward: the gradient of a tensor made outside a transform would be a tensor of the transform; "
            "use func.grad or func.vjp inside it"
        )
    capture = MODE.get().capture
    with WRITING:
        if capture is not None:
            capture.note_grad(leaf)
        WALK.get().before.note_grad(leaf)
        old = leaf._grad
        if ct._parts is not None and capture is not None:
            capture.refuse("makes a sparse gradient")
        if ct._parts is not None and old is None:
            leaf._set_grad(ct)
        elif old is None:
            # A separate tensor: the next backward adds to it in place, and nobody else may see that.
            new = wrap(ct.value, ct.spec, ct.device, ct.owner)
            if graph and ct.tracked:
                new.node, new.tracked = ct.node, True
            leaf._set_grad(new)
        elif graph or old.tracked or old._parts is not None:
            leaf._set_grad(accumulate(old, ct))
        else:
            old.add_(ct)


def pullback(
    outputs: Sequence[Node | None], cts: Sequence[Any], inputs: Sequence[Node | None] | None,
    keep: bool, graph: bool, lowered: bool = False, add: bool = False,
) -> list[Any]:  # fmt: skip
    """Map cotangents of the nodes `outputs` to cotangents of the nodes `inputs`; `edge` gives nodes.

    If `inputs` is None, gradients are added to the leaves; with `add`, to those among `inputs` too. An input
    that no output depends on gets None. `lowered` runs the rules below an autograd level, in the caller's mode.
    """
    mode = MODE.get()
    walk = Walk(
        None if inputs is None else [n for n in inputs if n is not None], keep, graph, lowered,
        add or inputs is None,
    )  # fmt: skip
    outer = WALK.get()
    if outer is not None:
        walk.depth, walk.after = outer.depth + 1, outer.after
    grad = mode.grad if lowered else graph
    with using(mode.replace(grad=grad, inference=False, autocast=None)):
        for node, ct in zip(outputs, cts, strict=True):
            if node is not None:
                walk.seed(node, ct)
        token = WALK.set(walk)
        try:
            if walk.depth % DEEP == DEEP - 1:
                _in_a_thread(walk.run)
            else:
                walk.run()
        except BaseException:
            walk.before.give_back()
            raise
        finally:
            WALK.reset(token)
            for end in walk.at_end:
                end()
            walk.at_end.clear()
    if outer is None:
        for call in walk.after:
            call()
    if inputs is None:
        return []
    return [None if n is None else walk.found.get(n) for n in inputs]


__all__ = ["Autograd", "GradientError", "Walk", "add_to_grad", "pullback"]
