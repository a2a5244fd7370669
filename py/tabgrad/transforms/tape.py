"""The tape: what reverse mode remembers of each op, as an arena indexed by integers.

An entry keeps the payloads of what its rule reads, never Tensors of its own level, so it makes no reference
cycle; entries name each other by number and are counted by hand, so a chain of any length is dropped
without recursion.
"""

from __future__ import annotations

import weakref
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.families import ShapeOnly
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, wrap


class Node:
    """A handle on a tape entry; PyTorch's `grad_fn`."""

    __slots__ = ("__weakref__", "id")

    def __init__(self, id: int) -> None:
        self.id = id

    def __del__(self) -> None:
        TAPE.dropped.append(self.id)
        if not TAPE.busy:
            TAPE.collect()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.id == self.id

    def __hash__(self) -> int:
        return hash((Node, TAPE.serial[self.id]))

    def name(self) -> str:
        """Return the op's name, as in PyTorch: `MulBackward`."""
        return TAPE.name(self.id)

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that made the inputs, and which of their outputs each input was."""
        return tuple((TAPE.handle(i) if i else None, k) for i, k in TAPE.edges[self.id])

    def register_hook(self, fn: Any) -> Any:
        """Call `fn(grad_inputs, grad_outputs)` after this node has run; it may return new grad_inputs."""
        return add_hook(TAPE.hooks.setdefault(self.id, {}), "post", fn)

    def register_prehook(self, fn: Any) -> Any:
        """Call `fn(grad_outputs)` before this node runs; it may return new grad_outputs."""
        return add_hook(TAPE.hooks.setdefault(self.id, {}), "pre", fn)


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away; also a context manager."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self.hooks = hooks
        self.key = key

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self.hooks.pop(self.key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class _Keys:
    next = 0


def add_hook(table: dict[Any, Any], kind: Any, fn: Any) -> RemovableHandle:
    """Add `fn` to the ordered hooks `table[kind]`."""
    hooks = table.setdefault(kind, {})
    _Keys.next += 1
    hooks[_Keys.next] = fn
    return RemovableHandle(hooks, _Keys.next)


class Accumulate:
    """Stands as the op of a leaf's entry."""

    name = "accumulate_grad"


ACCUMULATE = Accumulate()
FREED = object()


class Tape:
    """The entries. For entry `i`: `rule[i]` (an Op, ACCUMULATE, or an object with `apply(cts)`), `params[i]`,
    `edges[i]` ((entry, output) of each input, (0, 0) where it needs no gradient), `saved[i]` (payloads),
    `facts[i]` ((owner, device, input specs, output specs)), `refs[i]`, `serial[i]`, `hooks[i]`."""

    def __init__(self) -> None:
        self.rule: list[Any] = [None]
        self.params: list[Any] = [None]
        self.edges: list[tuple[tuple[int, int], ...]] = [()]
        self.saved: list[Any] = [None]
        self.facts: list[Any] = [None]
        self.refs: list[int] = [1]
        self.serial: list[int] = [0]
        self.line: list[Any] = [None]
        self.hooks: dict[int, dict[Any, Any]] = {}
        self.free: list[int] = []
        self.dropped: list[int] = []
        self.busy = False
        self.count = 0

    def add(self, rule: Any, params: Any, edges: tuple[tuple[int, int], ...], saved: Any, facts: Any) -> int:
        """Add an entry and return its number; the caller owns one reference."""
        self.count += 1
        refs = self.refs
        for s, _ in edges:
            refs[s] += 1
        if self.free:
            i = self.free.pop()
            self.rule[i], self.params[i], self.edges[i] = rule, params, edges
            self.saved[i], self.facts[i], refs[i], self.serial[i] = saved, facts, 1, self.count
        else:
            i = len(refs)
            self.rule.append(rule)
            self.params.append(params)
            self.edges.append(edges)
            self.saved.append(saved)
            self.facts.append(facts)
            refs.append(1)
            self.serial.append(self.count)
            self.line.append(None)
        return i

    def handle(self, i: int) -> Node:
        """Return one more handle on entry `i`."""
        self.refs[i] += 1
        return Node(i)

    def collect(self) -> None:
        """Release what was dropped, and all that only it kept alive."""
        self.busy = True
        refs = self.refs
        dropped = self.dropped
        try:
            while dropped:
                stack = [dropped.pop()]
                while stack:
                    i = stack.pop()
                    refs[i] -= 1
                    if not refs[i]:
                        stack.extend([s for s, _ in self.edges[i] if s])
                        self._erase(i)
        finally:
            self.busy = False

    def _erase(self, i: int) -> None:
        self.rule[i] = None
        self.params[i] = None
        self.edges[i] = ()
        self.saved[i] = None
        self.facts[i] = None
        self.line[i] = None
        self.serial[i] = 0
        self.hooks.pop(i, None)
        self.free.append(i)

    def name(self, i: int) -> str:
        """Return a name like PyTorch's for entry `i`."""
        rule = self.rule[i]
        if rule is ACCUMULATE:
            return "AccumulateGrad"
        return "".join(part.capitalize() for part in rule.name.split("_")) + "Backward"

    def live(self) -> int:
        """Return how many entries there are."""
        return len(self.refs) - 1 - len(self.free)


