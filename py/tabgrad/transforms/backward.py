"""`Tensor.backward`, `autograd.backward` and `autograd.grad`: checks, the walk, and handing out gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, ValuesView
from typing import Any, NamedTuple

from tabgrad.core import tree
from tabgrad.core.errors import GradientError, TransformError, warn
from tabgrad.core.op import REGISTRY
from tabgrad.core.shape import Size
from tabgrad.core.spec import Spec
from tabgrad.core.trace import MODE, Box, check_alive, filled, wrap, zeros_like
from tabgrad.transforms.autograd import Walk, pullback
from tabgrad.transforms.node import Node, edge, output_of
from tabgrad.transforms.vmap import Batch


class GradientEdge(NamedTuple):
    """A place in the graph: output `output_nr` of `node`. Stands for the tensor that was made there."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Box) -> GradientEdge:
    """Find the place in the graph that `tensor` comes from, which outlives the tensor."""
    node = _node_of(tensor)
    if node is None:
        raise GradientError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    return GradientEdge(*output_of(node))


def _node_of(x: Any) -> Node | None:
    if isinstance(x, GradientEdge):
        outputs = (x.node.notes or {}).get("outputs")
        return outputs[x.output_nr]() if outputs else x.node
    if x._parts is not None:
        x = x._parts.values
    if x.alias is not None:
        x.alias.refresh(x)
    return edge(x, x.owner)


def _listed(value: Any) -> Any:
    """Make a list of an iterator, which can be read only once, and of a dict's values."""
    return list(value) if isinstance(value, Iterator | ValuesView) else value


def _leaves(name: str, what: str, value: Any) -> tuple[list[Any], Any]:
    """Split `value` into its tensors and edges, and the structure of the results."""
    value = _listed(value)
    if isinstance(value, Box | GradientEdge):
        return [value], None
    if isinstance(value, tuple | list) and all(isinstance(x, Box | GradientEdge) for x in value):
        return list(value), None
    found, structure = tree.flatten(value)
    for x in found:
        if not isinstance(x, Box):
            raise TypeError(f"{name}: expected {what} to hold only tensors, got {type(x).__name__}")
    return found, structure


def _outputs(name: str, value: Any) -> tuple[list[Any], list[Node]]:
    outputs, _ = _leaves(name, "the outputs", value)
    mode = MODE.get()
    nodes = []
    for i, x in enumerate(outputs):
        if isinstance(x, Box) and x.owner is not None:
            check_alive(x, mode, name)
        node = _node_of(x)
        if node is None:
            raise GradientError(
                f"element {i} of tensors does not require grad and does not have a grad_fn ({name}); set "
                "requires_grad=True on what it is computed from, and compute it outside no_grad()"
            )
        nodes.append(node)
    return outputs, nodes


def _cotangents(name: str, outputs: list[Any], nodes: list[Node], given: Any) -> list[Any]:
    given = _listed(given)
    if given is None:
        given = [None] * len(outputs)
    elif isinstance(given, Box):
        given = [given]
    else:
        given = list(given) if isinstance(given, tuple | list) else tree.leaves(given)
    if len(given) != len(outputs):
        raise GradientError(
            f"{name}: got {len(outputs)} tensors and {len(given)} gradients for them"
        )
    return [
        _cotangent(name, i, node.out_spec, ct, node.out_device)
        for i, (node, ct) in enumerate(zip(nodes, given, strict=True))
    ]


def _cotangent(name: str, i: int, spec: Spec, ct: Any, device: Any) -> Any:
    if ct is None:
        if spec.size != 1 or spec.dtype.is_complex:
            kind = "real" if spec.size == 1 else "scalar"
            raise GradientError(
                f"grad can be implicitly created only for {kind} outputs ({name}): tensor {i} is {spec}; "
                "give a gradient of its shape, or reduce the tensor first"
            )
        return filled(1.0, spec, device)
    if not isinstance(ct, Box):
        raise TypeError(
            f"{name}: expected a tensor or None as gradient {i}, got {type(ct).__name__}"
        )
    if ct.spec.shape != spec.shape:
        raise GradientError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {Size(ct.spec.shape)} and output[{i}] has a "
            f"shape of {Size(spec.shape)}. ({name})"
        )
    if ct.spec.dtype is not spec.dtype:
        if ct.spec.dtype.is_complex and not spec.dtype.is_complex:
            raise GradientError(
                f"{name}: gradient {i} is {ct.spec.dtype!r} but its tensor {spec.dtype!r}"
            )
        return REGISTRY["cast"].bind(ct, dtype=spec.dtype)
    return ct


