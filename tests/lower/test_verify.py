"""What is verified between the stages of lowering: each rule is broken once, and named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.dtype import float32, int32
from tabgrad.core.spec import NO_PARAMS, spec
from tabgrad.lower import plan as plans, verify
from tabgrad.lower.emit import Emitter
from tabgrad.lower.fuse import Fuser
from tabgrad.lower.group import Group
from tabgrad.lower.index import const, var
from tabgrad.lower.ir import Program
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.limits import Limits
from tabgrad.lower.memory import Memory
from tabgrad.lower.pieces import join_in_place
from tabgrad.lower.plan import Plan, lower
from tabgrad.lower.printer import KernelPrinter
from tabgrad.lower.simplify import apply
from tabgrad.lower.tokens import Size
from tabgrad.lower.verify import Broken
from tabgrad.lower.wgsl import WGSL
from tests.lower import recorder

VECTOR = spec((64,), float32)
SCALAR = spec((), float32)


def program() -> Program:
    """A sum, and what is made of it: two groups, as an output wants both."""
    p = Program()
    x = p.input(VECTOR)
    total = apply(p, "reduce_sum", apply(p, "exp", x), axes=(0,))
    again = apply(p, "cumsum", apply(p, "expand", apply(p, "reshape", total, shape=(1,)), shape=(64,)),
                  axis=0, reverse=False)  # fmt: skip
    p.outputs = [total, again]
    p.finish()
    return p


def unplaced(p: Program) -> None:
    p.nodes[1], p.nodes[2] = p.nodes[2], p.nodes[1]


def used_before(p: Program) -> None:
    p.nodes[1].srcs = (p.nodes[2],)


def forgotten(p: Program) -> None:
    p.nodes[0].users.clear()


def other_edge(p: Program) -> None:
    p.nodes[1].spec = spec((64,), int32)


def foreign(p: Program) -> None:
    p.outputs[0] = program().outputs[0]


def other_output(p: Program) -> None:
    p.outputs.reverse()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (unplaced, "is value 1 of the program"),
        (used_before, "reads %2, which is not defined before it"),
        (forgotten, "is not among the users of"),
        (other_edge, "is float32[64] by its sources"),
        (foreign, "is not defined"),
        (other_output, "was recorded as"),
    ],
)
def test_programs(change: Callable[[Program], None], says: str) -> None:
    p = program()
    verify.program(p, [SCALAR, VECTOR])
    change(p)
    with pytest.raises(Broken, match=re.escape(says)):
        verify.program(p, [SCALAR, VECTOR])


def late(groups: list[Group]) -> None:
    groups.reverse()


def twice(groups: list[Group]) -> None:
    groups.append(groups[0])


def missing(groups: list[Group]) -> None:
    groups.pop()


def far(groups: list[Group]) -> None:
    groups[1].members[0].op, groups[1].kind = groups[0].members[0].op, "map"
    groups[1].index[groups[1].members[0].id] = (var("g", 65),)


def flat(groups: list[Group]) -> None:
    groups[1].index[groups[1].members[0].id] = ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (late, "before a group makes it"),
        (twice, "and by <row"),
        (missing, "which is stored"),
        (far, "g is not from 0 to 63"),
        (flat, "1 numbers are needed"),
    ],
)
def test_groups(change: Callable[[list[Group]], None], says: str) -> None:
    p = program()
    fuser = Fuser(p, Limits())
    groups = fuser.run()
    verify.groups(p, groups, fuser.stored)
    change(groups)
    with pytest.raises(Broken, match=re.escape(says)):
        verify.groups(p, groups, fuser.stored)


def test_a_read_from_outside_of_a_stored_value() -> None:
    p = Program()
    x = p.input(spec((8,), float32))
    y = apply(p, "exp", apply(p, "slice", x, starts=(4,), stops=(8,), steps=(1,)))
    p.outputs = [y]
    p.finish()
    fuser = Fuser(p, Limits())
    groups = fuser.run()
    verify.groups(p, groups, fuser.stored)
    y.srcs[0].params = {"starts": (5,), "stops": (9,), "steps": (1,)}  # type: ignore[assignment]
    with pytest.raises(Broken, match=re.escape("g + 5 is not from 0 to 7")):
        verify.groups(p, groups, fuser.stored)
    groups[0].index[y.id] = (const(-1),)
    with pytest.raises(Broken, match="0u - 1 is not from 0 to 3"):
        verify.groups(p, groups, fuser.stored)


def test_what_has_no_elements_reads_none() -> None:
    p = Program()
    x = apply(p, "reshape", p.input(spec((1,), float32)), shape=(1, 1))
    behind = apply(p, "slice", x, starts=(1, 0), stops=(1, 1), steps=(1, 1))
    p.outputs = [apply(p, "exp", apply(p, "reshape", behind, shape=(0,)))]
    p.finish()
    fuser = Fuser(p, Limits())
    groups = fuser.run()
    verify.groups(p, groups, fuser.stored)


def placed(p: Program) -> Memory:
    m = Memory(p, WGSL(), {})
    for o in p.outputs:
        m.place(o)
    return m


def test_memory() -> None:
    p = program()
    needed = {o.id for o in p.outputs}
    m = placed(p)
    verify.memory(p, m, needed)
    total, again = p.outputs
    m.places[total.id] = (m.places[again.id][0], 63)
    with pytest.raises(Broken, match="lies over"):
        verify.memory(p, m, needed)
    m.places[total.id] = (m.places[again.id][0], 64)
    with pytest.raises(Broken, match="does not fit into slot"):
        verify.memory(p, m, needed)
    del m.places[total.id]
    with pytest.raises(Broken, match="is needed and has no place"):
        verify.memory(p, m, needed)


def test_a_piece_lies_inside_of_its_cat_only() -> None:
    p = Program()
    xs = [apply(p, "exp", p.input(spec((4,), float32))) for _ in range(5)]
    cat = apply(p, "cat", *xs, axis=0)
    p.outputs = [cat]
    p.finish()
    m = Memory(p, WGSL(), {x: (cat, 4 * k) for k, x in enumerate(xs)})
    for n in (cat, *xs):
        m.place(n)
    verify.memory(p, m, {cat.id})
    m.places[xs[1].id] = m.places[xs[2].id]
    with pytest.raises(Broken, match="lies over"):
        verify.memory(p, m, {cat.id})


def test_rows_of_a_piece_end_in_those_of_its_cat() -> None:
    p = Program()
    x = p.input(spec((3, 4), float32))
    halves = [apply(p, name, x) for name in ("exp", "sin")]
    cat = apply(p, "cat", *halves, axis=1)
    p.outputs = [cat]
    p.finish()
    inside = join_in_place(p, limits=Limits())
    assert inside == {halves[0]: (cat, 0), halves[1]: (cat, 4)}
    assert [s.rows for s in halves] == [(4, 8), (4, 8)]
    m = Memory(p, WGSL(), inside)
    for n in (cat, *halves):
        m.place(n)
    verify.memory(p, m, {cat.id})
    halves[1].rows = 4, 6
    with pytest.raises(Broken, match="has rows of 4 at 4"):
        verify.memory(p, m, {cat.id})
    halves[1].rows = 4, 8
    m.places[halves[1].id] = m.places[halves[0].id]
    with pytest.raises(Broken, match="lies over"):
        verify.memory(p, m, {cat.id})


def plan(limits: Limits) -> Plan:
    """A sum of exponentials, in two kernels as one cannot bind enough, and a running sum."""
    ops = tg.core.op.REGISTRY
    params = {"axis": 0, "reverse": False}
    running = (ops["cumsum"], tg.core.spec.intern_params(params), (0,), VECTOR)
    raw: Any = [(None, NO_PARAMS, (), VECTOR), running, (ops["exp"], NO_PARAMS, (1,), VECTOR)]
    return lower(raw, (2,), WGSL(), limits)


def changed(at: int, **changes: Any) -> Callable[[Plan], None]:
    def change(made: Plan) -> None:
        made.kernels[at] = replace(made.kernels[at], **changes)

    return change


def cut(made: Plan) -> None:
    made.kernels.pop(0)


def unfinished(made: Plan) -> None:
    made.kernels.pop()


def grown(made: Plan) -> None:
    made.outputs = [(slot, 1, spec) for slot, _, spec in made.outputs]


def short(made: Plan) -> None:
    made.temporaries = {slot: (first, first) for slot, (first, _) in made.temporaries.items()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cut, "which none has written"),
        (changed(0, bindings="wr"), "writes input 0"),
        (changed(0, bindings="r"), "binds 'r' to slots"),
        (changed(0, grid=(65536, 1, 1)), "has a grid of"),
        (changed(0, source=f"{Size(4)}"), "is not written out"),
        (changed(0, bindings="rwu"), "does not bind its uniform words"),
        (changed(0, slots=[0, 9]), "binds slot 9 of 3"),
        (changed(0, slots=[1, 1]), "binds slot 1 twice and writes it"),
        (changed(0, spans=((128, 128), None)), "binds 128 bytes from 128 on"),
        (changed(0, spans=((0, 512), None)), "binds 512 bytes from 0 on"),
        (changed(0, bindings="rrrrrrrrw", slots=[0] * 8 + [2]), "binds 9 buffers of 8"),
        (unfinished, "which holds an output"),
        (grown, "does not fit into slot"),
        (short, "which lives from 0 to 0"),
    ],
)
def test_plans(change: Callable[[Plan], None], says: str) -> None:
    limits = Limits()
    made = plan(limits)
    verify.plan(made, WGSL(), limits)
    change(made)
    with pytest.raises(Broken, match=re.escape(says)):
        verify.plan(made, WGSL(), limits)


def test_what_one_binding_may_reach() -> None:
    made = plan(Limits())
    with pytest.raises(Broken, match="binds 256 bytes of slot 0: 128 are the most"):
        verify.plan(made, WGSL(), Limits(binding=128))


def test_what_shares_a_buffer_is_not_alive_at_once() -> None:
    made = plan(Limits())
    made.temporaries, made.nbytes = {1: (0, 1), 2: (1, 3), 3: (4, 4)}, [256] * 4
    verify.sharing(made, {1: 0, 2: 1, 3: 0}, [256, 256])
    with pytest.raises(Broken, match="slots 1 and 2 are alive in buffer 0 at once"):
        verify.sharing(made, {1: 0, 2: 0, 3: 0}, [256])
    with pytest.raises(Broken, match="slot 3 does not fit into buffer 1 of 128 bytes"):
        verify.sharing(made, {1: 0, 2: 2, 3: 1}, [256, 128, 256])


def test_lowering_is_verified_in_tests_only_where_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ordered = Fuser.ordered
    monkeypatch.setattr(Fuser, "ordered", lambda self: ordered(self)[::-1])
    where = recorder.device()
    x = tg.zeros(8, device=where).cumsum(0).exp()
    with pytest.raises(Broken, match="before a group makes it"):
        x.tolist()
    monkeypatch.setattr(verify, "ON", False)
    verify.groups(program(), [], set())


# -- what kernels have to do ------------------------------------------------------------------------


def lowered(kind: str) -> None:
    """Lower, on a device that only records, something whose kernels are of this kind."""
    where = recorder.device()
    where.backend.limits.software = kind == "direct product"
    x = tg.zeros(700, device=where).cumsum(0).reshape(70, 10)
    made = {
        "map": lambda: x.exp(),
        "rows": lambda: (x.sum(1), x.exp()),
        "workgroups": lambda: x.T.sum(1),
        "product": lambda: x @ x.T,
        "direct product": lambda: x @ x.T,
        "cat": lambda: tg.cat([x * k for k in range(6)]),
        "sort": lambda: x.reshape(2, 350).repeat(1, 3).argsort(1),
        "scan": lambda: tg.zeros(9000, device=where).exp().cumsum(0),
        "scatter": lambda: tg.zeros(5, 140, device=where).scatter_add(
            0, (x * 0).int().reshape(5, 140), x.reshape(5, 140)
        ),
    }[kind]()
    where.backend.flush()
    del made


KINDS = ["map", "rows", "workgroups", "product", "direct product", "cat", "sort", "scan", "scatter"]
"""Each is printed by other code."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_grid_that_is_a_workgroup_short(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lowered(kind)
    package = KernelPrinter.package

    def short(self: Any, *args: Any) -> Any:
        k = package(self, *args)
        return replace(k, grid=(max(k.grid[0] - 1, 1), *k.grid[1:]))

    monkeypatch.setattr(KernelPrinter, "package", short)
    with pytest.raises(Broken, match=r"has a grid of \(\d+, 1, 1\) for \d+|lets \d+ through for"):
        lowered(kind)


