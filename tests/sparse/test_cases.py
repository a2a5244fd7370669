"""Every program of `cases.py` does what PyTorch does, or raises where that is said here."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.sparse import cases, record, running

EXPECTED = json.loads(record.PATH.read_text())
PROGRAMS = list(dict.fromkeys(cases.PROGRAMS))

MORE = {
    "a.unsqueeze(0).squeeze(0)", "a[n([1, 0])]", "c.any()", "x = a.clone(); x.relu_(); x",
    "t.nn.functional.relu(a.clone(), inplace=True)", "t.nn.functional.linear(E, A, V[1:])",
}  # fmt: skip
"""Programs that PyTorch refuses, and that have an answer here."""

REFUSED = {
    "t.stack([G, G]).to_sparse_csr()": "a compressed layout holds one matrix",
    "t.sparse_csr_tensor(n([[0, 1], [0, 1]]), n([[0], [1]]), f([[1.], [2.]]))": "as to_sparse_csr",
}
"""Programs that PyTorch answers, and that raise here."""

FEWER = {"a * b", "A * B"}
"""Programs where PyTorch stores zeros that aren't stored here."""

DEVICE = {
    *PROGRAMS[::8],
    "A @ D",
    "G @ c",
    "A @ B.t()",
    "t.sparse.softmax(A, 0)",
    "A.coalesce().values()",
}
"""Programs that a lazy device runs, too."""

WIDE = ("double", "float64")


def close(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return not isinstance(a, str) and math.isclose(a, b, rel_tol=2e-5, abs_tol=2e-6)
    return bool(a == b)


@pytest.mark.every_host
@grouped("code", PROGRAMS, size=400)
def test_a_program_does_what_pytorch_does(code: str, device: str) -> None:
    wanted = EXPECTED[code]
    if device == "webgpu" and (code not in DEVICE or any(word in code for word in WIDE)):
        return
    with tg.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = json.loads(json.dumps(running.outcome(tg, code, device)))
    if code in REFUSED:
        assert "SparseError" in found["error"], found
    elif code in MORE:
        assert "error" in wanted, wanted
        assert "result" in found, found
    elif "error" in wanted:
        assert "error" in found, found
    else:
        if code in FEWER:
            del wanted["result"]["indices"], found["result"]["indices"]
        assert "result" in found, found
        assert close(found["result"], wanted["result"]), f"{found}\nexpected {wanted}"
        if "grads" in wanted:
            assert close(found["grads"], wanted["grads"]), f"{found}\nexpected {wanted}"
