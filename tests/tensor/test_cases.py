"""Every program of `cases.py` does what PyTorch does: values, dtypes, shapes, gradients, kinds of errors."""

from __future__ import annotations

import importlib.util
import json
import math
from typing import Any

import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.tensor import cases, record, running

EXPECTED = json.loads(record.PATH.read_text())
CASES = [(topic, code) for topic, codes in cases.TOPICS.items() for code in codes]
NARROW = {"int64": "int32", "float64": "float32"}


@pytest.fixture(autouse=True)
def on_the_device(device: str) -> Any:
    with tg.device(device):
        yield


def close(a: Any, b: Any) -> bool:
    a, b = (float(x) if isinstance(x, str) and x in ("nan", "inf", "-inf") else x for x in (a, b))
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return bool(a == b)
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=2e-5, abs_tol=2e-6)


def check(found: Any, wanted: Any, device: str, where: str) -> None:
    if isinstance(wanted, dict):
        assert isinstance(found, dict), f"{where}: {found}"
        dtype = (
            NARROW.get(wanted["dtype"], wanted["dtype"]) if device == "webgpu" else wanted["dtype"]
        )
        assert (found["dtype"], found["shape"]) == (dtype, wanted["shape"]), where
        check(found["values"], wanted["values"], device, where)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), f"{where}: {found} for {wanted}"
        for a, b in zip(found, wanted, strict=True):
            check(a, b, device, where)
    elif isinstance(wanted, str) and wanted in tg.core.dtype.NAMES and device == "webgpu":
        assert found == NARROW.get(wanted, wanted), where
    elif isinstance(wanted, str) and "dtype=torch.int" in wanted and device == "webgpu":
        # int32 is the usual integer there, so its text does not name it
        assert found.split(", dtype")[0].rstrip(")") == wanted.split(", dtype")[0].rstrip(")"), (
            where
        )
    else:
        assert close(found, wanted), f"{where}: {found} for {wanted}"


@pytest.mark.every_host
@grouped("topic, code", CASES, ids=lambda case: "-".join(case).replace("\n", ";"), sampled=2)
def test_case(topic: str, code: str, device: str) -> None:
    wanted = EXPECTED[topic][code]
    found = running.outcome(tg, code, device)
    if "error" in wanted:
        assert "error" in found, f"PyTorch raises {wanted['message']}"
        assert set(wanted["error"]) <= set(found["error"]), f"{found} for {wanted}"
        return
    assert "error" not in found, found["message"]
    check(found["result"], wanted["result"], device, "result")
    if "no_gradients" in wanted:
        return
    ours, theirs = found.get("gradients", {}), wanted.get("gradients", {})
    for name in {*ours, *theirs}:
        # no gradient and a gradient of zeros are the same to whoever adds them up
        if name in ours and name in theirs:
            check(ours[name], theirs[name], device, f"gradient of {name}")
        else:
            assert not any((ours.get(name) or theirs[name])["values"]), f"gradient of {name}"


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch, the source of the recording, is absent",
)
def test_the_recording_is_what_pytorch_says() -> None:
    for topic, outcomes in record.recorded().items():
        assert outcomes.keys() == EXPECTED[topic].keys()
        for code, wanted in outcomes.items():
            assert ("error" in wanted) == ("error" in EXPECTED[topic][code]), code
            if "result" in wanted:
                check(EXPECTED[topic][code]["result"], wanted["result"], "cpu", code)
