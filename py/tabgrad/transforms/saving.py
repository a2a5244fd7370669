"""Saving: which inputs and outputs of an op the tape keeps for its rule, safe from later writes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tabgrad.core.dtype import FLOAT
from tabgrad.core.errors import GradientError
from tabgrad.core.op import Op
from tabgrad.core.spec import Spec
from tabgrad.core.trace import MODE, Box, Interpreter, using, wrap
from tabgrad.transforms.node import Marker, Packed, leaf_node

ALL = Marker("all")
NOTHING = Marker("nothing")
FIRST = Marker("first")
SECOND = Marker("second")
"""Only the second of two inputs is kept."""
NO_GRADIENT = Marker("no_gradient")
CAST = Marker("cast")
"""A cast keeps nothing, and its result is recorded only if its dtype can carry gradients."""


INFERENCE = 8
"""Added to the code of two inputs, if the one without a gradient is an inference tensor (-1 for more)."""


def inference_plan(op: Op, code: Any) -> tuple[Any, bool]:
    """Plan for inputs of which some are inference tensors, none of which may be kept."""
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
    """Raise GradientError if an inference tensor would be saved outside of inference mode."""
    if inference and not MODE.get().inference:
        raise GradientError(
            "Inference tensors cannot be saved for backward. To work around you can make a clone to get a "
            "normal tensor and use it in autograd."
        )


def plan_for(op: Any, code: Any) -> tuple[Any, bool]:
    """Plan which inputs are kept, and whether the output is, for the needs that `code` stands for."""
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


def frozen(x: Box) -> Any:
    """Copy the present value and history of `x` to a tensor that later writes to `x` don't change.

    Code that keeps a tensor which a user can also hold must keep this copy: the user may write to the tensor.
    """
    if x.alias is not None:
        x.alias.refresh(x)
    value = x.value if x.owner is None or not x.owner.rewrites else parts_of(x.value)
    y = wrap(value, x.spec, x.device, x.owner)
    if x.tracked:
        y.tracked, y.node = True, x.node or leaf_node(x)
    return y


def parts_of(payload: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copy the parts of a payload that can be written to, so that later writes don't change them."""
    return tuple([None if part is None else frozen(part) for part in payload])


def unshared(kept: Any, x: Box, owner: Interpreter) -> Any:
    """Make what a level keeps of `x` safe from later writes: a copy if `x` is of a level below."""
    if kept is None:
        return None
    if x.owner is owner:
        return parts_of(kept) if owner.rewrites else kept
    # forward mode keeps (primal, tangent)
    return (frozen(x), None) if kept.__class__ is tuple else frozen(x)


def pack(
    packing: Any, kept: Any, out: Any, specs: Sequence[Spec], y: Box, owner: Interpreter | None
) -> tuple[Any, Any]:
    """Pass each differentiable payload that is kept through the user's pack hook."""
    pack_hook, unpack_hook = packing

    def one(payload: Any, spec: Spec) -> Any:
        if payload is None or spec.dtype.category < FLOAT:
            return payload
        return Packed(pack_hook(wrap(payload, spec, y.device, owner)), unpack_hook)

    mode = MODE.get()
    with using(mode.replace(grad=False, saved_tensors=None)):
        if kept is not None:
            kept = tuple([one(v, s) for v, s in zip(kept, specs, strict=True)])
        return kept, one(out, y.spec)
