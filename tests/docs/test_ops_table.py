"""The generated table of ops names the ops there are."""

from __future__ import annotations

import pathlib
import re

import tabgrad.ops  # noqa: F401 (fills the registry)
from tabgrad.core.op import REGISTRY
from tabgrad.core.several import Part

TABLE = pathlib.Path(__file__).parents[2] / "py" / "OPS.md"


def test_every_op_has_a_row_and_every_row_an_op() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", TABLE.read_text("utf-8"), re.MULTILINE))
    kinds = ("tabgrad.core.families", "tabgrad.core.several")
    ours = {op.name for op in REGISTRY if type(op).__module__ in kinds and not isinstance(op, Part)}
    missing, gone = ours - rows, rows - {op.name for op in REGISTRY}
    assert not missing, (
        f"run `python -m tests.ops.table --devices cpu webgpu`: {missing} have no row"
    )
    assert not gone
