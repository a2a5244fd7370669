"""How gradients flow through a model: their sizes by parameter, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import tabgrad as tg
from tabgrad.viz.drawing import Drawing, counted
from tabgrad.viz.saturation import saturated

SPREAD = 1e4
"""Gradients vanish, or explode, where layers differ by more than this factor."""
STEP = 100.0
"""A gradient larger than its parameter by this factor throws the parameter far away at usual rates."""


class Row(NamedTuple):
    """A parameter: its name, shape, root mean squares of values and gradient, and units without a gradient.

    `gradient` is None for a parameter that has none. `dead` counts rows of a weight (its units) whose gradient
    is zero throughout.
    """

    name: str
    shape: tuple[int, ...]
    size: float
    gradient: float | None
    dead: int


class Flow(Drawing):
    """The gradients of a model: `rows`, one for each parameter, and `findings` in words; notebooks draw it."""

    title = "flow of gradients"

    def __init__(self, rows: list[Row], findings: Sequence[str] = ()) -> None:
        self.rows = rows
        self.findings = [*_of_each(rows), *_of_all(rows), *findings]

    def __str__(self) -> str:
        width = max((len(row.name) for row in self.rows), default=0)
        lines = [f"{'parameter':<{width}}  {'rms':>9}  {'gradient':>9}"]
        for row in self.rows:
            shown = "none" if row.gradient is None else f"{row.gradient:.3g}"
            lines.append(f"{row.name:<{width}}  {row.size:>9.3g}  {shown:>9}")
        return "\n".join((*lines, *(f"! {text}" for text in self.findings)))

    def __repr__(self) -> str:
        return f"<flow of {counted(len(self.rows), 'gradient')}, {counted(len(self.findings), 'finding')}>"

    def html(self) -> str:
        """Return the bars, and the findings below them."""
        return f'<div style="font-family:monospace">{self.svg()}{_list(self.findings)}</div>'

    def svg(self) -> str:
        """Return bars of the gradients' sizes on a logarithmic scale, as an SVG element."""
        logs = [math.log10(g) for g in _finite(self.rows)]
        low, high = (math.floor(min(logs)), math.ceil(max(logs))) if logs else (0, 1)
        span = max(high - low, 1)
        left = 12 + 7.3 * max((len(row.name) for row in self.rows), default=0)
        parts = []
        for i, row in enumerate(self.rows):
            y = 8 + 18 * i
            words = "none" if row.gradient is None else f"{row.gradient:.2g}"
            parts.append(
                f'<text x="{left - 6:.0f}" y="{y + 11}" text-anchor="end">{escape(row.name)}</text>'
            )
            long = 0.0
            if row.gradient and math.isfinite(row.gradient):
                long = 20 + 220 * (math.log10(row.gradient) - low) / span
                parts.append(
                    f'<rect x="{left:.0f}" y="{y}" width="{long:.1f}" height="13" fill="#2563eb"/>'
                )
            parts.append(
                f'<text x="{left + long + 6:.0f}" y="{y + 11}" fill-opacity="0.7">{words}</text>'
            )
        height, width = 12 + 18 * len(self.rows), left + 320
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
            f'height="{height}" font-family="monospace" font-size="12" fill="currentColor" role="img" '
            f'aria-label="sizes of gradients">{"".join(parts)}</svg>'
        )


def flow(model: tg.nn.Module, *inputs: Any) -> Flow:
    """Look at the gradients that `backward` has left in a model.

    Finds parameters without a gradient, gradients that are zero or not finite, units whose gradients are zero
    throughout, gradients that vanish or explode on their way, and ones far larger than the parameters of their
    layer. With `inputs` it calls `model(*inputs)`, and finds tanh and sigmoid that are saturated for these. All
    sizes are read from the device at once. Raises TypeError for what is no module, ValueError for one without
    parameters.

    >>> import tabgrad as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 2, device="cpu"), tg.nn.Linear(2, 1, device="cpu"))
    >>> (net[0](tg.ones(1, 2, device="cpu")).sum() * 1e-3).backward()
    >>> tg.viz.flow(net).findings
    ['1.weight, 1.bias: no gradient; the loss does not depend on them, or backward has not run']
    >>> big = tg.full((4, 2), 50.0, device="cpu")
    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 2, device="cpu"), tg.nn.Sigmoid())
    >>> net(big).sum().backward()
    >>> tg.viz.flow(net, big).findings[-1]
    '1 (Sigmoid): 100% of the values of sigmoid are within 1% of its bounds; it is saturated'
    """
    if not isinstance(model, tg.nn.Module):
        raise TypeError(f"flow: expected a module, got {type(model).__name__}")
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("flow: the model has no parameters that need gradients")
    tables = {
        id(m.weight) for m in model.modules() if isinstance(m, tg.nn.Embedding | tg.nn.EmbeddingBag)
    }
    with tg.no_grad():
        facts = tg.stack([_facts(p, id(p) in tables) for _, p in named]).tolist()
    rows = []
    for (name, p), (size, gradient, dead) in zip(named, facts, strict=True):
        rows.append(
            Row(name, tuple(p.shape), size, None if p.grad is None else gradient, int(dead))
        )
    return Flow(rows, saturated(model, inputs) if inputs else ())


