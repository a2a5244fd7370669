"""Every function of shaders/lib against its @reference over its @domain, within its @error."""

from __future__ import annotations

import re
import zlib

import gpu
import numpy as np
import pytest
import references

from tabgrad.lower import library

FUNCTIONS = library.all_functions()
REFERENCED = sorted(name for name, f in FUNCTIONS.items() if "reference" in f.front_matter.tags)
SIGNATURE = re.compile(r"^fn \w+\(([^)]*)\) -> (\w+) \{")
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def parameters(name: str) -> tuple[list[tuple[str, str]], str]:
    found = SIGNATURE.match(FUNCTIONS[name].source)
    assert found, FUNCTIONS[name].source
    pairs = [tuple(part.strip() for part in p.split(":")) for p in found[1].split(",") if p]
    return pairs, found[2]


def float_samples(
    low: float, high: float, smallest: float, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Linear, logarithmic, near-integer and end-point samples of [low, high]; specials if it is unbounded."""
    specials = np.array([])
    if np.isinf(low):
        specials, low, high = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0]), -3e38, 3e38
    linear = rng.uniform(low / 2, high / 2, count) * 2
    reach = max(abs(low), abs(high))
    logarithmic = np.exp(rng.uniform(np.log(smallest), np.log(reach), 2 * count)) * rng.choice([-1, 1], 2 * count)
    near_one = 1 + rng.normal(size=count) * np.exp(rng.uniform(-16, -1, count))
    whole = np.round(rng.uniform(-12, 12, count)) / 2
    ends = np.array([low, high, 0.0, 1.0, -1.0])
    values = np.concatenate([linear, logarithmic, near_one, -near_one, whole, ends])
    values = values[(values >= low) & (values <= high)].astype(np.float32)
    return np.concatenate([np.clip(values, np.float32(low), np.float32(high)), specials.astype(np.float32)])


def samples(name: str, count: int = 5000) -> list[np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    domains = dict(text.split(": ") for text in FUNCTIONS[name].front_matter.tags.get("domain", ()))
    columns = []
    for parameter, kind in parameters(name)[0]:
        limits, _, smallest = domains[parameter].removesuffix(" integer").partition(" beyond ")
        low, high = (float(end) for end in limits.split(".."))
        if kind == "f32":
            columns.append(float_samples(low, high, float(smallest or 1e-37), rng, count))
        else:
            values = np.concatenate([rng.integers(int(low), int(high), 4 * count, endpoint=True), [int(low), int(high)]])
            columns.append(values.astype(gpu.SCALARS[kind]))
    if len(columns) == 1:
        return columns
    size = min(20000, 4 * max(len(column) for column in columns))
    return [rng.choice(column, size) for column in columns]


def reference(name: str, inputs: list[np.ndarray]) -> np.ndarray:
    wide = [x.astype(float) if x.dtype == np.float32 else x for x in inputs]
    scope = {**vars(references), **dict(zip((n for n, _ in parameters(name)[0]), wide, strict=True)), "np": np}
    with np.errstate(all="ignore"):
        return np.asarray(eval(FUNCTIONS[name].front_matter.tag("reference"), scope))


def excess(got: np.ndarray, want: np.ndarray, bound: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the error in ulp of every element, and whether it is outside the bound."""
    want = np.broadcast_to(want, got.shape)
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32).astype(float)
        error = np.nan_to_num(np.abs(got.astype(float) - want), nan=np.inf)
        unit = np.spacing(np.maximum(np.abs(rounded), SMALLEST_NORMAL).astype(np.float32)).astype(float)
        ulp = np.where((got.astype(float) == rounded) | (np.isnan(got) & np.isnan(want)), 0.0, error / unit)
        flushed = (np.abs(rounded) < SMALLEST_NORMAL) & (np.abs(got) <= SMALLEST_NORMAL)
    ulp = np.where(np.isnan(ulp), np.inf, np.where(flushed, 0.0, ulp))
    if bound == "exact":
        return ulp, ulp != 0
    outside = np.ones(got.shape, bool)
    for part in bound.split(" or "):
        amount, unit_name = part.split(" ")
        outside &= (ulp if unit_name == "ulp" else np.where(ulp == 0, 0, error)) > float(amount)
    return ulp, outside


@pytest.mark.parametrize("name", REFERENCED)
def test_function_is_within_its_error_bound(name: str) -> None:
    inputs = samples(name) if parameters(name)[0] else []
    result = parameters(name)[1]
    if inputs:
        got = gpu.map_function(library.functions([name]), name, inputs, result)
    else:
        wrapper = f"fn wrapped(x: f32) -> f32 {{ return {name}(); }}\n"
        got = gpu.map_function(library.functions([name]) + wrapper, "wrapped", [np.zeros(4, np.float32)], result)
    want = reference(name, inputs)
    ulp, outside = excess(got, want, FUNCTIONS[name].front_matter.tag("error"))
    worst = np.argmax(np.where(outside, ulp + 1, 0))
    assert not outside.any(), (
        f"{name}{tuple(x[worst] for x in inputs)} gave {got[worst]!r}, expected "
        f"{np.broadcast_to(want, got.shape)[worst]!r} ({ulp[worst]:.3g} ulp; {outside.sum()} of {got.size} outside)"
    )
