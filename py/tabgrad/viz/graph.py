"""Drawings of the autograd graph: which ops made a tensor, of which leaves."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import tabgrad as tg
from tabgrad.transforms.node import Node
from tabgrad.viz.drawing import Drawing, counted, save
from tabgrad.viz.layout import Place, placed
from tabgrad.viz.modules import Parts, Vertex, ancestors, called, collapsed, folded, paths_of

FEW = 4
"""Tensors of at most so many elements show them."""


class Graph(Drawing):
    """A drawing of what made some tensors; notebooks show it.

    `vertices` are the boxes, inputs before what is made of them, and `edges` pairs of their numbers. `svg()`
    and `dot()` (the language of Graphviz) return it as text; `save` writes it to a file that ends in either, or
    in .html. `paths` has for each box the calls of modules that it was made in; with those `collapsed(depth)`
    makes single boxes of modules, and HTML lets each open on demand.
    """

    title = "autograd graph"

    def __init__(
        self,
        vertices: list[Vertex],
        edges: list[tuple[int, int]],
        paths: Sequence[Any] | None = None,
        of_module: bool = False,
    ) -> None:
        self.vertices = vertices
        self.edges = edges
        self.of_module = of_module
        self.paths: list[Any] = [()] * len(vertices) if paths is None else list(paths)

    def __repr__(self) -> str:
        edges = counted(len(self.edges), "edge")
        return f"<graph of {counted(len(self.vertices), 'node')} and {edges}>"

    def html(self) -> str:
        """Return it as HTML; modules are boxes that open on demand."""
        if not any(self.paths):
            return self.svg()
        return folded(self._parts(), lambda parts: Graph(*parts).svg())

    def collapsed(self, depth: int = 1) -> Graph:
        """Return it with modules as single boxes: those inside the model that was called, for a depth of 1.

        A module without others inside stays as it is. Raises ValueError for a graph that was not made of a
        module's call: `graph(model, x)`.
        """
        if depth < 1 or not self.of_module:
            raise ValueError(
                "collapsed: expected a depth of 1 or more, and a graph made by graph(model, x)"
            )
        return Graph(*collapsed(self._parts(), depth), of_module=True)

    def _parts(self) -> Parts:
        return Parts(self.vertices, self.edges, self.paths)

    def dot(self) -> str:
        """Return it in the language of Graphviz."""
        shapes = {
            "op": "box",
            "leaf": "ellipse",
            "output": "doubleoctagon",
            "module": "box3d",
            "outside": "plain",
        }
        out = ["digraph {", "  node [fontname=monospace, fontsize=11]"]
        for i, v in enumerate(self.vertices):
            words = [w.replace("\\", "\\\\").replace('"', '\\"') for w in (v.title, *v.lines)]
            label = "\\n".join(words)
            out.append(f'  n{i} [label="{label}", shape={shapes[v.kind]}]')
        out += [f"  n{a} -> n{b}" for a, b in self.edges]
        return "\n".join((*out, "}\n"))

    def svg(self) -> str:
        """Return it as an SVG element, in the colour of the text around it, so light and dark need nothing."""
        sizes = [
            (24 + 7.3 * max(map(len, (v.title, *v.lines))), 22 + 15 * len(v.lines))
            for v in self.vertices
        ]
        places, width, height = placed(sizes, self.edges)
        parts = [_line(places[a], places[b]) for a, b in self.edges]
        parts += [_box(v, place) for v, place in zip(self.vertices, places, strict=True)]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" font-family="monospace" font-size="12" '
            f'fill="none" stroke="currentColor" role="img" aria-label="autograd graph">'
            f"{''.join(parts)}</svg>"
        )

    def save(self, path: str | pathlib.Path) -> None:
        """Write it to a file, as its ending says: `.svg`, `.html`, or `.dot` or `.gv`."""
        file = pathlib.Path(path)
        if file.suffix in (".dot", ".gv"):
            file.write_text(self.dot(), "utf-8")
        else:
            save(self, file, (".dot", ".gv"))


COLOURS = {
    "op": "currentColor", "leaf": "#2563eb", "output": "#16a34a", "module": "#9333ea", "outside": "none",
}  # fmt: skip


def _box(v: Vertex, place: Place) -> str:
    x, y, w, h = place
    radius = 3 if v.kind == "op" else 10
    box = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{radius}" '
        f'stroke="{COLOURS[v.kind]}" stroke-opacity="0.8"/>'
    )
    texts = [
        f'<text x="{x + w / 2:.1f}" y="{y + 15 + 15 * i:.1f}" text-anchor="middle" stroke="none" '
        f'fill="currentColor" fill-opacity="{0.7 if i else 1}">{escape(line)}</text>'
        for i, line in enumerate((v.title, *v.lines))
    ]
    return box + "".join(texts)


def _line(a: Place, b: Place) -> str:
    x0, y0, x1, y1 = a.x + a.w / 2, a.y + a.h, b.x + b.w / 2, b.y
    bend = max(12.0, (y1 - y0) / 2)
    return (
        f'<path d="M{x0:.1f} {y0:.1f}C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend - 5:.1f} '
        f'{x1:.1f} {y1 - 5:.1f}" stroke-opacity="0.45"/>'
        f'<path d="M{x1 - 4:.1f} {y1 - 6:.1f}L{x1:.1f} {y1:.1f}L{x1 + 4:.1f} {y1 - 6:.1f}" '
        'stroke-opacity="0.45"/>'
    )


def graph(*outputs: Any, names: Any = None, values: bool = False) -> Graph:
    """Draw the ops that made the tensors `outputs`, down to the leaves that need gradients.

    With a module in front, `graph(model, *inputs)` calls it, and knows which module made each op: notebooks
    show modules as boxes that open on demand, and `collapsed()` is the drawing of the boxes.

    Ops show the shapes of their results. `names` names leaves: a module, whose parameters have names, or a dict
    of tensors. With `values` leaves and outputs of at most four elements show them, and leaves their gradients,
    which waits for them. Raises ValueError for a tensor that no recorded op made.

    >>> import tabgrad as tg
    >>> x = tg.ones(3, requires_grad=True, device="cpu")
    >>> g = tg.viz.graph((x * x).sum(), names={"x": x})
    >>> [v.title for v in g.vertices], g.edges
    (['x', 'Mul', 'Sum', 'output'], [(0, 1), (1, 2), (2, 3)])
    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3, device="cpu"), tg.nn.Tanh())
    >>> [v.title for v in tg.viz.graph(net, tg.ones(1, 2, device="cpu")).collapsed().vertices]
    ['0: Linear', '1: Tanh', 'output']
    """
    calls: Sequence[Any] = ()
    of_module = bool(outputs) and isinstance(outputs[0], tg.nn.Module)
    if not outputs:
        raise TypeError("graph: expected tensors, or a module and its inputs")
    if of_module:
        model = outputs[0]
        if len(outputs) == 1:
            _needs_none(model)
        found, calls = called(model, outputs[1:])
        outputs = tuple(found)
        names = model if names is None else names
        if not outputs:
            raise ValueError("graph: nothing that the module returns has a grad_fn")
    for y in outputs:
        if not isinstance(y, tg.Tensor):
            raise TypeError(f"graph: expected tensors, got {type(y).__name__}")
        if y.grad_fn is None:
            raise ValueError(
                "graph: expected a tensor with a grad_fn; no recorded op made this one"
            )
    known = _named(names)
    order = ancestors([y.grad_fn for y in outputs])
    number = {id(node): i for i, node in enumerate(order)}
    vertices = [_vertex(node, known, values) for node in order]
    edges = [
        (number[id(made)], i)
        for i, node in enumerate(order)
        for made in dict.fromkeys(n for n, _ in node.next_functions if n is not None)
    ]
    for k, y in enumerate(outputs):
        title = "output" if len(outputs) == 1 else f"output {k}"
        shown = (str(list(y.shape)), *_shown(y, values))
        edges.append((number[id(y.grad_fn)], len(vertices)))
        vertices.append(Vertex("output", title, shown))
    paths = paths_of(order, edges, calls)
    paths += [()] * (len(vertices) - len(order))
    return Graph(vertices, edges, paths, of_module)


def _needs_none(model: tg.nn.Module) -> None:
    """Raise TypeError if a module can't be called without inputs."""
    try:
        inspect.signature(model.forward).bind()
    except TypeError as error:
        raise TypeError(
            f"graph: {type(model).__name__} needs inputs ({error}): graph(model, x)"
        ) from None


