"""The tape: what reverse mode remembers of each op.

Every recorded op has one Node. It keeps the payloads of what its rule reads, never Tensors of its own level,
so recording makes no reference cycle. Nodes name the nodes of their inputs; a cycle that a user's hook or
Function closes is seen by Python's collector. A chain of any length is dropped without recursion: a node
that dies hands its contents to a work list, which one loop empties.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core.dtype import FLOAT
from tabgrad.core.errors import GradientError
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, ShapeOnly
from tabgrad.core.trace import MODE, Box, Mode, using, wrap
from tabgrad.transforms.keeping import (
    ALL,
    CAST,
    FIRST,
    INFERENCE,
    NO_GRADIENT,
    NOTHING,
    SECOND,
    Marker,
    plan_for,
)  # fmt: skip


class Emptying:
    """The work list of dead nodes' contents; `idle` while nobody empties it."""

    def __init__(self) -> None:
        self.work: list[Any] = []
        self.idle = True


EMPTYING = Emptying()


class Node:
    """One recorded op, or one leaf; PyTorch's `grad_fn`.

    `entry` is (rule, params, edges, kept, out, specs, spec, owner, device): an Op, ACCUMULATE, OUTPUT or an
    object with `apply`; its parameters; the Node of each input, None where it needs no gradient; the
    payloads of the inputs and of the output that the rule reads; the Specs of inputs and output; the level.
    `id` grows with time, so an input's is always smaller. `notes` holds hooks and the like, None at first.
    """

    __slots__ = ("__weakref__", "entry", "id", "notes")

    entry: Any
    id: int
    notes: dict[str, Any] | None

    def __del__(self, work: list[Any] = EMPTYING.work, state: Emptying = EMPTYING) -> None:
        if not state.idle:
            work.append(self.entry)
            if self.notes is not None:
                work.append(self.notes)
            return
        state.idle = False
        try:
            self.entry = self.notes = None
            while work:
                work.pop()
        except IndexError:  # another thread took the last one
            pass
        finally:
            state.idle = True

    def name(self) -> str:
        """Return the op's name, as in PyTorch: `MulBackward0`."""
        rule = self.entry[0]
        if rule is ACCUMULATE:
            return "AccumulateGrad"
        if rule is OUTPUT:
            return str(self.entry[2][0].name())
        if hasattr(rule, "node_name"):
            return str(rule.node_name)
        words = rule.name.removeprefix("reduce_").split("_")
        return "".join(word.capitalize() for word in words) + "Backward0"

    def __getattr__(self, name: str) -> Any:
        """Return what a Function set on its ctx or saved, or by PyTorch's names what an op has saved."""
        if name in Node.__slots__:
            raise AttributeError(name)
        rule = self.entry[0]
        if hasattr(rule, "attribute"):
            return rule.attribute(self, name)
        found = _saved(self, name) if isinstance(rule, Op) and name in _SAVED else None
        if found is None:
            raise AttributeError(f"{self.name()} has no attribute {name!r}")
        return found

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that made the inputs, and which of their outputs each input was."""
        found: list[tuple[Node | None, int]] = []
        for e in self.entry[2]:
            found.append((None, 0) if e is None else output_of(e))
        return tuple(found)

    @property
    def variable(self) -> Any:
        """The leaf whose `.grad` this node adds to; None if it is gone, AttributeError for other nodes."""
        if self.entry[0] is not ACCUMULATE:
            raise AttributeError(f"{self.name()} has no variable; only AccumulateGrad has")
        return self.entry[3]()

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for users to write what they like in."""
        found: dict[Any, Any] = notes_of(self).setdefault("metadata", {})
        return found

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call `fn(grad_inputs, grad_outputs)` after this node has run; it may return new grad_inputs."""
        return add_hook(self, "post", fn)

    def register_prehook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call `fn(grad_outputs)` before this node runs; it may return new grad_outputs."""
        return add_hook(self, "pre", fn)


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away; also a context manager."""

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
    """Return what gives the hooks: a weak reference where they can have one."""
    return weakref.ref(hooks) if isinstance(hooks, Hooks) else lambda: hooks


_KEYS = itertools.count()


def notes_of(node: Node) -> dict[str, Any]:
    """Return the notes of `node`, made when first asked for."""
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
"""The rule of one output of a node that has several; its `params` is which one."""
FREED: Any = Marker("freed")
"""Stands as the payloads that an earlier backward let go of."""

_new = object.__new__
_next = itertools.count(1).__next__


def new_node(entry: tuple[Any, ...]) -> Node:
    """Return a new Node."""
    node = _new(Node)
    node.id = _next()
    node.entry = entry
    node.notes = None
    return node


def leaf_node(x: Any) -> Node:
    """Return the node that adds to the `.grad` of the leaf `x`, made when first asked for."""
    if x.node is None:
        x.node = new_node(
            (ACCUMULATE, None, (), weakref.ref(x), None, (), x.spec, x.owner, x.device)
        )
    node: Node = x.node
    return node


def edge(x: Any, owner: Any) -> Node | None:
    """Return the node that gradients of `x` flow to, None where none do."""
    if not x.tracked or x.owner is not owner:
        return None
    return x.node or leaf_node(x)


def is_leaf(x: Any) -> bool:
    """Whether no recorded op made `x`."""
    return x.node is None or x.node.entry[0] is ACCUMULATE


def grad_fn(x: Any) -> Node | None:
    """Return the node of the op that made `x`, None for a leaf."""
    node: Node | None = x.node
    if node is None or not x.tracked:
        return None
    return None if node.entry[0] is ACCUMULATE else output_of(node)[0]


def output_of(node: Node) -> tuple[Node, int]:
    """Return the node of the op and which of its outputs `node` stands for."""
    rule, k, edges = node.entry[:3]
    return (edges[0], k) if rule is OUTPUT else (node, 0)


def record(
    op: Any, params: Params, args: tuple[Any, ...], values: tuple[Any, ...], specs: tuple[Any, ...],
    y: Any, owner: Any, mode: Mode,
) -> None:  # fmt: skip
    """Put the application of `op` on the tape and tie `y` to it, if any of `args` wants gradients.

    `values` are the payloads of `args` below the level `owner`, None being the base, `specs` their Specs.
    """
    # This runs for each op of each training step, hence the cases by hand; the code is a key of what to keep.
    code: Any
    edges: tuple[Node | None, ...]
    if len(args) == 2:
        a, b = args
        left = right = None
        code = 0
        if a.tracked and a.owner is owner:
            left = a.node or leaf_node(a)
            code = 1
        elif a.born & 1:
            code = INFERENCE
        if b.tracked and b.owner is owner:
            right = b.node or leaf_node(b)
            code += 2
        elif b.born & 1:
            code += INFERENCE
        if not code & 3:
            return
        edges = (left, right)
    elif len(args) == 1:
        (a,) = args
        if not a.tracked or a.owner is not owner:
            return
        edges = (a.node or leaf_node(a),)
        code = 4
    else:
        edges = tuple([edge(a, owner) for a in args])
        code = tuple(
            [True if e is not None else -(a.born & 1) for e, a in zip(edges, args, strict=True)]
        )
        if True not in code:
            return
    keep, keep_out = op.plans.get(code) or plan_for(op, code)
    if keep is ALL:
        kept: Any = values
    elif keep is NOTHING:
        kept = None
    elif keep is FIRST:
        kept = (values[0], None)
    elif keep is SECOND:
        kept = (None, values[1])
    elif keep is CAST:
        if y.spec.dtype.category < FLOAT:
            return
        kept = None
    elif keep is NO_GRADIENT:
        return
    else:
        kept = tuple([v if k else None for v, k in zip(values, keep, strict=True)])
    if owner is not None and kept is not None:
        kept = tuple([_unshared(k, a, owner) for k, a in zip(kept, args, strict=True)])
    out: Any = y.value if keep_out else None
    if owner is not None and keep_out and owner.rewrites:
        out = parts_of(out)
    extras = mode.extras
    if extras:
        packing = extras.get("saved_tensors")
        if packing is not None:
            kept, out = pack(packing, kept, out, specs, y, owner)
    y.node = node = _new(Node)
    node.id = _next()
    node.entry = (op, params, edges, kept, out, specs, y.spec, owner, y.device)
    node.notes = None
    y.tracked = True
    if extras and "anomaly" in extras:
        notes_of(node)["line"] = extras["anomaly"].line()


def frozen(x: Any) -> Any:
    """Return a tensor of the present value and history of `x`, which later writes to `x` don't reach.

    Whoever keeps a tensor that a user can hold asks for this: what is written in place changes the tensor.
    """
    if x.alias is not None:
        x.alias.refresh(x)
    value = x.value if x.owner is None or not x.owner.rewrites else parts_of(x.value)
    y = wrap(value, x.spec, x.device, x.owner)
    if x.tracked:
        y.tracked, y.node = True, x.node or leaf_node(x)
    return y


def parts_of(payload: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the parts of a payload that can be written to, as tensors that later writes don't reach."""
    return tuple([None if part is None else frozen(part) for part in payload])


