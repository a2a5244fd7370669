"""Nodes of the tape: each is the record of one op for reverse mode.

A node keeps the payloads that its rule reads, never Tensors of its own level, so recording makes no reference
cycle. Nodes name the nodes of their inputs; a cycle that a user's hook or Function closes is seen by Python's
collector. A chain of any length is dropped without recursion: a node that dies hands its contents to a work
list, which one loop empties.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.op import Op
from tabgrad.core.spec import ShapeOnly, Spec
from tabgrad.core.trace import Box, Interpreter, wrap


class Marker:
    """The rule of a node that no op made, and other marks."""

    def __init__(self, name: str) -> None:
        self.name = name


class Emptying:
    """The work list of dead nodes' contents; `idle` while nobody empties it."""

    def __init__(self) -> None:
        self.work: list[Any] = []
        self.idle = True


EMPTYING = Emptying()


class Node:
    """One recorded op, or one leaf; PyTorch's `grad_fn`."""

    __slots__ = (
        "__weakref__", "edges", "id", "in_specs", "kept", "kept_out", "notes", "op_params", "out_device",
        "out_spec", "owner", "rule",
    )  # fmt: skip

    id: int
    """Grows with time, so an input's is always smaller."""
    rule: Any
    """An Op, ACCUMULATE, OUTPUT, or an object with an `apply` method."""
    op_params: Any
    """The parameters of an Op; the number of the output for OUTPUT."""
    edges: Any
    """The node of each input, None where it needs no gradient."""
    kept: Any
    """The payloads of the inputs that an Op's rule reads (None for none), or what another rule keeps."""
    kept_out: Any
    """The payload of the output, if the rule reads it."""
    in_specs: tuple[Any, ...]
    """The Specs of the inputs, None for one that is not a tensor."""
    out_spec: Any
    """The Spec of the output, or a tuple of the Specs of several outputs."""
    owner: Any
    """The level that recorded it, None being the base."""
    out_device: Any
    notes: dict[str, Any] | None
    """Hooks and the like, None at first."""

    def __del__(self, work: list[Any] = EMPTYING.work, state: Emptying = EMPTYING) -> None:
        if not state.idle:
            work.append((self.rule, self.edges, self.kept, self.kept_out, self.notes))
            return
        state.idle = False
        try:
            self.rule = self.edges = self.kept = self.kept_out = self.notes = None
            while work:
                work.pop()
        except IndexError:  # another thread took the last one
            pass
        finally:
            state.idle = True

    def name(self) -> str:
        """The op's name, as in PyTorch: `MulBackward0`."""
        rule = self.rule
        if rule is ACCUMULATE:
            return "AccumulateGrad"
        if rule is OUTPUT:
            return str(self.edges[0].name())
        if hasattr(rule, "node_name"):
            return str(rule.node_name)
        words = rule.name.removeprefix("reduce_").split("_")
        return "".join(word.capitalize() for word in words) + "Backward0"

    # No __getattr__ here: it would slow down reading each slot.
    @property
    def _saved_self(self) -> Any:
        return _saved(self, "_saved_self")

    @property
    def _saved_other(self) -> Any:
        return _saved(self, "_saved_other")

    @property
    def _saved_result(self) -> Any:
        return _saved(self, "_saved_result")

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors that a Function saved; AttributeError for other nodes."""
        raise AttributeError(f"{self.name()} has no attribute 'saved_tensors'; a Function's has")

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The node that made each input, and the number of its output that the input was."""
        found: list[tuple[Node | None, int]] = []
        for e in self.edges:
            made, k = (None, 0) if e is None else output_of(e)
            found.append((None if made is None else shown(made), k))
        return tuple(found)

    @property
    def variable(self) -> Any:
        """The leaf whose `.grad` this node adds to; None if it is gone, AttributeError for other nodes."""
        if self.rule is not ACCUMULATE:
            raise AttributeError(f"{self.name()} has no variable; only AccumulateGrad has")
        return self.kept()

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own notes."""
        found: dict[Any, Any] = notes_of(self).setdefault("metadata", {})
        return found

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call `fn(grad_inputs, grad_outputs)` after this node has run; it may return new grad_inputs."""
        return add_hook(self, "post", fn)

    def register_prehook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call `fn(grad_outputs)` before this node runs; it may return new grad_outputs."""
        return add_hook(self, "pre", fn)


class FunctionNode(Node):
    """The node of a Function, which also has the attributes that were set on its ctx."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name in Node.__slots__:
            raise AttributeError(name)
        return self.rule.attribute(self, name)