def _named(names: Any) -> dict[int, str]:
    if names is None:
        return {}
    if isinstance(names, tg.nn.Module):
        pairs = dict(names.named_parameters())
    elif isinstance(names, Mapping):
        pairs = dict(names)
    else:
        raise TypeError(
            f"graph: names must be a module or a dict of tensors, got {type(names).__name__}"
        )
    return {id(x): name for name, x in pairs.items()}


def _vertex(node: Node, known: dict[int, str], values: bool) -> Vertex:
    name = node.name()
    if name == "AccumulateGrad":
        leaf = node.variable
        if leaf is None:
            return Vertex("leaf", "a leaf that is gone", ())
        lines = [str(list(leaf.shape)), *_shown(leaf, values)]
        if values and leaf.grad is not None:
            lines += [f"grad {line}" for line in _shown(leaf.grad, True)]
        return Vertex("leaf", known.get(id(leaf), "leaf"), tuple(lines))
    specs = node.out_spec if isinstance(node.out_spec, tuple) else (node.out_spec,)
    shapes = ", ".join(str(list(s.shape)) for s in specs if s is not None)
    return Vertex("op", name.removesuffix("0").removesuffix("Backward"), (shapes,))


def _shown(x: Any, values: bool) -> tuple[str, ...]:
    if not values or x.numel() > FEW:
        return ()
    listed = x.detach().reshape(-1).tolist()
    return (", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in listed),)
