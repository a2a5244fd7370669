"""Describes what a compiled function has captured, and how a value is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tabgrad.compiler import keys
from tabgrad.core import tree
from tabgrad.core.trace import MODE, Box
from tabgrad.hosts.plan_explanation import KernelExplanation, ValueExplanation
from tabgrad.tensor.reading import lowered

if TYPE_CHECKING:
    from tabgrad.compiler.compiled import Compiled


@dataclass
class Explanation:
    """What a compiled function has captured for some arguments; `str` formats it as text."""

    name: str
    traces: int
    """How often the Python code ran for a capture, for all arguments."""
    dispatches: list[int] = field(default_factory=list)
    """The number of kernels of each plan, the newest first."""
    guards: list[list[str]] = field(default_factory=list)
    """What each plan depends on."""
    inputs: list[str] = field(default_factory=list)
    reason: str | None = None
    """Why the last call was not replayed; None if it was."""
    causes: dict[str, int] = field(default_factory=dict)
    """The causes of new traces, and how often each occurred."""
    others: int = 0
    """The number of plans for other arguments, or in other modes."""

    def __str__(self) -> str:
        traces = f"{self.traces} trace{'' if self.traces == 1 else 's'}"
        lines = [f"{self.name}: {traces}, "]
        if not self.dispatches:
            lines[0] += "nothing captured for these arguments"
        else:
            n = len(self.dispatches)
            lines[0] += f"{n} plan{'' if n == 1 else 's'} for these arguments"
            lines += [f"  input {text}" for text in self.inputs]
        for i, (dispatches, guards) in enumerate(zip(self.dispatches, self.guards, strict=True)):
            lines.append(f"  plan {i}: {dispatches} dispatches, replayed while")
            lines += [f"    {text}" for text in guards]
        if self.others and not self.dispatches:
            n = self.others
            lines.append(f"  {n} plan{'' if n == 1 else 's'} for other arguments or in other modes")
        if self.reason is not None:
            lines.append(f"  the last call was not replayed: it {self.reason}")
        lines += [f"  traced anew {n} times because of {what}" for what, n in self.causes.items()]
        return "\n".join(lines)


def explain(compiled: Compiled, *args: object, **kwargs: object) -> Explanation:
    """Describe what `compiled` has captured for calls with such arguments."""
    leaves, structure = tree.flatten((args, kwargs))
    key = keys.key_of(leaves, structure, MODE.get())
    found = Explanation(compiled.label, compiled.traces, causes=dict(compiled.causes))
    found.reason = compiled.runs_as_it_is or compiled.reason
    known = compiled.known.get(key) if key is not None else None
    for entry in known.entries if known is not None else ():
        found.dispatches.append(entry.dispatches)
        found.guards.append([*entry.words(), *entry.state.lines()])
    found.others = sum(len(k.entries) for k in compiled.known.values() if k is not known)
    found.inputs = [f"{x.spec} on {x.device}" for x in leaves if isinstance(x, Box)]
    return found


def explain_value(x: Any) -> ValueExplanation:
    """Describe how the value of a tensor is computed."""
    capture = MODE.get().capture
    if capture is not None:
        capture.refuse("asks how a tensor is computed")
    x = lowered(x, "explain")
    found: ValueExplanation = x.device.backend.planned(x.value, x.spec)
    return found


__all__ = ["Explanation", "KernelExplanation", "ValueExplanation", "explain", "explain_value"]
