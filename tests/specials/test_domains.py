"""Each special function is as close to its true value as it says, over its whole domain, on every device."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.specials import record_domains
from tests.specials.domains import DOMAINS, Domain

TRUE: dict[str, list[float]] = json.loads(record_domains.PATH.read_text())
ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24}
LEAST, MOST = 1e-37, 1e38
"""Float32 values beyond these are not asked of a device."""


def errors(domain: Domain, dtype: str, device: str) -> list[tuple[float, Any]]:
    """Return the error at each point, in units of rounding of its scale, and the point."""
    points = [*domain.points, *(domain.wide if dtype == "float64" else [])]
    columns = [
        tg.tensor(list(c), dtype=getattr(tg, dtype), device=device)
        for c in zip(*points, strict=True)
    ]
    found = getattr(tg.special, domain.name)(*columns).cpu().numpy().astype(np.float64).tolist()
    out = []
    for p, y, wanted in zip(points, found, TRUE[domain.name], strict=False):
        if dtype == "float32" and not LEAST < abs(wanted) < MOST:
            continue
        off = abs(y - wanted) / (domain.scale(wanted, *p) * ROUNDING[dtype])
        out.append((off, (p, y, wanted)))
    return out


@pytest.mark.every_host
@pytest.mark.parametrize("domain", DOMAINS, ids=lambda d: d.name)
def test_within_its_bound(domain: Domain, device: str) -> None:
    dtypes = ("float64", "float32") if device == "cpu" else ("float32",)
    for dtype in dtypes:
        bound = domain.units[dtype == "float32"]
        # not max, which may pass nan over
        wrong = [e for e in errors(domain, dtype, device) if not e[0] <= bound]
        assert not wrong, (
            f"{dtype}: {len(wrong)} beyond {bound}, as {max(wrong, key=lambda e: e[0])}"
        )


@pytest.mark.one_host("reference")
def test_every_value_is_recorded() -> None:
    sizes = {d.name: len(d.points) + len(d.wide) for d in DOMAINS}
    assert sizes == {name: len(values) for name, values in TRUE.items()}
