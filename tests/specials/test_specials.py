"""Every call of `points.py` at special values gives what PyTorch has told: classes and signs to the bit.

NaN is NaN, an infinity or a zero has its sign, integers and bools are equal, numbers are close. In a gradient a
zero has no sign, and what is far below 1 counts as 0. What differs
stands in `differences.txt` with its reason; what stands there and no longer differs fails.
"""

from __future__ import annotations

import fnmatch
import pathlib
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.sampling import takes_samples
from tests.specials import points, record, running

pytestmark = pytest.mark.every_host

EXPECTED = record.load()
NARROW = {"int64": "int32", "float64": "float32"}
SMALLEST = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
CLOSE = {"float16": 6e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 1e-9}


class Known(NamedTuple):
    """A line of the table: where a difference is expected, and why."""

    device: str
    dtype: str
    what: str
    call: str
    reason: str


def known() -> list[Known]:
    """Return the lines of `differences.txt`."""
    text = pathlib.Path(__file__).with_name("differences.txt").read_text()
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            head, _, reason = line.partition("  # ")
            assert reason, f"no reason: {line}"
            found.append(Known(*head.split(None, 3), reason))
    return found


KNOWN = known()


def decoded(y: dict[str, Any]) -> Any:
    """Return the elements of a recorded tensor, bfloat16 as float32."""
    raw = bytes.fromhex(y["data"])
    if y["dtype"] == "bfloat16":
        a = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        a = np.frombuffer(raw, y["dtype"])
    return a.reshape(y["shape"])


def flushed(shape: list[int], dtype: str) -> Any:
    """Return where a subnormal number goes in, as which a device may take 0."""
    out = np.zeros(shape, bool)
    if dtype not in ("float32", "bfloat16"):
        return out

    def small(v: Any) -> bool:
        return bool(0 < abs(v) < SMALLEST[dtype])

    line = points.paired(dtype)
    n = out.size
    if n == len(points.values(dtype)):
        out.flat[:] = [small(v) for v in points.values(dtype)]
    elif n == len(line) ** 2:
        out.flat[:] = [small(a) or small(b) for a in line for b in line]
    elif len(shape) and shape[0] == len(points.rows(dtype)):
        out[[any(map(small, r)) for r in points.rows(dtype)]] = True
    return out


def difference(
    found: dict[str, Any], wanted: dict[str, Any], dtype: str, device: str, signs: bool = True
) -> str:
    """Return where and how a tensor differs from what was recorded, "" where it does not."""
    kind = NARROW.get(wanted["dtype"], wanted["dtype"]) if device == "webgpu" else wanted["dtype"]
    if (found["dtype"], found["shape"]) != (kind, wanted["shape"]):
        return f"{found['dtype']}{found['shape']} for {kind}{wanted['shape']}"
    a, b = decoded(found), decoded(wanted)
    if kind not in CLOSE:
        same = a == b
    else:
        a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(all="ignore"):
            least = SMALLEST[kind] if signs else 0.005
            near = np.abs(a - b) <= CLOSE[kind] * np.maximum(np.abs(b), least)
            near = near & np.isfinite(a) & np.isfinite(b)
            zero = (b == 0) | (a == 0)
            small = (np.abs(b) < SMALLEST[kind]) & (a == 0) if device == "webgpu" else False
            signed = np.signbit(a) == np.signbit(b)
            same = np.where(zero & signs, (a == b) & signed, near | (a == b))
        same = same | small | (np.isnan(a) & np.isnan(b))
    if device == "webgpu":
        same = same | flushed(wanted["shape"], dtype)
    if same.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{(~same).sum()} of {same.size}, at {at}: {a[at]!r} for {b[at]!r}"


def zeros_like(y: Any) -> dict[str, Any]:
    """Return zeros in the place of a gradient that there is none of."""
    return {**y, "data": "0" * len(y["data"])}


def differences(call: str, dtype: str, device: str) -> dict[str, str]:
    """Return how values and gradients of a call differ from what was recorded."""
    wanted = EXPECTED[call][dtype]
    found = running.outcome(tg, call, dtype, device)
    if found is None:
        return {"value": "refused"}
    out = {}
    pairs = list(zip(found["results"], wanted["results"], strict=False))
    if len(found["results"]) != len(wanted["results"]):
        out["value"] = f"{len(found['results'])} results for {len(wanted['results'])}"
    for a, b in pairs:
        text = difference(a, b, dtype, device)
        if text:
            out.setdefault("value", text)
    if dtype in running.GRADIENTS:
        text = gradient_difference(found, wanted, dtype, device)
        if text:
            out["gradient"] = text
    return out


def gradient_difference(
    found: dict[str, Any], wanted: dict[str, Any], dtype: str, device: str
) -> str:
    """Return how the gradients of a call differ: which results and inputs have one, and their numbers."""
    if wanted["gradients"] is None:
        # what does not require grad has none either
        return f"{list(found['gradients'])} for a refusal" if found["gradients"] else ""
    if found["requires_grad"] != wanted["requires_grad"]:
        return f"requires_grad {found['requires_grad']} for {wanted['requires_grad']}"
    if found["gradients"] is None:
        return "a refusal"
    ours, theirs = found["gradients"], wanted["gradients"]
    for name in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(name), theirs.get(name)
        text = difference(a or zeros_like(b), b or zeros_like(a), dtype, device, False)
        if text:
            return f"{name}: {text}"
    return ""


def dtypes_of(call: str, device: str) -> list[str]:
    """Return the dtypes in which PyTorch has a result, and the device values."""
    absent = NARROW if device == "webgpu" else ()
    return [d for d in EXPECTED[call] if d not in absent]


CALLS = [c for c in EXPECTED if EXPECTED[c]]


def sampled() -> set[tuple[str, str]]:
    """Return the calls and dtypes that a device runs: float32, and of each function in another each third."""
    times: Counter[tuple[str, str]] = Counter()
    found = set()
    for call in CALLS:
        for dtype in EXPECTED[call]:
            kind = call.partition("(")[0], dtype
            if dtype == "float32" or times[kind] % 3 == 0:
                found.add((call, dtype))
            times[kind] += 1
    return found


SAMPLED = sampled()


@grouped("call", CALLS)
def test_call(call: str, device: str) -> None:
    dtypes = dtypes_of(call, device)
    lines = [
        k
        for k in KNOWN
        if fnmatch.fnmatchcase(device, k.device)
        and fnmatch.fnmatchcase(call, k.call.replace("[", "[[]"))
        and fnmatch.filter(dtypes, k.dtype)
    ]
    if takes_samples(device) and not lines:
        dtypes = [d for d in dtypes if (call, d) in SAMPLED]
    used: set[Known] = set()
    wrong = []
    for dtype in dtypes:
        for what, text in differences(call, dtype, device).items():
            match = [
                k for k in lines if fnmatch.fnmatchcase(dtype, k.dtype) and k.what in (what, "*")
            ]
            used.update(match)
            if not match:
                wrong.append(f"{dtype} {what}: {text}")
    assert not wrong, f"{call}\n" + "\n".join(wrong)
    stale = [k for k in lines if k not in used]
    assert not stale, f"{call} no longer differs: take out {stale}"


@pytest.mark.one_host("reference")
def test_every_function_is_recorded() -> None:
    missing = set(points.calls(tg)) - EXPECTED.keys()
    assert not missing, f"run `python -m tests.specials.record` where PyTorch is: {sorted(missing)}"
