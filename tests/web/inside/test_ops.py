"""The op suite inside Pyodide: every case of every op, and what PyTorch computed, on the browser's own GPU."""

from __future__ import annotations

import json
import pathlib

from tests.web.inside.marks import deadline, each, in_parts, numpy

DATA = pathlib.Path(__file__).parents[2] / "ops" / "cases.json"

loaded: dict[str, list[dict]] = {}


def by_op() -> dict[str, list[dict]]:
    """The cases of each op, read once."""
    if not loaded:
        for case in json.loads(DATA.read_text()):
            loaded.setdefault(case["op"], []).append(case)
    return loaded


def ops(device: str) -> list[str]:
    """The names of all ops; where NumPy is, their cases are written first."""
    from tests.ops import cases

    if device == "webgpu":
        cases.write(DATA)
    return [op.name for op in cases.written()]


def functions(device: str) -> list[str]:
    """The names of the functions that the oracle knows."""
    text = DATA.with_name("oracle.json").read_text()
    return sorted({entry["function"] for entry in json.loads(text)})


@deadline(300)
@in_parts
@each(ops)
@numpy
async def test_op(device, name):
    from tests.ops import replay

    wrong = []
    for case in by_op()[name]:
        complaint = await replay.check_async(case, device)
        if complaint:
            wrong.append(f"{case['id']}: {complaint}")
    assert not wrong, "\n".join(wrong[:5])


@deadline(300)
@in_parts
@each(functions)
@numpy
async def test_function(device, name):
    from tests.ops import recorded

    wrong = []
    for entry in recorded.entries().values():
        if entry["function"] == name:
            complaint = await recorded.check_async(entry, device)
            if complaint:
                wrong.append(f"{entry['name']}: {complaint}")
    assert not wrong, "\n".join(wrong[:5])