def _unshared(kept: Any, x: Any, owner: Any) -> Any:
    """Return what a level keeps of `x`; where `x` is of a level below, that is not `x` itself."""
    if kept is None:
        return None
    if x.owner is owner:
        return parts_of(kept) if owner.rewrites else kept
    # forward mode keeps (primal, tangent)
    return (frozen(x), None) if kept.__class__ is tuple else frozen(x)


class Packed:
    """A saved tensor that went through a user's pack hook."""

    __slots__ = ("unpack", "value")

    def __init__(self, value: Any, unpack: Any) -> None:
        self.value = value
        self.unpack = unpack


def pack(packing: Any, kept: Any, out: Any, specs: Any, y: Any, owner: Any) -> tuple[Any, Any]:
    """Return what is kept, each differentiable payload given to the user's pack hook."""
    pack_hook, unpack_hook = packing

    def one(payload: Any, spec: Any) -> Any:
        if payload is None or spec.dtype.category < FLOAT:
            return payload
        return Packed(pack_hook(wrap(payload, spec, y.device, owner)), unpack_hook)

    mode = MODE.get()
    with using(mode.extra("saved_tensors", None).replace(grad=False)):
        if kept is not None:
            kept = tuple([one(v, s) for v, s in zip(kept, specs, strict=True)])
        return kept, one(out, y.spec)


