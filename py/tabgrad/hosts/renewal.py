"""Lowers a plan again, after it was found that other variants of its kernels are faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.graph import Line
from tabgrad.hosts.replay import Stored
from tabgrad.lower.checks import Site
from tabgrad.lower.plan import Plan, lower

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


MEASURED = (
    "tile", "parts of a product", "parts of a convolution", "form of a convolution", "lanes", "scan",
    "attention", "attention gradient", "tensor cores",
)  # fmt: skip
"""The choices that depend on sizes (`Limits.decide`) in which questions are asked, or a precision."""


def outdate(
    backend: DeviceBackend, question: str | None = None, answer: str = "", every: bool = False
) -> None:
    """Mark the plans that answer a question otherwise, or all that asked any, or `every` one; each is lowered
    again at its next use."""
    unused = []
    backend.sizes.forget(*MEASURED)
    for key, stored in list(backend.plans.items()):
        asked = stored.plan.asked
        if not asked and not every:
            continue
        if question is not None:
            mine = asked.get(question)
            if mine is None or mine.taken == answer or answer not in mine.names():
                continue
        if len(key) == 4 and key[3] is not None:
            key[3].forget(*MEASURED)
        stored.outdated = key
        del backend.plans[key]
        if not stored.captured:
            unused.append(stored.id)
    if unused:
        backend.encoder.drop(unused)


def renewed(
    backend: DeviceBackend, old: Stored, values: Sequence[Any]
) -> tuple[Stored, list[Any]] | None:
    """Lower the plan of a compiled call again; return it with the values of its uniforms, given those of the
    old one. None if that can't be done."""
    key, old.outdated = old.outdated, None
    raw, places, often, dynamic = key
    known = {k: v for (k, _), v in zip(old.plan.uniforms, values, strict=True)}
    found: Stored | None = backend.plans.get(key)
    plan: Plan
    if found is None:
        backend.prefer(often, dynamic)
        plan = lower(raw, places, backend.dialect, backend.limits)
    else:
        plan = found.plan
    if any(k not in known and (k.__class__ is Site or k >= 0) for k, _ in plan.uniforms):
        return None
    now = [known[k] if k in known else -1 - k for k, _ in plan.uniforms]
    if found is None:
        found = backend.plans[key] = backend.store(plan, now, lines_of(old))
    return found, now


def lines_of(stored: Stored) -> dict[int, Line | None]:
    """Return the line of each recorded node that a plan computes."""
    return {
        k: line
        for kernel, lines in zip(stored.plan.kernels, stored.lines, strict=True)
        for k, line in zip([k for k in kernel.origins if k >= 0], lines, strict=True)
    }
