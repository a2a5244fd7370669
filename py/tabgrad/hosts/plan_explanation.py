"""The plan of one value in words: its kernels, what they read and write, and their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tabgrad.core.spec import Spec
from tabgrad.hosts.answers import lost_tensor
from tabgrad.hosts.faults import where
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.plan import Plan

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


@dataclass(frozen=True)
class KernelExplanation:
    """One dispatch of a plan. `str` of it is a text for people, which ends with the source."""

    label: str
    """The ops that it was made for, without those computed on the way; or the name of a routine."""
    ops: tuple[str, ...]
    """All ops that it computes, but for views: these are only another way to read."""
    grid: tuple[int, int, int]
    """Workgroups along each dimension."""
    reads: tuple[str, ...]
    """The buffers that it reads, by their names in the plan."""
    writes: tuple[str, ...]
    """The buffers that it writes."""
    lines: tuple[str, ...]
    """The lines of your program that recorded what it computes."""
    source: str
    """The text that the device compiles, WGSL or CUDA C; empty for a library's routine."""

    def summary(self) -> str:
        """Return all but the source, as two or three lines."""
        x, y, z = self.grid
        size = "a routine of a library" if not self.source else f"{x} × {y} × {z} workgroups"
        text = f"{', '.join(self.ops) or self.label}: {size}"
        text += f"\n  reads {', '.join(self.reads) or 'nothing'}; writes {', '.join(self.writes)}"
        return text + (f"\n  recorded at {', '.join(self.lines)}" if self.lines else "")

    def __str__(self) -> str:
        return f"{self.summary()}\n\n{self.source}".rstrip()


@dataclass(frozen=True)
class ValueExplanation:
    """How a tensor's value is computed. `str` of it is a text for people, without sources."""

    value: str
    """Dtype, shape and device of the tensor."""
    kernels: tuple[KernelExplanation, ...] = ()
    """What runs, in this order; empty where nothing has to run."""
    buffers: dict[str, int] = field(default_factory=dict)
    """Bytes of each buffer, by its name in the plan."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Dtype and shape of each buffer that the plan reads and does not compute."""
    reason: str | None = None
    """Why there is no plan, where there is none."""

    @property
    def dispatches(self) -> int:
        """How many kernels run."""
        return len(self.kernels)

    def __str__(self) -> str:
        if self.reason is not None:
            return f"{self.value}: no plan, {self.reason}"
        n = self.dispatches
        lines = [f"{self.value}: {n} dispatch{'' if n == 1 else 'es'}"]
        for name, nbytes in self.buffers.items():
            form = f"{self.inputs[name]}, " if name in self.inputs else ""
            lines.append(f"{name}: {form}{nbytes:,} bytes")
        for i, kernel in enumerate(self.kernels):
            lines += f"kernel {i}: {kernel.summary()}".split("\n")
        return "\n  ".join(lines)


def planned(backend: DeviceBackend, value: Any, spec: Spec) -> ValueExplanation:
    """Return how a device would compute `value`; nothing is sent, and no plan is kept."""
    graph = backend.graph
    if value.graph is not graph:
        raise lost_tensor("explain")
    title = f"{spec} on {backend.device}"
    buffer = graph.buffer[value.id]
    if buffer is not None:
        return ValueExplanation(title, reason=f"it is in a buffer of {buffer.nbytes:,} bytes")
    graph.collect()
    with graph.held():
        order = graph.ancestors([value.id])
        plan, inputs = backend.planned_anew(order, [value.id])
        names = named(plan)
        return ValueExplanation(
            title,
            tuple([kernel_of(k, names, graph.line, order) for k in plan.kernels]),
            dict(zip(names, plan.nbytes, strict=True)),
            dict(zip(names, [str(graph.spec[n]) for n in inputs], strict=False)),
        )


def named(plan: Plan) -> list[str]:
    """Return names for the slots of a plan."""
    names = []
    kept = plan.output_slots
    for slot in range(len(plan.nbytes)):
        if slot < plan.inputs:
            names.append(f"input {slot}")
        elif slot in kept:
            names.append("result")
        elif slot == plan.errors:
            names.append("errors")
        else:
            names.append(f"temporary {slot}")
    return names


def kernel_of(
    k: Kernel, names: Sequence[str], lines: Sequence[Any], order: Sequence[int]
) -> KernelExplanation:
    """Return what there is to say of a kernel."""
    # a routine writes its last operand
    letters = k.bindings if not k.routine else "r" * (len(k.slots) - 1) + "w"
    bound = list(zip(k.slots, letters.removesuffix("u"), strict=True))
    recorded = {lines[order[i]] for i in k.origins if i >= 0}
    return KernelExplanation(
        k.label,
        k.ops,
        k.grid,
        tuple(dict.fromkeys(names[s] for s, letter in bound if letter == "r")),
        tuple(dict.fromkeys(names[s] for s, letter in bound if letter != "r")),
        tuple(sorted({where(line) for line in recorded if line})),
        k.source,
    )