class RemovableHandle:
    """The handle of a hook: `remove()` takes the hook away; also a context manager."""

    def __init__(self, hooks: dict[int, Any]) -> None:
        self._hooks = _reference(hooks)
        self.id = next(_KEYS)

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def __getstate__(self) -> Any:
        return self._hooks(), self.id

    def __setstate__(self, state: Any) -> None:
        hooks, self.id = state
        self._hooks = _reference(Hooks() if hooks is None else hooks)


class Hooks(dict[int, Any]):
    """Hooks of one kind in the order they were registered."""

    __slots__ = ("__weakref__",)


def _reference(hooks: dict[int, Any]) -> Callable[[], Any]:
    """Refer to the hooks weakly, if their class allows it."""
    return weakref.ref(hooks) if isinstance(hooks, Hooks) else lambda: hooks


_KEYS = itertools.count()


def notes_of(node: Node) -> dict[str, Any]:
    """Get the notes of `node`, made on first use."""
    if node.notes is None:
        node.notes = {}
    return node.notes


def add_hook(node: Node, kind: str, fn: Callable[..., Any]) -> RemovableHandle:
    """Add `fn` to the hooks of `node`.

    Kinds, in the order they run: "tensor" (on the gradient of the output), "retain" (the same, always
    last), "pre", "post", and "accumulated" for leaves.
    """
    hooks = notes_of(node).setdefault(kind, Hooks())
    handle = RemovableHandle(hooks)
    hooks[handle.id] = fn
    return handle


ACCUMULATE = Marker("accumulate_grad")
"""The rule of a leaf."""
OUTPUT = Marker("output")
"""The rule of one output of a node that has several; `op_params` is its number."""
FREED: Any = Marker("freed")
"""The mark of payloads that an earlier backward freed."""

_new = object.__new__
next_id = itertools.count(1).__next__


def new_node(
    rule: Any, edges: tuple[Node | None, ...], spec: Any, owner: Interpreter | None, device: Any,
    *, op_params: Any = None, kept: Any = None, in_specs: tuple[Any, ...] = (),
) -> Node:  # fmt: skip
    """Make the node of an output with this `spec`, on `device`, at the level `owner`."""
    node = _new(FunctionNode if hasattr(rule, "attribute") else Node)
    node.id = next_id()
    node.rule, node.op_params, node.edges, node.in_specs = rule, op_params, edges, in_specs
    node.kept, node.kept_out = kept, None
    node.out_spec, node.owner, node.out_device = spec, owner, device
    node.notes = None
    return node


def leaf_node(x: Box) -> Node:
    """Get the node that adds to the `.grad` of the leaf `x`, made on first use."""
    if x.node is None:
        x.node = new_node(ACCUMULATE, (), x.spec, x.owner, x.device, kept=weakref.ref(x))
    node: Node = x.node
    return node


def edge(x: Box, owner: Interpreter | None) -> Node | None:
    """Find the node that gradients of `x` flow to, None if there is none."""
    if not x.tracked or x.owner is not owner:
        return None
    return x.node or leaf_node(x)


def is_leaf(x: Box) -> bool:
    """Test whether no recorded op made `x`."""
    return x.node is None or x.node.rule is ACCUMULATE


def grad_fn(x: Box) -> Node | None:
    """Find the node of the op that made `x`, None for a leaf."""
    node: Node | None = x.node
    if node is None or not x.tracked:
        return None
    return None if node.rule is ACCUMULATE else shown(output_of(node)[0])


_HOOKS = frozenset(("tensor", "pre", "post", "accumulated"))


def may_look(node: Node) -> bool:
    """Test whether functions of the user's run with `node`, which may look at the `.grad` of leaves."""
    hooked = node.notes is not None and not _HOOKS.isdisjoint(node.notes)
    return hooked or hasattr(node.rule, "attribute")


