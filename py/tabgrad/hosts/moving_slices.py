"""Moving slices: `x[i : i + 32]` in a training loop must not need a new plan for each `i`.

When a graph differs from an earlier one only in the starts of some slices of its inputs, it is lowered once
more, with these slices as inputs whose start is given at each run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import Params, intern_params

if TYPE_CHECKING:
    from tabgrad.core.graph import Graph

Raw = tuple[Any, ...]


def movable(raw: Raw, k: int) -> bool:
    """Whether node `k` is contiguous in the memory of an input: a slice along the first axis."""
    op, params, srcs, spec = raw[k]
    if op is None or op.name != "slice" or raw[srcs[0]][0] is not None or not spec.shape:
        return False
    whole = raw[srcs[0]][3].shape
    starts, steps = params["starts"], params["steps"]
    return spec.shape[1:] == whole[1:] and not any(starts[1:]) and steps[0] == 1


def start_of(graph: Graph, i: int) -> int:
    """Return the offset, in elements, of the moving slice `i` in its input."""
    params: Any = graph.params[i]
    start: int = params["starts"][0]
    return start * math.prod(graph.spec[i].shape[1:])


def at_zero(params: Params) -> Params:
    """Return the parameters of the slice moved to begin at 0."""
    starts: Any = params["starts"]
    stops: Any = params["stops"]
    moved = {
        "starts": (0, *starts[1:]),
        "stops": (stops[0] - starts[0], *stops[1:]),
        "steps": params["steps"],
    }
    return intern_params(moved)


class MovingSlices:
    """Remembers which slices of which graphs move."""

    def __init__(self) -> None:
        self.seen: dict[Any, tuple[Raw, frozenset[int]]] = {}
        self.slice = REGISTRY["slice"]

    def find(
        self, raw: Raw, wanted: tuple[int, ...], note: bool = True
    ) -> tuple[Raw, frozenset[int]]:
        """Return the graph with its moving slices at 0, and the positions of these slices.

        With `note` the graph is remembered for later calls.
        """
        places = [k for k, node in enumerate(raw) if node[0] is self.slice and movable(raw, k)]
        places = [k for k in places if k not in wanted]
        if not places:
            return raw, frozenset()
        zeroed = list(raw)
        for k in places:
            op, params, srcs, spec = raw[k]
            zeroed[k] = (op, at_zero(params), srcs, spec)
        key = (tuple(zeroed), wanted)
        found = self.seen.get(key)
        first, moving = found or (raw, frozenset())
        moving |= {k for k in places if raw[k][1] is not first[k][1]}
        if note:
            self.seen[key] = (first, moving)
        return tuple(zeroed[k] if k in moving else node for k, node in enumerate(raw)), moving
