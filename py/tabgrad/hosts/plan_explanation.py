"""Describes the plan of one value: its kernels, the buffers they read and write, and their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tabgrad.core.graph import Line, Value
from tabgrad.core.spec import Spec
from tabgrad.hosts.faults import lost_tensor, where
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.plan import Plan

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend


@dataclass(frozen=True)
class KernelExplanation:
    """One dispatch of a plan. `str` formats it as text that ends with the source."""

    label: str
    """The ops whose results it stores, or the name of a routine."""
    ops: tuple[str, ...]
    """All ops that it computes, except views, which only change how it reads."""
    grid: tuple[int, int, int]
    """Workgroups along each dimension."""
    reads: tuple[str, ...]
    """The names, in the plan, of the buffers that it reads."""
    writes: tuple[str, ...]
    """The names of the buffers that it writes."""
    lines: tuple[str, ...]
    """The lines of your program that recorded its ops."""
    source: str
    """The source that the device compiles, WGSL or CUDA C; empty for a library's routine."""

    def summary(self) -> str:
        """Describe everything but the source, in two or three lines."""
        x, y, z = self.grid
        size = "a routine of a library" if not self.source else f"{x} × {y} × {z} workgroups"
        text = f"{', '.join(self.ops) or self.label}: {size}"
        text += f"\n  reads {', '.join(self.reads) or 'nothing'}; writes {', '.join(self.writes)}"
        return text + (f"\n  recorded at {', '.join(self.lines)}" if self.lines else "")

    def __str__(self) -> str:
        return f"{self.summary()}\n\n{self.source}".rstrip()


@dataclass(frozen=True)
class ValueExplanation:
    """How a tensor's value is computed. `str` formats it as text without sources."""

    value: str
    """Dtype, shape and device of the tensor."""
    kernels: tuple[KernelExplanation, ...] = ()
    """The kernels in the order in which they run; empty if nothing has to run."""
    buffers: dict[str, int] = field(default_factory=dict)
    """The bytes of each buffer, by its name in the plan."""
    inputs: dict[str, str] = field(default_factory=dict)
    """The dtype and shape of each buffer that the plan reads but does not compute."""
    choices: dict[str, str] = field(default_factory=dict)
    """Which of several variants is taken for a kernel, and whether it was measured here or is the fixed one;
    empty where kernels are not measured (see `tabgrad.backends.webgpu`)."""
    reason: str | None = None
    """Why there is no plan; None if there is one."""

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
        lines += [f"choice for {question}: {chosen}" for question, chosen in self.choices.items()]
        return "\n  ".join(lines)


def planned(backend: DeviceBackend, value: Value, spec: Spec) -> ValueExplanation:
    """Describe how a device would compute `value`; nothing is sent, and no plan is kept."""
    graph = backend.graph
    if value.graph is not graph:
        raise lost_tensor("explain")
    title = f"{spec} on {backend.device}"
    buffer = graph.buffer[value.id]
    if buffer is not None:
        return ValueExplanation(title, reason=f"it is in a buffer of {buffer.nbytes:,} bytes")
    if backend.at_hand(value, spec) is not None:
        return ValueExplanation(title, reason="its numbers are known: reading them needs no device")
    whole = graph.buffer[backend.locate(value.id, spec)[0]]
    if whole is not None:
        return ValueExplanation(
            title,
            reason=f"it is read from a buffer of {whole.nbytes:,} bytes, of which it is a part",
        )
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
            {question: told(backend, question, its.taken) for question, its in plan.asked.items()},
        )


def told(backend: DeviceBackend, question: str, taken: str) -> str:
    """Say which variant is taken and why.

    It is "measured" if it is the answer to the question, and "fixed" if there is none yet.
    """
    answer = backend.choices.answers.get(question)
    return f"{taken} ({'measured' if answer == taken else 'fixed'})"


def named(plan: Plan) -> list[str]:
    """Name the slots of a plan."""
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
    k: Kernel, names: Sequence[str], lines: Sequence[Line | None], order: Sequence[int]
) -> KernelExplanation:
    """Describe one kernel."""
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