@pytest.mark.parametrize("kind", ["map", "rows", "product", "cat", "scatter"])
def test_a_store_one_further(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Emitter.store

    def further(self: Any, n: Any, index: Any, value: str) -> None:
        store(self, n, (*index[:-1], index[-1] + 1), value)

    monkeypatch.setattr(Emitter, "store", further)
    with pytest.raises(Broken, match=r"writes .* of \d+|is written to \d+ of \d+"):
        lowered(kind)


@pytest.mark.parametrize("kind", ["map", "rows", "cat", "scatter"])
def test_threads_that_are_not_guarded_off(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emitter, "guard", lambda self, name, count, each: None)
    with pytest.raises(Broken, match=r"lets \d+ through for \d+ elements"):
        lowered(kind)


@pytest.mark.parametrize("kind", ["map", "rows", "scatter"])
def test_a_guard_for_another_number(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Emitter.guard
    monkeypatch.setattr(
        Emitter, "guard", lambda self, name, n, each: guard(self, name, n - 1, each)
    )
    with pytest.raises(Broken, match=r"lets \d+ through for \d+ elements"):
        lowered(kind)


@pytest.mark.parametrize("kind", ["map", "rows", "product", "cat"])
def test_a_group_without_a_kernel(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of a cat is one: what is left of the cat is read all the same."""
    kernels = KernelPrinter.kernels

    def dropped(self: Any, g: Group, needed: set[int]) -> Any:
        return [] if g.kind != "library" else kernels(self, g, needed)

    monkeypatch.setattr(KernelPrinter, "kernels", dropped)
    with pytest.raises(
        Broken, match=r"is written to \d+ of \d+|which none has written|holds an output"
    ):
        lowered(kind)


@pytest.mark.parametrize("kind", ["sort", "scan"])
@pytest.mark.parametrize("kept", [slice(1), slice(1, None), slice(-1), slice(None, None, -1)])
def test_passes_of_a_kernel_that_are_missing(
    kind: str, kept: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = plans.printed
    monkeypatch.setattr(plans, "printed", lambda *args: printed(*args)[kept])
    with pytest.raises(Broken, match=r"dispatch \d+ of a group of \d+ is missing|none has written"):
        lowered(kind)


def test_a_uniform_word_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    package = KernelPrinter.package

    def fewer(self: Any, *args: Any) -> Any:
        k = package(self, *args)
        return replace(k, uniforms=k.uniforms[1:])

    monkeypatch.setattr(KernelPrinter, "package", fewer)
    with pytest.raises(Broken, match="reads 1 uniform words of 0"):
        lowered("cat")


def test_a_word_of_a_dispatch_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Kernel.written
    monkeypatch.setattr(
        Kernel, "written", lambda k, *rest: written(replace(k, words=k.words[1:]), *rest)
    )
    with pytest.raises(Broken, match="reads 2 uniform words of 1"):
        lowered("sort")


def test_a_value_without_elements_may_be_stored_in_a_loop_that_never_runs() -> None:
    device = recorder.device()
    x = tg.ones(2, 3, device=device) * 2
    device.backend.flush()
    picked = x[tg.tensor([], dtype=tg.int32, device=device)] * 1
    total = picked.sum()
    device.backend.flush()
    assert (picked.shape, total.shape) == ((0, 3), ())