_SHOWN: dict[tuple[type, str], type] = {}


def shown(node: Node) -> Node:
    """Give a node that users see a class of its op's name, by which programs tell nodes apart."""
    kind, name = type(node), node.name()
    if kind.__name__ != name:
        found = _SHOWN.get((kind, name))
        if found is None:
            body = {"__slots__": (), "__module__": kind.__module__}
            found = _SHOWN.setdefault((kind, name), type(name, (kind,), body))
        node.__class__ = found
    return node


def output_of(node: Node) -> tuple[Node, int]:
    """Find the node of the op, and the number of its output that `node` stands for."""
    return (node.edges[0], node.op_params) if node.rule is OUTPUT else (node, 0)


def port_of(node: Node, k: int) -> Node:
    """Get the node of output `k` of `node`, which has several: a new one if no tensor holds it any more."""
    assert node.notes is not None
    found: Node | None = node.notes["outputs"][k]()
    if found is None:
        found = new_node(
            OUTPUT, (node,), node.out_spec[k], node.owner, node.out_device, op_params=k
        )
        node.notes["outputs"][k] = weakref.ref(found)
    return found


def free(node: Node) -> None:
    """Free the payloads that `node` keeps; its edges stay."""
    if node.kept is not None or node.kept_out is not None:
        node.kept, node.kept_out = FREED, None


def freed_error(node: Node) -> GradientError:
    """Make the error of a second walk through `node`."""
    return GradientError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have "
        f"already been freed): what {node.name()} had saved was freed by an earlier backward. Specify "
        "retain_graph=True there to go through the graph again"
    )


class Packed:
    """A saved tensor that went through a user's pack hook."""

    __slots__ = ("unpack", "value")

    def __init__(self, value: Any, unpack: Any) -> None:
        self.value = value
        self.unpack = unpack


def load(payload: Any, spec: Spec, device: Any, owner: Interpreter | None, lowered: bool) -> Any:
    """Load a saved payload as a Tensor of the level `owner`, or of the one below where `lowered`."""
    if type(payload) is Packed:
        x = payload.unpack(payload.value)
        if x.spec is not spec:
            raise GradientError(
                f"saved_tensors_hooks: the unpack hook must give back {spec}, it returned {x.spec}"
            )
        payload = x.value if x.owner is owner else x
    if lowered:
        return payload
    return wrap(payload, spec, device, owner)


def unpack(node: Node, lowered: bool, graph: bool) -> tuple[list[Any], Any]:
    """Load the saved inputs and output of `node` as Tensors.

    `lowered` gives the values below an autograd level; `graph` ties the tensors to the nodes that made
    them, so that the rule itself can be differentiated.
    """
    kept, out, owner, device = node.kept, node.kept_out, node.owner, node.out_device
    if kept is FREED:
        raise freed_error(node)
    if kept is None:
        inputs = [ShapeOnly(s, device) for s in node.in_specs]
    else:
        inputs = []
        for payload, its, source in zip(kept, node.in_specs, node.edges, strict=True):
            if payload is None:
                inputs.append(ShapeOnly(its, device))
                continue
            x = load(payload, its, device, owner, lowered)
            if graph and source is not None:
                x.node, x.tracked = source, True
            inputs.append(x)
    y = None
    if out is not None:
        y = load(out, node.out_spec, device, owner, lowered)
        if graph:
            y.node, y.tracked = node, True
    return inputs, y


_SAVED = {"_saved_self": 0, "_saved_other": 1, "_saved_result": -1}
"""PyTorch's names of saved tensors: the number of the input, -1 for the output."""


def _saved(node: Node, name: str) -> Any:
    """Load an input or output that the op of `node` keeps, tied to its own node."""
    found = None
    if isinstance(node.rule, Op):
        inputs, y = unpack(node, False, True)
        k = _SAVED[name]
        found = y if k < 0 else inputs[k] if k < len(inputs) else None
    if not isinstance(found, Box):
        raise AttributeError(f"{node.name()} has no attribute {name!r}")
    return found
