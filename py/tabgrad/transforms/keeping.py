"""What of an op's inputs and output the tape keeps for its rule."""

from __future__ import annotations

import operator
from typing import Any

from tabgrad.core.errors import GradientError
from tabgrad.core.trace import MODE


class Marker:
    """Stands as the rule of a node that no op made."""

    def __init__(self, name: str) -> None:
        self.name = name


ALL = Marker("all")
NOTHING = Marker("nothing")
FIRST = Marker("first")
SECOND = Marker("second")
"""Of two inputs this one is kept."""
NO_GRADIENT = Marker("no_gradient")
CAST = Marker("cast")
"""What is kept of a cast: nothing, and the result is tied only if its dtype can carry gradients."""


INFERENCE = 8
"""In the code of two inputs: the one without a gradient is of inference mode. With more inputs -1 says it."""


def inference_plan(op: Any, code: Any) -> tuple[Any, bool]:
    """Return the plan for inputs some of which were made in inference mode; raise if one of those is kept."""
    if code.__class__ is int:
        code -= INFERENCE
        plain, kept = code, (code == 2, code == 1)
    else:
        plain, kept = tuple([c is True for c in code]), tuple([c == -1 for c in code])
    plan = plan_for(op, plain)
    keep = {FIRST: (True, False), SECOND: (False, True)}.get(plan[0], plan[0])
    if keep is ALL or (isinstance(keep, tuple) and any(map(operator.and_, keep, kept))):
        check_saved(True)
    return plan


def check_saved(inference: Any) -> None:
    """Raise GradientError where a tensor that is to be saved is an inference tensor, outside of that mode."""
    if inference and not MODE.get().inference:
        raise GradientError(
            "Inference tensors cannot be saved for backward. To work around you can make a clone to get a "
            "normal tensor and use it in autograd."
        )


def plan_for(op: Any, code: Any) -> tuple[Any, bool]:
    """Return what of the inputs, and whether the output, is kept for the needs that `code` stands for."""
    found: tuple[Any, bool]
    if code > INFERENCE if code.__class__ is int else -1 in code:
        return inference_plan(op, code)
    if not op.differentiable:
        op.plans[code] = found = (NO_GRADIENT, False)
        return found
    if op.name == "cast":
        op.plans[code] = found = (CAST, False)
        return found
    needs = {1: (True, False), 2: (False, True), 3: (True, True), 4: (True,)}.get(code, code)
    keep, keep_out = op.saves(needs)
    keep = tuple(keep)
    if keep in ((True, False), (False, True)):
        keep = FIRST if keep[0] else SECOND
    elif all(keep):
        keep = ALL
    elif not any(keep):
        keep = NOTHING
    op.plans[code] = found = (keep, keep_out)
    return found
