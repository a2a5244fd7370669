"""What a device prefers for its next plan: by its expected runs, and by what was measured on the adapter."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tabgrad.hosts.commands import Pipeline
from tabgrad.hosts.tuning import CHOOSING, Precision, measures
from tabgrad.lower.variants import Choices

if TYPE_CHECKING:
    from tabgrad.hosts.host import Host
    from tabgrad.hosts.probing import Probe
    from tabgrad.hosts.replay import Stored
    from tabgrad.lower.dialect import Dialect
    from tabgrad.lower.dynamic import Dynamic
    from tabgrad.lower.kernel import Kernel
    from tabgrad.lower.limits import Limits

OFTEN, SELDOM = 40, 4
"""The expected number of runs of a captured plan, and of any other plan."""


class Choosing:
    """The part of a backend that knows preferences. `probe` measures, once a plan has run often."""

    host: Host
    limits: Limits
    dialect: Dialect
    lock: AbstractContextManager[object]
    pipelines: dict[Any, int]

    def __init__(self) -> None:
        self.known: Choices | None = None
        self.probe: Probe | None = None
        CHOOSING.add(self)

    def prefer(self, often: bool, dynamic: Dynamic | None) -> None:
        """Set the preferences for the next plan."""
        limits = self.limits
        limits.runs, limits.later, limits.dynamic = OFTEN if often else SELDOM, OFTEN, dynamic
        limits.choices, limits.tf32 = None, Precision.tf32
        limits.printed = None if self.host.foresee is None else self.foresee
        if self.dialect.templates and measures(limits.software):
            limits.choices = self.choices

    def foresee(self, kernel: Kernel) -> None:
        """Let the host begin with a new pipeline, while the rest of its plan is printed."""
        its = kernel.source, kernel.bindings, kernel.overrides
        if self.host.foresee is not None and not kernel.routine and its not in self.pipelines:
            self.host.foresee(Pipeline(0, kernel.label, *its))

    @property
    def choices(self) -> Choices:
        """The variants of kernels that are known to be the fastest ones here."""
        if self.known is None:
            from tabgrad.hosts.kept_answers import load

            self.known = Choices(load(self.host))
        return self.known

    def choose_anew(self, every: bool = False) -> None:
        """Lower plans again that have made choices, or `every` one: what they may choose has changed."""
        from tabgrad.hosts.renewal import outdate

        with self.lock:
            outdate(self, every=every)  # type: ignore[arg-type]

    def notice(self, stored: Stored) -> None:
        """Note that a plan runs often: the variants of its kernels may be measured."""
        if self.probe is None:
            from tabgrad.hosts.probing import Probe

            self.probe = Probe(self)  # type: ignore[arg-type]
        self.probe.notice(stored)
