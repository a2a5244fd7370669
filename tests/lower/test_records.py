"""What an op with a loop of its own must say of its lowering, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tabgrad.lower.plan  # noqa: F401 (the stage that checks)
from tabgrad.core.dtype import float32
from tabgrad.core.errors import RegistryError
from tabgrad.core.families import kernel
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import spec
from tabgrad.lower import simplify
from tabgrad.lower.ir import Program
from tabgrad.lower.limits import Limits
from tabgrad.lower.record import RECORDS, Record, check_names, register


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    ops = {op.name: op for op in REGISTRY}
    rooms, records, rules = dict(REGISTRY.rooms), dict(RECORDS), dict(simplify.RULES)
    yield
    for table, old in (
        (REGISTRY.ops, ops), (REGISTRY.rooms, rooms), (RECORDS, records), (simplify.RULES, rules),
    ):  # fmt: skip
        table.clear()
        table.update(old)  # type: ignore[arg-type]


def declare(name: str, module: str = __name__) -> None:
    def fn(x, *, axis):
        """Return nothing that matters."""
        return x

    fn.__name__, fn.__module__ = name, module
    kernel(
        infer=lambda x, *, axis: x,
        derivative=None,
        batching=lambda n, args, dims, **params: args[0],
        samples=lambda: iter([(((2, 3),), {"axis": 1})]),
    )(fn)


def test_every_op_of_the_kernel_family_has_a_record() -> None:
    assert {op.lowering for op in REGISTRY if op.family == "kernel"} <= RECORDS.keys()


def test_an_op_without_a_record_is_refused_when_it_is_declared() -> None:
    with pytest.raises(RegistryError, match="orphan: an op of the kernel family needs a record"):
        declare("orphan")
    assert "orphan" not in REGISTRY


def test_an_op_with_a_record_is_taken() -> None:
    register(Record(op="grown", line=lambda e, n, count: None, threads=lambda n: 1))
    declare("grown")
    assert "grown" in REGISTRY


def test_a_late_room_is_imported_when_one_of_its_ops_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "late_room.py"
    room.write_text(
        "from tests.lower.test_records import declare\ndeclare('late', 'late_room')\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    REGISTRY.add_room("late_room", "late", "never")
    register(Record(op="late", line=lambda e, n, count: None, threads=lambda n: 1))
    check_names()
    assert "late" in REGISTRY
    assert "late" not in REGISTRY.ops
    with pytest.raises(RegistryError, match="late: late_room has an op of this name"):
        declare("late")
    assert REGISTRY["late"].name == "late"
    with pytest.raises(RegistryError, match="never: no op has this name"):
        REGISTRY["never"]
    assert REGISTRY["late"] in list(REGISTRY)


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (Record(op="cumsum", line=print, threads=len), "registered already"),
        (Record(op="empty"), "needs `element`, `line`, `passes` or `routine`"),
        (Record(op="half", line=print), "`line` and `threads` go together"),
        (Record(op="gone", element=print), "`element` needs `sources`"),
    ],
)
def test_a_record_that_is_wrong_is_refused(record: Record, complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        register(record)


def test_a_second_rewrite_of_an_op_is_refused() -> None:
    assert "reduce_sum" in simplify.RULES
    with pytest.raises(RegistryError, match="reduce_sum: has a rewrite already"):
        simplify.rule("reduce_sum")(lambda p, params, srcs: None)


def test_what_names_no_op_is_refused() -> None:
    with pytest.raises(RegistryError, match="rsqrtt: has a rewrite, but no op has this name"):
        simplify.rule("rsqrtt")(lambda p, params, srcs: None)
    assert "rsqrtt" not in simplify.RULES
    check_names()
    register(Record(op="cumsumm", line=print, threads=len))
    with pytest.raises(RegistryError, match="cumsumm: has a record of its lowering, but no op"):
        check_names()
    with pytest.raises(RegistryError, match="matmull: no op has this name"):
        REGISTRY["matmull"]


@pytest.mark.parametrize("name", ["sort", "gather"])
def test_a_routine_that_no_record_calls_is_refused(name: str) -> None:
    with pytest.raises(RegistryError, match=f"{name}: a routine of the host, but no record"):
        Limits(routines=("matmul", name))


def test_a_rewrite_that_names_no_op_is_named() -> None:
    simplify.rule("exp")(lambda p, params, srcs: simplify.apply(p, "expp", *srcs))
    p = Program()
    x = p.input(spec((3,), float32))
    with pytest.raises(RegistryError, match="exp: its rewrite failed: expp: no op has this name"):
        simplify.apply(p, "exp", x)