def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    grad_variables: Any = None, inputs: Any = None,
) -> None:  # fmt: skip
    """Add the gradients of `tensors` to the `.grad` of the leaves, or of `inputs` only where given.

    `grad_tensors` are the cotangents, one for each of `tensors`; a scalar's may be left out. The graph is
    freed unless `retain_graph`; `create_graph` records the gradients' own graph. `grad_variables` is an older
    name of `grad_tensors`.
    """
    if grad_variables is not None:
        warn(
            "backward: `grad_variables` is deprecated; use `grad_tensors`",
            FutureWarning,
        )
        if grad_tensors is not None:
            raise GradientError(
                "backward: got both grad_tensors and grad_variables; give one of them"
            )
        grad_tensors = grad_variables
    if any(not level.walks for level in MODE.get().levels):
        raise TransformError(
            "backward: can't be called inside a function that is being transformed; "
            "use func.grad or func.vjp there"
        )
    outputs, nodes = _outputs("backward", tensors)
    cts = _cotangents("backward", outputs, nodes, grad_tensors)
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        pullback(nodes, cts, None, keep, create_graph)
        return
    wanted, _ = _leaves("backward", "the inputs", inputs)
    if not wanted:
        raise GradientError(
            "`inputs` argument to `backward()` cannot be empty; leave it out to mean all leaves"
        )
    targets = _input_nodes("backward", wanted)
    for x in wanted:
        if isinstance(x, Box):
            x.retain_grad()  # type: ignore[attr-defined]
    pullback(nodes, cts, targets, keep, create_graph, add=True)


def _input_nodes(name: str, inputs: Sequence[Any]) -> list[Node]:
    nodes = []
    for i, x in enumerate(inputs):
        node = _node_of(x)
        if node is None:
            raise GradientError(
                f"One of the differentiated Tensors does not require grad ({name}: input {i}); call "
                "requires_grad_() on it before computing with it"
            )
        nodes.append(node)
    return nodes


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
    create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
    is_grads_batched: bool = False, materialize_grads: bool = False,
) -> Any:  # fmt: skip
    """Compute the gradients of `outputs` with respect to `inputs`, and leave every `.grad` alone.

    The result is a tuple with one tensor for each input; a dict or another tree keeps its structure. An input
    that the outputs don't depend on raises, is None with `allow_unused`, zeros with `materialize_grads`.
    With `is_grads_batched` the `grad_outputs` have one more axis in front, and so have the results: one
    vector-Jacobian product for each entry, computed at once. `only_inputs` is accepted for PyTorch's sake.

    >>> import tabgrad as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> tg.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    if not only_inputs:
        warn(
            "grad: `only_inputs` is deprecated and does nothing; `backward` adds to the `.grad` of leaves",
            FutureWarning,
        )
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "grad: materialize_grads=True fills unused inputs with zeros, so allow_unused can't be False"
        )
    wanted, structure = _leaves("grad", "the inputs", inputs)
    if not wanted:
        raise GradientError("`inputs` argument to `grad()` cannot be empty")
    if materialize_grads and any(isinstance(x, GradientEdge) for x in wanted):
        raise GradientError(
            "materialize_grads cannot be used when the given input is a GradientEdge: its shape is not known"
        )
    outs, nodes = _outputs("grad", outputs)
    targets = _input_nodes("grad", wanted)
    keep = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        found = _batched(outs, nodes, targets, grad_outputs, keep, create_graph)
    else:
        cts = _cotangents("grad", outs, nodes, grad_outputs)
        found = pullback(nodes, cts, targets, keep, create_graph)
    unused = bool(allow_unused) or materialize_grads
    results = [
        _result(i, x, g, unused, materialize_grads)
        for i, (x, g) in enumerate(zip(wanted, found, strict=True))
    ]
    if not create_graph:
        results = [_untied(g) for g in results]
    return tuple(results) if structure is None else tree.unflatten(structure, results)


def _result(i: int, x: Box, g: Box | None, unused: bool, materialize: bool) -> Any:
    if g is None and not unused:
        raise GradientError(
            f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior, materialize_grads=True to get zeros for it"
        )
    if isinstance(x, Box) and x._parts is not None and g is not None:
        return x.around(g)  # type: ignore[attr-defined]
    return zeros_like(x) if g is None and materialize else g


def _untied(g: Box | None) -> Any:
    """Detach a cotangent from its graph: one that came through unchanged is the caller's own tensor."""
    if g is None or not g.tracked:
        return g
    if g.alias is not None:
        g.alias.refresh(g)
    if g._parts is not None:
        return g.detach()  # type: ignore[attr-defined]
    return wrap(g.value, g.spec, g.device, g.owner)


def _batched(
    outs: list[Any], nodes: list[Node], targets: list[Node], given: Any, keep: bool, graph: bool
) -> list[Any]:
    if given is None:
        raise GradientError(
            "grad: is_grads_batched=True needs grad_outputs with a batch axis in front"
        )
    given = [given] if isinstance(given, Box) else list(given)
    sizes = {ct.spec.shape[0] for ct in given if ct is not None and ct.spec.shape}
    if len(sizes) != 1:
        raise GradientError(
            "grad: with is_grads_batched=True all grad_outputs need one batch size in front, "
            f"got {sorted(sizes)}"
        )
    level = Batch(sizes.pop(), "error")
    with level.inside():
        cts = _cotangents(
            "grad", outs, nodes, [None if ct is None else level.lift(ct, 0) for ct in given]
        )
        found = pullback(nodes, cts, targets, keep, graph)
    return [None if g is None else level.lower(g, 0) for g in found]


__all__ = ["GradientEdge", "Walk", "backward", "get_gradient_edge", "grad"]
