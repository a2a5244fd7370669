"""A backward pass that can be stepped: which node runs, what gradient comes to it, and what it hands on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import tabgrad as tg
from tabgrad.viz.drawing import Drawing, element, text
from tabgrad.viz.graph import FEW, Graph, graph
from tabgrad.viz.layout import placed
from tabgrad.viz.modules import ancestors

_IDS = itertools.count(1)
FRAMES = 40
"""HTML of more steps than this has one drawing and a list of them: a drawing each would be too much to show."""


class Step(NamedTuple):
    """A node of the graph that runs: its number, the gradients that come to it, and those that it hands on.

    Gradients are texts: the numbers of few elements, else shape and norm.
    """

    vertex: int
    title: str
    comes: tuple[str, ...]
    hands: tuple[str, ...]


class Steps(Drawing):
    """A backward pass, step by step: `steps` in the order in which nodes ran, `graph` is what they are part of.

    HTML has a button for each step and needs no scripts; `svg(k)` is the drawing after the first k steps.
    """

    title = "backward pass"

    def __init__(self, drawn: Graph, steps: list[Step]) -> None:
        self.graph, self.steps = drawn, steps

    def __repr__(self) -> str:
        return f"<backward pass of {len(self.steps)} steps>"

    def __len__(self) -> int:
        return len(self.steps)

    def svg(self, k: int | None = None) -> str:
        """Return the graph after the first k steps, by default after all: what has run has its gradient."""
        k = len(self.steps) if k is None else k
        if not 0 <= k <= len(self.steps):
            raise ValueError(f"svg: expected a step from 0 to {len(self.steps)}, got {k}")
        known = {step.vertex: step for step in self.steps[:k]}
        now = self.steps[k - 1].vertex if k else -1
        vertices = list(self.graph.vertices)
        # every step has room for all gradients, so that nothing moves
        room = {step.vertex: step for step in self.steps}
        sizes = []
        for i, v in enumerate(vertices):
            lines = [*v.lines, *(f"grad {g}" for g in (room[i].comes if i in room else ()))]
            sizes.append((24 + 7.3 * max(map(len, (v.title, *lines))), 22.0 + 15 * len(lines)))
        places, width, height = placed(sizes, self.graph.edges)
        parts = []
        for a, b in self.graph.edges:
            pa, pb = places[a], places[b]
            done = b in known or (vertices[b].kind == "output" and k > 0)
            ink = "#dc2626" if b == now else "#d97706" if done else "currentColor"
            x0, y0, x1, y1 = pa.x + pa.w / 2, pa.y + pa.h, pb.x + pb.w / 2, pb.y
            bend = max(12.0, (y1 - y0) / 2)
            parts.append(
                f'<path d="M{x0:.1f} {y0:.1f}C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} '
                f'{x1:.1f} {y1:.1f}" fill="none" stroke="{ink}" stroke-opacity="{0.9 if done else 0.3}" '
                f'stroke-width="{2.5 if b == now else 1.2}"/>'
            )
        for i, (v, p) in enumerate(zip(vertices, places, strict=True)):
            ink = "#dc2626" if i == now else "#d97706" if i in known else "currentColor"
            parts.append(
                f'<rect x="{p.x:.1f}" y="{p.y:.1f}" width="{p.w:.1f}" height="{p.h:.1f}" rx="5" fill="{ink}" '
                f'fill-opacity="{0.12 if i in known else 0}" stroke="{ink}" '
                f'stroke-width="{2 if i == now else 1}"/>'
            )
            lines = [
                v.title,
                *v.lines,
                *(f"grad {g}" for g in (known[i].comes if i in known else ())),
            ]
            for n, line in enumerate(lines):
                more = f' fill-opacity="{0.7 if n else 1}"'
                parts.append(text(p.x + p.w / 2, p.y + 15 + 15 * n, line, "middle", more))
        return element(width, height, f"backward pass after step {k}", "".join(parts))

    def told(self, k: int) -> str:
        """Tell what the k-th step does, from 1; 0 is before the first. Raises IndexError for others."""
        if not 0 <= k <= len(self.steps):
            raise IndexError(f"told: expected a step from 0 to {len(self.steps)}, got {k}")
        if not k:
            return "before the backward pass"
        step = self.steps[k - 1]
        comes = ", ".join(step.comes) or "nothing"
        if not step.hands:
            return f"{step.title}: {comes} is its gradient"
        goes = "goes" if len(step.hands) == 1 else "go"
        return f"{step.title}: {comes} comes in, {' and '.join(step.hands)} {goes} on"

    def html(self) -> str:
        """Return all steps with a button for each, or one drawing and a list where they are more than FRAMES.

        Only styles choose which one is seen.
        """
        if len(self.steps) > FRAMES:
            told = "".join(f"<li>{escape(self.told(k + 1))}</li>" for k in range(len(self.steps)))
            return (
                f'<div style="font-family:monospace"><div style="overflow:auto;max-height:480px">{self.svg()}'
                f'</div><ol style="overflow:auto;max-height:240px">{told}</ol></div>'
            )
        name = f"tg-steps-{next(_IDS)}"
        count = len(self.steps) + 1
        style = "".join(
            f"#{name}-{k}:checked~.{name} div:nth-child({k + 1}){{display:block}}"
            f"#{name}-{k}:checked~nav label:nth-child({k + 1}){{background:#d97706;color:#fff}}"
            for k in range(count)
        )
        style = (
            f".{name}>div{{display:none}}{style}input[name={name}]{{position:absolute;opacity:0}}"
            f"input[name={name}]:focus-visible~nav{{outline:2px solid #2563eb}}"
        )
        radios = "".join(
            f'<input type="radio" name="{name}" id="{name}-{k}" aria-label="step {k}"'
            f"{'' if k else ' checked'}>"
            for k in range(count)
        )
        label = 'style="padding:2px 9px;border-radius:4px;cursor:pointer;display:inline-block"'
        buttons = "".join(f'<label {label} for="{name}-{k}">{k}</label>' for k in range(count))
        frames = "".join(
            f"<div><p>{escape(self.told(k))}</p>{self.svg(k)}</div>" for k in range(count)
        )
        return (
            f'<div style="font-family:monospace"><style>{style}</style>{radios}<nav>{buttons}</nav>'
            f'<div class="{name}">{frames}</div></div>'
        )


def steps(loss: tg.Tensor, names: Any = None, values: bool = True) -> Steps:
    """Run the backward pass of a number and note each step; `.grad` of no tensor changes.

    `names` and `values` are those of `graph`. Gradients of at most four elements are shown as numbers. The
    graph is kept, so `loss.backward()` still works. Raises ValueError for a tensor that no recorded op made, or
    that has more than one element.

    >>> import tabgrad as tg
    >>> x = tg.tensor(3.0, requires_grad=True, device="cpu")
    >>> passed = tg.viz.steps(x * x, names={"x": x})
    >>> [passed.told(k) for k in range(len(passed) + 1)]
    ['before the backward pass', 'Mul: 1 comes in, 3 and 3 go on', 'x: 6 is its gradient']
    """
    if not isinstance(loss, tg.Tensor):
        raise TypeError(
            f"steps: expected a tensor, got {type(loss).__name__}; compute the loss first: steps(loss)"
        )
    if loss.grad_fn is None or loss.numel() != 1:
        raise ValueError(
            "steps: expected a tensor of one number that recorded ops made, got "
            f"one of shape {tuple(loss.shape)}"
            + ("" if loss.grad_fn is not None else " without a grad_fn")
        )
    drawn = graph(loss, names=names, values=values)
    order = ancestors([loss.grad_fn])
    notes: list[tuple[int, Any, Any]] = []
    leaves = [(i, node.variable) for i, node in enumerate(order) if node.name() == "AccumulateGrad"]
    leaves = [(i, x) for i, x in leaves if x is not None]
    if not leaves:
        raise ValueError(
            "steps: the leaves that this was computed from are gone, and nothing else could get a gradient; "
            "keep the model, or the tensors that need gradients, in a variable"
        )
    handles = [
        node.register_hook(_noting(notes, i))
        for i, node in enumerate(order)
        if node.name() != "AccumulateGrad"
    ]
    try:
        found = tg.autograd.grad(loss, [x for _, x in leaves], retain_graph=True, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    made = [
        Step(i, drawn.vertices[i].title, _texts(comes), _texts(hands)) for i, hands, comes in notes
    ]
    made += [
        Step(i, drawn.vertices[i].title, _texts([g]), ())
        for (i, _), g in zip(leaves, found, strict=True)
        if g is not None
    ]
    return Steps(drawn, made)


def _noting(notes: list[tuple[int, Any, Any]], i: int) -> Any:
    def hook(hands: Any, comes: Any) -> None:
        notes.append((i, [g.detach() if g is not None else None for g in hands],
                      [g.detach() if g is not None else None for g in comes]))  # fmt: skip

    return hook


def _texts(gradients: Sequence[Any]) -> tuple[str, ...]:
    out = []
    for g in gradients:
        if g is None:
            continue
        if g.numel() <= FEW:
            out.append(", ".join(f"{v:.4g}" for v in g.reshape(-1).tolist()))
        else:
            norm = (
                float(g.float().square().sum().sqrt())
                if not g.dtype.is_complex
                else float(g.abs().square().sum().sqrt())
            )
            out.append(f"{list(g.shape)} norm {norm:.3g}")
    return tuple(out)
