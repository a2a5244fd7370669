"""Random programs: what a device computes in few kernels is what `cpu` computes step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings, strategies as st

import tabgrad as tg
from tests.fuzz.programs import Machine, Pair, start, step

pytestmark = pytest.mark.one_host("wgpu")
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def agree(pair: Pair) -> None:
    """Compare a value on both devices."""
    want, got = pair.want.detach().numpy(), pair.got.detach().numpy()
    assert got.shape == want.shape
    if pair.kind == "f":
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
    else:
        np.testing.assert_array_equal(got, want)


def gradients(machine: Machine, outputs: list[Pair]) -> list[Pair]:
    """Return the gradients of the sum of the float outputs, on both devices."""
    smooth = [o for o in outputs if o.want.requires_grad]
    if not smooth:
        return []
    leaves = [v for v in machine.leaves if v.want.requires_grad]
    found = []
    for side in ("want", "got"):
        total = sum((getattr(o, side) * 0.5).sum() for o in smooth)
        found.append(tg.autograd.grad(total, [getattr(v, side) for v in leaves], allow_unused=True))
    return [Pair(a, b) for a, b in zip(*found, strict=True) if a is not None]


def compare(data: Any, steps: int = 10, name: Any = "webgpu") -> None:
    """Make a program, run it under some limits of the device, and compare what it computes."""
    device = tg.device(name)
    backend = device.backend
    limits = backend.limits
    kept = (limits.buffers, limits.software, limits.quads)
    limits.buffers = data.draw(st.integers(5, 10), "buffers")
    limits.software = data.draw(st.booleans(), "software")
    limits.quads = data.draw(st.booleans(), "quads")
    backend.plans.clear()
    try:
        machine = start(Machine(data.draw, ((tg, "cpu"), (tg, device))))
        for _ in range(data.draw(st.integers(1, steps), "steps")):
            step(machine)
        note("\n".join(machine.text))
        numbers = data.draw(
            st.sets(st.integers(0, len(machine.values) - 1), min_size=1, max_size=4)
        )
        outputs = [machine.values[i] for i in sorted({*numbers, len(machine.values) - 1})]
        note(f"outputs {sorted({*numbers, len(machine.values) - 1})}")
        if data.draw(st.booleans(), "gradients"):
            outputs += gradients(machine, outputs)
        machine.values.clear()
        for pair in outputs:
            agree(pair)
        for stored in backend.plans.values():
            for kernel in stored.plan.kernels:
                assert len(set(kernel.slots)) <= limits.buffers, kernel.label
    except BaseException:
        # What was recorded and never ran must not be part of the next program.
        device._backend = None
        raise
    finally:
        limits.buffers, limits.software, limits.quads = kept
        backend.plans.clear()


@settings(deadline=None, derandomize=True, max_examples=150, suppress_health_check=CHECKS)
@given(data=st.data())
def test_a_device_computes_what_cpu_does(data: Any) -> None:
    compare(data)
