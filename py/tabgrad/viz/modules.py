"""The graph of a module's call: which module made each op, and drawings with modules as single boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.trace import Box
from tabgrad.transforms.node import Node, next_id


class Vertex(NamedTuple):
    """A box of a drawing: an op, a leaf, an output, or a module with all that is in it."""

    kind: str
    title: str
    lines: tuple[str, ...]


class Parts(NamedTuple):
    """Boxes, edges as pairs of their numbers, and for each box the calls of modules that it was made in."""

    vertices: list[Vertex]
    edges: list[tuple[int, int]]
    paths: list[Any]


class Call(NamedTuple):
    """A call of a submodule: its name, class, and the numbers of the nodes that it made."""

    name: str
    kind: str
    first: int
    last: int


def called(model: tg.nn.Module, inputs: Sequence[Any]) -> tuple[list[Any], list[Call]]:
    """Call a module; return its results that have a history, and the calls inside it, outer ones first."""
    names = {id(m): name for name, m in model.named_modules()}
    open_: list[tuple[Any, int]] = []
    calls: list[Call] = []

    def before(module: Any, _args: Any) -> None:
        open_.append((module, next_id()))

    def after(module: Any, _args: Any, _output: Any) -> None:
        while open_:
            known, first = open_.pop()
            if known is module:
                if module is not model:
                    name = names.get(id(module), "")
                    calls.append(Call(name, type(module).__name__, first, next_id()))
                return

    hooks = tg.nn.modules.module
    with hooks.register_module_forward_pre_hook(before), hooks.register_module_forward_hook(after):
        output = model(*inputs)
    leaves: list[Any] = [y for y in tree.leaves(output) if isinstance(y, Box)]
    results = [y for y in leaves if y.grad_fn is not None]
    return results, sorted(calls, key=lambda c: (c.first, -c.last))


def ancestors(roots: list[Node]) -> list[Node]:
    """Return all nodes above the roots, inputs first."""
    found: dict[int, Node] = {}
    work = list(roots)
    while work:
        node = work.pop()
        if id(node) not in found:
            found[id(node)] = node
            work += [n for n, _ in node.next_functions if n is not None]
    return sorted(found.values(), key=lambda n: n.id)


def paths_of(
    order: Sequence[Node], edges: Sequence[tuple[int, int]], calls: Sequence[Call]
) -> list[tuple[Call, ...]]:
    """Return for each node the calls that it was made in; a leaf stands with all that use it."""
    users: dict[int, list[int]] = {}
    for a, b in edges:
        if b < len(order):
            users.setdefault(a, []).append(b)
    found: list[tuple[Call, ...]] = [
        tuple([c for c in calls if c.first < node.id < c.last]) for node in order
    ]
    for i, node in enumerate(order):
        if node.name() == "AccumulateGrad" and users.get(i):
            its = [found[u] for u in users[i]]
            found[i] = tuple(_common(its))
    return found


def _common(paths: Sequence[tuple[Call, ...]]) -> list[Call]:
    out = []
    for its in zip(*paths, strict=False):
        if len(set(its)) > 1:
            break
        out.append(its[0])
    return out


def collapsed(graph: Parts, depth: int) -> Parts:
    """Return the graph with each call at this depth as one box."""
    groups: dict[Any, list[int]] = {}
    for i, path in enumerate(graph.paths):
        groups.setdefault(path[:depth] if len(path) >= depth else i, []).append(i)
    place = {i: key for key, members in groups.items() for i in members}
    edges = list(
        dict.fromkeys((place[a], place[b]) for a, b in graph.edges if place[a] != place[b])
    )
    order = _sorted(list(groups), edges)
    number = {key: k for k, key in enumerate(order)}
    vertices, paths = [], []
    for key in order:
        members = groups[key]
        if isinstance(key, int):
            vertices.append(graph.vertices[key])
            paths.append(graph.paths[key])
        else:
            vertices.append(_box(graph, key[-1], members))
            paths.append(key)
    return Parts(vertices, [(number[a], number[b]) for a, b in edges], paths)


def _box(graph: Parts, call: Call, members: list[int]) -> Vertex:
    inside = set(members)
    last = [i for i in members if any(a == i and b not in inside for a, b in graph.edges)]
    shapes = dict.fromkeys(line for i in last for line in graph.vertices[i].lines[:1])
    ops = sum(graph.vertices[i].kind == "op" for i in members)
    return Vertex(
        "module", f"{call.name}: {call.kind}", (*shapes, f"{ops} op{'s' if ops != 1 else ''}")
    )


def _sorted(keys: list[Any], edges: list[tuple[Any, Any]]) -> list[Any]:
    """Order boxes so that edges point to later ones (Kahn 1962); calls are spans of time, so there is a way."""
    after: dict[Any, list[Any]] = {key: [] for key in keys}
    waits = dict.fromkeys(keys, 0)
    for a, b in edges:
        after[a].append(b)
        waits[b] += 1
    ready = [key for key in keys if not waits[key]]
    order = []
    while ready:
        key = ready.pop(0)
        order.append(key)
        for b in after[key]:
            waits[b] -= 1
            if not waits[b]:
                ready.append(b)
    if len(order) < len(keys):
        raise ValueError(
            "graph: modules use each other's results in a circle, so they are no boxes"
        )
    return order


def part(graph: Parts, path: tuple[Call, ...]) -> Parts:
    """Return what is inside a call; values from outside come in as boxes without a border."""
    n = len(path)
    inside = [i for i, p in enumerate(graph.paths) if p[:n] == path]
    chosen = set(inside)
    sources = sorted({a for a, b in graph.edges if b in chosen and a not in chosen})
    order = [*sources, *inside]
    number = {i: k for k, i in enumerate(order)}
    vertices = [
        Vertex("outside", graph.vertices[i].title, graph.vertices[i].lines) for i in sources
    ]
    vertices += [graph.vertices[i] for i in inside]
    edges = [(number[a], number[b]) for a, b in graph.edges if b in chosen]
    return Parts(vertices, edges, [*([()] * len(sources)), *[graph.paths[i] for i in inside]])


def folded(graph: Parts, draw: Callable[[Parts], str], path: tuple[Call, ...] = ()) -> str:
    """Return HTML in which each module opens on demand, without scripts."""
    depth = len(path) + 1
    inner = [p[:depth] for p in graph.paths if len(p) >= depth and p[: depth - 1] == path]
    view = part(graph, path) if path else graph
    top = collapsed(view, depth) if inner else view
    parts = [f'<div style="overflow:auto">{draw(top)}</div>']
    for key in dict.fromkeys(inner):
        members = sum(p[:depth] == key for p in graph.paths)
        if members > 1:
            name = f"{key[-1].name}: {key[-1].kind}"
            parts.append(
                '<details style="margin-left:1em;font-family:monospace">'
                f"<summary>{escape(name)}</summary>{folded(graph, draw, key)}</details>"
            )
    return "".join(parts)
