"""What an op with a loop of its own must say of its lowering, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tabgrad.lower.plan  # noqa: F401 (the stage that checks)
from tabgrad.core.errors import RegistryError
from tabgrad.core.families import kernel
from tabgrad.core.op import REGISTRY
from tabgrad.lower import simplify
from tabgrad.lower.record import RECORDS, Record, register


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    ops, records, rules = dict(REGISTRY.ops), dict(RECORDS), dict(simplify.RULES)
    yield
    for table, old in ((REGISTRY.ops, ops), (RECORDS, records), (simplify.RULES, rules)):
        table.clear()
        table.update(old)  # type: ignore[arg-type]


def declare(name: str) -> None:
    def fn(x, *, axis):
        """Return nothing that matters."""
        return x

    fn.__name__ = name
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
