"""A plan that has run a few times gets the kernels of one that runs often, while the program uses it.

Such kernels take longer to compile and run faster; their results are the same, bit by bit. A few are written at
each run, and the host compiles them in the background. When all are there the plan takes them, a few at each
run; if one does not compile, it runs as it is.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tabgrad.hosts.commands import Pipeline
from tabgrad.hosts.eviction import let_go
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.plan import Plan

if TYPE_CHECKING:
    from tabgrad.hosts.device import DeviceBackend
    from tabgrad.hosts.replay import Stored

FEW = 4
"""How many times a plan runs as it is."""
SECONDS, PART = 0.001, 0.05
"""About how long kernels are written at one run: so many seconds, or this part of the time since the last run
if that is more. One is always written."""


AT_ONCE = 2
"""How many new texts a plan takes at one run: some drivers compile when a kernel first runs."""


class Rising:
    """The way of one plan, whose key is `key`: `left` are its kernels to be written, `made` those that are."""

    def __init__(self, key: Any, left: list[int]) -> None:
        self.key = key
        self.left = left
        self.runs = 0
        self.last = 0.0
        self.made: dict[int, Kernel] = {}

    def step(
        self, backend: DeviceBackend, stored: Stored, values: list[Any], order: list[int]
    ) -> Stored:
        """Count a run and go on; return the plan to run."""
        self.runs += 1
        now, before = time.perf_counter(), self.last
        self.last = now
        if self.runs <= FEW:
            return stored
        end = now + max(SECONDS, PART * (now - before))
        while self.left:
            self.write(backend, stored)
            if time.perf_counter() > end:
                return stored
        compiling = backend.host.compiling()
        if compiling > 0:
            return stored
        stored.rising = None
        if compiling < 0 or backend.plans.get(self.key) is not stored:
            return stored
        return self.arrive(backend, stored, values, order)

    def write(self, backend: DeviceBackend, stored: Stored) -> None:
        """Write the next kernel, and let the host compile it."""
        at = self.left[0]
        again = stored.plan.kernels[at].again
        assert again is not None
        kernel = self.made[at] = again()
        if (kernel.source, kernel.bindings, kernel.overrides) not in backend.pipelines:
            backend.host.compile_soon(
                Pipeline(0, kernel.label, kernel.source, kernel.bindings, kernel.overrides)
            )
        del self.left[0]

    def arrive(
        self, backend: DeviceBackend, old: Stored, values: list[Any], order: list[int]
    ) -> Stored:
        """Put a plan with the next of the new kernels in place of the old one."""
        texts = list(dict.fromkeys(k.source for k in self.made.values()))[:AT_ONCE]
        new = {i: k for i, k in self.made.items() if k.source in texts}
        kernels = [new.get(i, k) for i, k in enumerate(old.plan.kernels)]
        lines = [backend.graph.line[n] for n in order]
        stored = backend.store(replace(old.plan, kernels=kernels), values, lines)
        rest = {i: k for i, k in self.made.items() if i not in new}
        self.made, stored.rising = rest, self if rest else None
        backend.plans[self.key] = stored
        let_go(backend, [old])
        return stored


def rising(key: Any, plan: Plan) -> Rising | None:
    """Return the way of a new plan, None if it has no kernels that may be better."""
    left = [i for i, k in enumerate(plan.kernels) if k.again is not None]
    return Rising(key, left) if left else None