def load(payload: Any, spec: Any, device: Any, owner: Any, lowered: bool) -> Any:
    """Return a saved payload as a Tensor of the level `owner`, or of the one below where `lowered`."""
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
    """Return the saved inputs and output of `node` as Tensors.

    `lowered` gives the values below an autograd level; `graph` ties the tensors to the nodes that made
    them, so that the rule itself can be differentiated.
    """
    _, _, edges, kept, out, specs, spec, owner, device = node.entry
    if kept is FREED:
        raise freed_error(node)
    if kept is None:
        inputs = [ShapeOnly(s, device) for s in specs]
    else:
        inputs = []
        for payload, its, source in zip(kept, specs, edges, strict=True):
            if payload is None:
                inputs.append(ShapeOnly(its, device))
                continue
            x = load(payload, its, device, owner, lowered)
            if graph and source is not None:
                x.node, x.tracked = source, True
            inputs.append(x)
    y = None
    if out is not None:
        y = load(out, spec, device, owner, lowered)
        if graph:
            y.node, y.tracked = node, True
    return inputs, y


_SAVED = {"_saved_self": 0, "_saved_other": 1, "_saved_result": -1}
"""PyTorch's names of what an op keeps: which input, -1 for the output."""


def _saved(node: Node, name: str) -> Any:
    """Return the input or output that the op of `node` keeps, tied to its own node; None if it is not kept."""
    if node.entry[3] is FREED:
        raise freed_error(node)
    inputs, y = unpack(node, False, True)
    k = _SAVED[name]
    found = y if k < 0 else inputs[k] if k < len(inputs) else None
    return found if isinstance(found, Box) else None


def record_call(
    rule: Any, args: Sequence[Any], outputs: Sequence[Any], owner: Any, kept: Any = None,
    tied: Sequence[bool] | None = None,
) -> Node | None:  # fmt: skip
    """Put a call with any number of outputs on the tape and tie the tensors among them to it.

    `rule.apply(node, cts, needs, lowered, graph)` gives the cotangents of `args` for the list of those of
    `outputs`, None where there is none; `rule.node_name` names it. `kept` is freed by a backward that doesn't
    retain the graph. `tied` says which outputs carry gradients; those of other dtypes never do. Returns
    None where no argument wants gradients.
    """
    edges = tuple([edge(a, owner) if isinstance(a, Box) else None for a in args])
    if all(e is None for e in edges):
        return None
    specs = tuple([a.spec if isinstance(a, Box) else None for a in args])
    found = [y if isinstance(y, Box) else None for y in outputs]
    device = next(x.device for x in (*found, *args) if isinstance(x, Box))
    out_specs = tuple([None if y is None else y.spec for y in found])
    node = new_node((rule, None, edges, kept, None, specs, out_specs, owner, device))
    ports: list[Any] = []
    for k, y in enumerate(found):
        ports.append(lambda: None)
        if y is None or y.spec.dtype.category < FLOAT or (tied is not None and not tied[k]):
            continue
        port = new_node((OUTPUT, k, (node,), None, None, (), y.spec, owner, y.device))
        before = y.node
        y.node, y.tracked = port, True
        moved(y, before)
        ports[k] = weakref.ref(port)
    notes = notes_of(node)
    notes["outputs"] = ports
    anomaly = MODE.get().extras.get("anomaly")
    if anomaly is not None:
        notes["line"] = anomaly.line()
    return node


def moved(x: Any, before: Node | None) -> None:
    """Tell that `x` was changed in place, `before` being its node until then: what it retains goes along."""
    if before is not None and before.notes is not None and x.node is not None:
        retain = before.notes.pop("retain", None)
        if retain is not None:
            notes_of(x.node)["retain"] = retain


def free(node: Node) -> None:
    """Let go of what `node` keeps, if anything; its edges stay."""
    rule, params, edges, kept, out, specs, spec, owner, device = node.entry
    if kept is not None or out is not None:
        node.entry = (rule, params, edges, FREED, None, specs, spec, owner, device)


def freed_error(node: Node) -> GradientError:
    """Return the error of a second walk through `node`."""
    return GradientError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have "
        f"already been freed): what {node.name()} had saved was freed by an earlier backward. Specify "
        "retain_graph=True there to go through the graph again"
    )
