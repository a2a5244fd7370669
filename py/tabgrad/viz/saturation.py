"""Values of tanh and sigmoid near their bounds, where hardly any gradient passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tabgrad as tg
from tabgrad.viz.modules import ancestors, called, paths_of

BOUNDS = {"TanhBackward0": ("tanh", -1.0, 1.0), "SigmoidBackward0": ("sigmoid", 0.0, 1.0)}
"""What is looked at: by the name of its node, the function and the bounds of its values."""
NEAR = 0.01
"""So near to a bound, as a share of the range, a value is saturated: its slope is below 4 % of the largest."""
MANY = 0.5
"""A function is said to be saturated if more than this share of its values is."""


def saturated(model: tg.nn.Module, inputs: Sequence[Any]) -> list[str]:
    """Call a model, and say in words which of its functions are saturated for these inputs.

    Functions are looked at in the autograd graph, so calls of `tanh` in a forward are too. Those of one module
    count together: a recurrent one calls them at each step.
    """
    # where hooks may look at what is saved, no layer hides its functions inside one node
    with tg.enable_grad(), tg.autograd.graph.saved_tensors_hooks(_itself, _itself):
        outputs, calls = called(model, inputs)
    order = ancestors([y.grad_fn for y in outputs])
    shares: dict[tuple[str, str], list[tg.Tensor]] = {}
    with tg.no_grad():
        for node, path in zip(order, paths_of(order, (), calls), strict=True):
            if node.name() in BOUNDS:
                name, low, high = BOUNDS[node.name()]
                where = f"{path[-1].name} ({path[-1].kind})" if path else type(model).__name__
                shares.setdefault((where, name), []).append(_share(node, low, high))
        found = [tg.stack(its).mean() for its in shares.values()]
        values = tg.stack(found).tolist() if found else []
    return [
        f"{where}: {value:.0%} of the values of {name} are within {NEAR:.0%} of its bounds; it is saturated"
        for (where, name), value in zip(shares, values, strict=True)
        if value > MANY
    ]


def _itself(x: tg.Tensor) -> tg.Tensor:
    return x


def _share(node: Any, low: float, high: float) -> tg.Tensor:
    """Return the share of a node's values that are near its bounds."""
    y = node._saved_result.detach().float()
    margin = NEAR * (high - low)
    return ((y < low + margin) | (y > high - margin)).float().mean()