TAPE = Tape()


def edge(x: Any, owner: Any) -> tuple[int, int]:
    """Return the (entry, output) that gradients of `x` flow to, (0, 0) where none do."""
    if not x.tracked or x.owner is not owner:
        return (0, 0)
    node = x.node
    if node is None:
        node = leaf_node(x)
    return (node.id, x.index)


def leaf_node(x: Any) -> Node:
    """Return the entry that adds to the `.grad` of the leaf `x`, made when first asked for."""
    if x.node is None:
        facts = (x.owner, x.device, (), (x.spec,))
        x.node = Node(TAPE.add(ACCUMULATE, None, (), weakref.ref(x), facts))
        x.index = 0
    node: Node = x.node
    return node


def is_leaf(x: Any) -> bool:
    """Whether no recorded op made `x`."""
    return x.node is None or TAPE.rule[x.node.id] is ACCUMULATE


def record(op: Any, params: Params, args: tuple[Any, ...], y: Any, owner: Any) -> None:
    """Put the application of `op` on the tape and tie `y` to it."""
    edges = tuple([edge(a, owner) for a in args])
    needs = tuple([e[0] > 0 for e in edges])
    if True not in needs:
        return
    keep, keep_y = op.saves(needs)
    pack = MODE.get().extras.get("saved_tensors")
    saved = tuple([_save(a, owner, pack) if k else None for a, k in zip(args, keep, strict=True)])
    out = _save(y, owner, pack) if keep_y else None
    facts = (owner, y.device, tuple([a.spec for a in args]), (y.spec,))
    i = TAPE.add(op, params, edges, (saved, out), facts)
    mode = MODE.get()
    if "anomaly" in mode.extras:
        TAPE.line[i] = mode.extras["anomaly"]()
    y.node = Node(i)
    y.index = 0
    y.tracked = True


class Packed:
    """A saved tensor that went through a user's pack hook."""

    __slots__ = ("unpack", "value")

    def __init__(self, value: Any, unpack: Any) -> None:
        self.value = value
        self.unpack = unpack


def _save(x: Any, owner: Any, pack: Any) -> Any:
    if pack is not None and x.owner is owner:
        pack_hook, unpack_hook = pack
        plain = wrap(x.value, x.spec, x.device, owner)
        with_pack = MODE.get()
        token = MODE.set(with_pack.extra("saved_tensors", None).replace(grad=False))
        try:
            return Packed(pack_hook(plain), unpack_hook)
        finally:
            MODE.reset(token)
    return x.value if x.owner is owner else x


def _load(payload: Any, spec: Any, device: Any, owner: Any, lowered: bool) -> Any:
    if isinstance(payload, Packed):
        x = payload.unpack(payload.value)
        return x.value if lowered else wrap(x.value, x.spec, x.device, owner)
    if lowered and owner is not None:
        return payload
    return wrap(payload, spec, device, owner)


def unpack(i: int, lowered: bool, graph: bool) -> tuple[list[Any], Any]:
    """Return the saved inputs and output of entry `i` as Tensors.

    Under an autograd level, `lowered` gives the values below the level; `graph` ties the tensors to the
    entries that made them, so that the rule itself can be differentiated.
    """
    saved = TAPE.saved[i]
    if saved is FREED:
        raise GradientError(
            f"backward: the graph of {TAPE.name(i)} was freed by an earlier backward; "
            "call that one with retain_graph=True to go through the graph again"
        )
    owner, device, in_specs, out_specs = TAPE.facts[i]
    inputs: list[Any] = []
    for payload, spec, (source, k) in zip(saved[0], in_specs, TAPE.edges[i], strict=True):
        if payload is None:
            inputs.append(ShapeOnly(spec, device))
            continue
        x = _load(payload, spec, device, owner, lowered)
        if graph and source and not lowered:
            x.node, x.index, x.tracked = TAPE.handle(source), k, True
        inputs.append(x)
    y = None
    if saved[1] is not None:
        y = _load(saved[1], out_specs[0], device, owner, lowered)
        if graph and not lowered:
            y.node, y.index, y.tracked = TAPE.handle(i), 0, True
    return inputs, y