def _facts(p: tg.Tensor, table: bool) -> tg.Tensor:
    """Return the root mean squares of a parameter and of its gradient, and how many rows of that are zero.

    Those of a table of embeddings don't count: a batch has few of them.
    """
    zero = tg.zeros((), device=p.device)
    if p.grad is None:
        return tg.stack([_rms(p), zero, zero])
    grad = p.grad.to_dense() if p.grad.is_sparse else p.grad
    rows = grad.reshape(p.shape[0], -1) if p.ndim > 1 and not table else None
    dead = zero if rows is None else (rows == 0).all(1).sum().float()
    return tg.stack([_rms(p), _rms(grad), dead])


def _rms(x: tg.Tensor) -> tg.Tensor:
    x = x.detach().float()
    # squares of small gradients would underflow
    if not x.numel():
        return tg.zeros((), device=x.device)
    top = x.abs().amax()
    scale = tg.where((top > 0) & tg.isfinite(top), top, tg.ones_like(top))
    return (x / scale).square().mean().sqrt() * scale


def _finite(rows: list[Row]) -> list[float]:
    return [r.gradient for r in rows if r.gradient and math.isfinite(r.gradient)]


def _of_each(rows: list[Row]) -> list[str]:
    found = []
    missing = [r.name for r in rows if r.gradient is None]
    if missing:
        found.append(
            f"{', '.join(missing)}: no gradient; the loss does not depend on them, or backward has not run"
        )
    for r in rows:
        if r.gradient is None or 0 in r.shape:
            continue
        if not math.isfinite(r.gradient):
            found.append(f"{r.name}: the gradient is not finite")
        elif r.dead and r.dead == r.shape[0]:
            found.append(
                f"{r.name}: the gradient is zero throughout; its {r.dead} units, or all that follow them, "
                "may be dead, or saturated"
            )
        elif not r.gradient:
            found.append(f"{r.name}: the gradient is zero throughout")
        elif r.dead:
            found.append(
                f"{r.name}: {r.dead} of {r.shape[0]} units have no gradient; they may be dead, or saturated"
            )
    scales = _scales(rows)
    large = [r for r in rows if _shows(r) and (r.gradient or 0) > STEP * scales[r.name] > 0]
    if large:
        most = max(large, key=lambda r: (r.gradient or 0) / scales[r.name])
        others = f", and those of {len(large) - 1} more are too large" if len(large) > 1 else ""
        ratio = (most.gradient or 0) / scales[most.name]
        what = "parameter" if scales[most.name] == most.size else "parameters of its layer"
        found.append(
            f"{most.name}: the gradient is {ratio:.2g} times as large as the {what}{others}"
        )
    return found


def _scales(rows: list[Row]) -> dict[str, float]:
    """Return what a gradient is compared with: the largest size in the parameter's module.

    Biases begin at zero, or near it, and so does one of two factors of a weight: their own size says nothing
    of the steps that they can take. Of biases that are alone in their module it is the largest of the model.
    """
    layers: dict[str, list[Row]] = {}
    for r in rows:
        layers.setdefault(r.name.rpartition(".")[0], []).append(r)
    for name, its in layers.items():
        if all(len(r.shape) < 2 for r in its):
            layers[name] = rows
    largest = {
        name: max((r.size for r in its if math.isfinite(r.size)), default=0.0)
        for name, its in layers.items()
    }
    return {r.name: largest[r.name.rpartition(".")[0]] for r in rows}


def _shows(row: Row) -> bool:
    return bool(row.gradient) and math.isfinite(row.gradient or 0)


def _of_all(rows: list[Row]) -> list[str]:
    """Compare weights, from the smallest gradient to the largest: biases and scales say little of the flow."""
    sizes = [
        (i, r.name, r.gradient)
        for i, r in enumerate(rows)
        if len(r.shape) > 1 and r.gradient and _shows(r)
    ]
    if len(sizes) < 2:
        return []
    least, most = (choose(sizes, key=lambda s: s[2]) for choose in (min, max))
    if most[2] <= SPREAD * least[2]:
        return []
    # in the order in which models are built, the loss is at the end
    (_, first, near), (_, last, far) = sorted((least, most))
    if {first, last} == {sizes[0][1], sizes[-1][1]}:
        what = "vanish" if near < far else "explode"
        return [f"gradients {what}: {first} has {near / far:.1g} times that of {last}"]
    ratio = least[2] / most[2]
    return [
        f"gradients vanish or explode on their way: {least[1]} has {ratio:.1g} times that of {most[1]}"
    ]


def _list(findings: list[str]) -> str:
    if not findings:
        return '<div style="color:#16a34a">nothing conspicuous</div>'
    return "".join(f'<div style="color:#d97706">{escape(text)}</div>' for text in findings)
