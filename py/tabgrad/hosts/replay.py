"""Runs plans: each is stored at the host once, then replayed with a table of buffers and the changed words."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import copysign
from typing import TYPE_CHECKING, Any

from tabgrad.hosts.commands import Dispatch, Nested, Routine, Window
from tabgrad.hosts.pool import Buffer, Pool
from tabgrad.hosts.reads_ahead import Habit
from tabgrad.lower import verify
from tabgrad.lower.dialect import pack_words
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.plan import Plan

if TYPE_CHECKING:
    from tabgrad.hosts.encoder import Encoder
    from tabgrad.hosts.error_reports import ErrorReports
    from tabgrad.hosts.rising import Rising


HOT = 16
"""A plan that has run so often is worth measuring variants of its kernels."""


class Stored:
    """A plan that is stored at a host: its list, its last uniform words, and its temporary buffers.

    `values` and `zeros` are the numbers of the last run; None if the host may not have them. `home[slot]` is
    the number of the temporary buffer of a slot; slots whose lifetimes don't overlap may share one. `pipelines`
    are those of its kernels, and `lines` tells where the nodes of each were recorded. `captured` counts the
    compiled calls that replay it, and `gone` says whether the host has lost it. `runs` counts its runs,
    `outdated` is the key of its plan if other variants of kernels are known to be faster, `rising` its
    way to kernels for many runs, and `habit` what is read of it.
    """

    def __init__(
        self,
        list_id: int,
        plan: Plan,
        reports: ErrorReports,
        pipelines: frozenset[int] = frozenset(),
    ) -> None:
        self.id = list_id
        self.plan = plan
        self.reports = reports
        self.pipelines = pipelines
        self.lines: list[list[Any]] = []
        self.captured = 0
        self.gone = False
        self.runs = 0
        self.outdated: Any = None
        self.rising: Rising | None = None
        self.words: list[int] = []
        self.values: list[Any] | None = []
        self.zeros: list[bool] = []
        self.failures = 0
        self.spans: list[tuple[int, int]] = []
        self.sizes: list[int] = []
        self.home: dict[int, int] = {}
        self.dispatches = len(plan.kernels)
        self.outputs = plan.output_slots
        self.habit = Habit()
        self.share()

    def share(self) -> None:
        """Assign temporary buffers; slots whose lifetimes don't overlap may share one."""
        plan = self.plan
        free: list[int] = []
        ends: dict[int, list[int]] = {}
        starts: dict[int, list[int]] = {}
        for slot, (first, last) in plan.temporaries.items():
            starts.setdefault(first, []).append(slot)
            ends.setdefault(last, []).append(slot)
        for i in range(len(plan.kernels)):
            for slot in starts.get(i, ()):
                need = plan.nbytes[slot]
                fitting = [t for t in free if need <= self.sizes[t] <= 2 * need + 256]
                if fitting:
                    best = min(fitting, key=self.sizes.__getitem__)
                    free.remove(best)
                else:
                    best = len(self.sizes)
                    self.sizes.append(need)
                self.home[slot] = best
            for slot in ends.get(i, ()):
                free.append(self.home[slot])
        verify.sharing(plan, self.home, self.sizes)

    def run(
        self, encoder: Encoder, pool: Pool, inputs: Sequence[Buffer], values: Sequence[Any]
    ) -> dict[int, Buffer]:
        """Replay the plan; return the buffers of its output slots."""
        outputs = {slot: pool.take(self.plan.nbytes[slot]) for slot in self.outputs}
        if not self.plan.kernels:
            return outputs
        self.runs += 1
        if self.runs == HOT and self.plan.asked:
            pool.backend.notice(self)
        temporaries = [pool.take(n) for n in self.sizes]
        slots = [b.id for b in inputs]
        home = self.home
        for slot in range(len(inputs), len(self.plan.nbytes)):
            out = outputs.get(slot)
            if out is not None:
                slots.append(out.id)
            elif slot == self.plan.errors:
                slots.append(self.reports.bound())
            elif slot in home:
                slots.append(temporaries[home[slot]].id)
            else:
                slots.append(next(iter(outputs.values())).id)
        patches = self.patches(values, pool.failures)
        encoder.replay(self.id, array("I", slots), patches)
        if self.values is None:
            self.values, self.zeros, self.failures = list(values), zeros_of(values), pool.failures
        born = encoder.clock
        carried = self.reports.carried(inputs, self.plan.errors >= 0)
        for slot, out in outputs.items():
            out.slot = slot
            out.born = born
            out.carried = carried
        return outputs

    def patches(self, values: Sequence[Any], failures: int) -> array[int]:
        """Return (index, word) for each uniform word that differs from the host's.

        The host's words are unknown until the replay that sends them is in the packet, and after more
        `failures` of packets; then all words are sent.
        """
        out = array("I")
        last = self.values
        if failures != self.failures or last is None:
            last = None
        elif values == last and self.zeros == zeros_of(values):
            return out
        self.values = None
        for i, (_, kind) in enumerate(self.plan.uniforms):
            value = values[i]
            if last is not None and value == last[i] and value != 0:
                continue
            at = self.spans[i][0]
            for k, word in enumerate(pack_words(value, kind)):
                if last is None or self.words[at + k] != word:
                    self.words[at + k] = word
                    out.append(at + k)
                    out.append(word)
        return out

    def commands(self, pipelines: Sequence[int], values: Sequence[Any]) -> list[Nested]:
        """Make the commands of the list, with these values in the uniforms."""
        out: list[Nested] = []
        self.values = list(values)
        self.zeros = zeros_of(values)
        i = 0
        windows: dict[Window, int] = {}
        for kernel, pipeline in zip(self.plan.kernels, pipelines, strict=True):
            slots = bound(kernel, windows, len(self.plan.nbytes), out)
            words: list[int] = []
            for _, kind in kernel.uniforms:
                packed = pack_words(values[i], kind)
                self.spans.append((len(self.words) + len(words), len(packed)))
                words.extend(packed)
                i += 1
            if not kernel.routine:
                words.extend(kernel.words)
            words.extend([0] * (-len(words) % 4))
            self.words.extend(words)
            if kernel.routine:
                out.append(Routine(pipeline, slots, kernel.words))
            else:
                out.append(Dispatch(pipeline, *kernel.grid, slots, tuple(words)))
        return out


def bound(
    kernel: Kernel, windows: dict[Window, int], n_slots: int, out: list[Nested]
) -> tuple[int, ...]:
    """Return the slots that a kernel binds; windows among them are added to the list at first use."""
    if not kernel.spans:
        return tuple(kernel.slots)
    slots = []
    for slot, span in zip(kernel.slots, kernel.spans, strict=True):
        if span is None:
            slots.append(slot)
            continue
        window = Window(slot, *span)
        if window not in windows:
            windows[window] = n_slots + len(windows)
            out.append(window)
        slots.append(windows[window])
    return tuple(slots)


def zeros_of(values: Sequence[Any]) -> list[bool]:
    """Return the sign of each zero among the numbers, because 0.0 and -0.0 compare equal."""
    return [copysign(1.0, v) < 0 for v in values if v == 0 and v.__class__ is not complex]


def same(a: complex | None, b: complex | None) -> bool:
    """Whether two numbers are the same to every op: zeros of different signs are not, two nans are."""
    return (a == b or (a != a and b != b)) and zeros_of((a,)) == zeros_of((b,))
