"""Variants of a kernel: each computes the same, whatever the sizes and however the operands lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.op import REGISTRY
from tabgrad.lower.kernels.attention import FORMS, Tile
from tabgrad.lower.kernels.attention_gradient import FORMS as GRADIENT_FORMS
from tabgrad.lower.shared_tiles import TILES, candidates, twice
from tabgrad.lower.variants import Choices
from tests.lower import recorder
from tests.lower.forced import Forced, forced


def product(
    device: str, turned: str, b: int, m: int, n: int, k: int, dtype: Any
) -> tuple[Any, Any]:
    """A product of operands that lie as they are or turned ("nt": the second one), and its true value."""
    rng = np.random.default_rng(m * 100 + n)
    x, y = rng.integers(-4, 5, (b, m, k)), rng.integers(-4, 5, (b, k, n))
    both = []
    for one, how in ((x, turned[0]), (y, turned[1])):
        stored = one.transpose(0, 2, 1) if how == "t" else one
        made = tg.tensor(np.ascontiguousarray(stored).astype(np.float32), device=device).to(dtype)
        both.append(made.mT if how == "t" else made)
    return (both[0] @ both[1]).float() + 1, x @ y + 1


SIZES = (
    (1, 5, 3, 7),
    (2, 36, 68, 20),
    (1, 129, 67, 33),
    (3, 16, 132, 24),
    (1, 68, 16, 40),
    (1, 4, 4, 4),
)


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_tiles_of_workgroup_memory(device: str, dtype: str) -> None:
    """Small integers have exact products and sums, in any order."""
    if dtype == "float16" and not tg.device(device).backend.has_float16:  # type: ignore[attr-defined]
        pytest.skip("the adapter has no float16")
    tiles = [*TILES, *(twice(t) for t in TILES if twice(t).nbytes <= 16384)]
    if dtype == "float16":
        tiles = [*tiles[::6], *(replace(t, half=True) for t in tiles[1::5])]
    kind = getattr(tg, dtype)
    for i, tile in enumerate(tiles):
        with forced(device, Forced(tile=tile)):
            made = []
            for j, sizes in enumerate(SIZES):
                if (i + j) % 2:
                    continue
                turned = ("nn", "nt", "tn", "tt")[(i + j) % 4]
                made.append((f"{tile}: {turned} {sizes}", *product(device, turned, *sizes, kind)))
            for what, got, want in made:
                np.testing.assert_array_equal(got.numpy(), want, err_msg=what)


@pytest.mark.one_host("wgpu")
def test_candidates_of_a_software_adapter(device: str) -> None:
    made = []
    for number in range(8):
        with forced(device, Forced(number), software=True):
            for j, sizes in enumerate(SIZES):
                turned = ("nn", "nt", "tn", "tt")[(number + j) % 4]
                got, want = product(device, turned, *sizes, tg.float32)
                made.append((f"{number}: {turned} {sizes}", got.numpy(), want))
    for what, got, want in made:
        np.testing.assert_array_equal(got, want, err_msg=what)


def sources(where: Any, make: Callable[[], tg.Tensor]) -> str:
    return str([k.source for k in tg.compiler.explain(make()).kernels])


def test_elements_are_loaded_four_at_a_time_where_they_lie_so() -> None:
    where = recorder.device()
    where.backend.limits.software = False  # type: ignore[attr-defined]
    x, y, odd = (tg.rand(*s, device=where) for s in ((64, 32), (32, 64), (32, 63)))
    row = tg.rand(64, 64, device=where)
    for t in (x, y, odd, row):
        where.backend.compute_all([t.value.id])  # type: ignore[attr-defined]
    for what, make, lies in (
        ("rows of lhs, columns of rhs", lambda: x @ y, ("inner", "across")),
        ("turned", lambda: y.mT @ x.mT, ("across", "inner")),
        ("columns that are no multiple of four", lambda: x @ odd, ("inner", "")),
        ("both turned, of which one is odd", lambda: odd.mT @ x.mT, ("", "inner")),
        ("padded", lambda: tg.nn.functional.pad(x, (0, 0, 4, 0)) @ y, ("", "across")),
        ("part of a row", lambda: row[:, 4:36] @ y, ("inner", "across")),
        ("part of a row that begins between", lambda: row[:, 3:35] @ y, ("", "across")),
        ("every other step", lambda: row[:, ::2] @ y, ("", "across")),
    ):
        text = sources(where, make)
        for side, how in zip(("lhs", "rhs"), lies, strict=True):
            assert (f"load_{side}_four(" in text) == bool(how), (what, side)
            assert (f"fn {side}_block(" in text) == (how == "inner"), (what, side)


def test_a_kernel_binds_no_more_buffers_than_a_device_allows_for_wide_loads() -> None:
    """An operand that the epilogue reads too is bound twice."""
    where = recorder.device()
    where.backend.limits.software = False  # type: ignore[attr-defined]
    x = tg.rand(64, 64, device=where)
    more = [tg.rand(64, 64, device=where) for _ in range(6)]
    where.backend.flush()  # type: ignore[attr-defined]
    plan = tg.compiler.explain(x @ x + x)
    assert plan.dispatches == 1
    text = plan.kernels[0].source
    assert "array<vec4<f32>>" in text
    assert "array<f32>" in text
    total = x @ more[0] + x
    for t in more[1:]:
        total = total * t
    for kernel in tg.compiler.explain(total).kernels:
        assert kernel.source.count("var<storage") <= where.backend.limits.buffers  # type: ignore[attr-defined]


LONG = ((1, 5, 3, 1024), (2, 20, 12, 768), (1, 4, 4, 4096))
"""Products with few elements and a long sum."""


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("software", [False, True])
def test_sums_of_products_in_parts(device: str, software: bool) -> None:
    """Each number of parts, with an epilogue, operands that lie turned, and both kinds of tile."""
    seen = set()
    for number in range(6):
        with forced(device, Forced(number), software) as backend:
            for j, sizes in enumerate(LONG):
                turned = ("nn", "nt", "tn", "tt")[(number + j) % 4]
                got, want = product(device, turned, *sizes, tg.float32)
                np.testing.assert_array_equal(got.numpy(), want, err_msg=f"{number}: {sizes}")
            seen |= {
                (q, a.taken)
                for s in backend.plans.values()
                for q, a in s.plan.asked.items()
                if q.startswith("parts")
            }
    assert {taken for _, taken in seen} >= {"1", "2", "4", "8"}


def every_other(cases: dict[str, Any], number: int) -> list[tuple[str, Any]]:
    """Choose half of the cases for a variant, the other half for the next."""
    return [*cases.items()][number % 2 :: 2]


ROWS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda x: x.sum(2),
    "columns": lambda x: x.sum(1),
    "outer and inner": lambda x: x.sum((0, 2)),
    "the greatest": lambda x: x.amax(1),
    "the least": lambda x: x.amin(2),
    "its place": lambda x: x.argmax(2).float(),
    "its place in a column": lambda x: x.argmin(1).float(),
    "a product": lambda x: (x / 9).cos().prod(2),
    "two steps": lambda x: (x - x.mean(2, keepdim=True)).square().sum(2),
    "softmax": lambda x: x.softmax(2),
    "all": lambda x: (x > -9).all(2).float(),
    "any": lambda x: (x > 8).any(1).float(),
    "integers": lambda x: x.int().sum(2).float() + x.int().amax(2).float(),
    "place of an integer": lambda x: x.int().argmin(2).float(),
    "complex": lambda x: tg.complex(x, x + 1).sum(2).imag,
}


@pytest.mark.one_host("wgpu")
def test_threads_of_a_row(device: str) -> None:
    """Any number of them, for rows and columns, joined by a tree or by subgroups."""
    rng = np.random.default_rng(3)
    x = rng.integers(-9, 10, (3, 70, 90)).astype(np.float32)
    x[1, 4, 5] = x[1, 4, 80] = x[2, 69, 89] = np.nan
    x[0, 0] = -np.inf
    taken = set()
    for number in range(9):
        with forced(device, Forced(number)) as backend:
            on, here = tg.tensor(x, device=device), tg.tensor(x, device="cpu")
            whole = tg.tensor(np.nan_to_num(x, posinf=3, neginf=-3), device=device)
            for what, fn in every_other(ROWS, number):
                extreme = "the" in what or "its" in what
                of = on if extreme else whole
                tg.testing.assert_close(
                    fn(of).cpu(), fn(here if extreme else whole.cpu()), rtol=1e-5, atol=1e-4,
                    equal_nan=True, msg=f"{number}: {what}",
                )  # fmt: skip
            asked = [q for s in backend.plans.values() for q in s.plan.asked.items()]
            rows = [(q.split()[3], a.taken) for q, a in asked if q.startswith("threads")]
            assert {"row", "column"} <= {kind for kind, _ in rows}
            taken |= {how for _, how in rows}
    assert taken >= {"1", *(f"{n}{how}" for n in (32, 64, 128) for how in ("", " subgroups"))}


SCANS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda x: x.cumsum(1),
    "columns": lambda x: x[:, :700].cumsum(0),
    "integers, from the end": lambda x: x.int().flip(1).cumsum(1).flip(1).float(),
    "gradient": lambda x: gradient(lambda y: y.cumsum(1).square(), x),
    "complex": lambda x: tg.complex(x, x + 1).cumsum(1).imag,
    "products": lambda x: (1 + x / 1e3).cumprod(1),
    "extremes": lambda x: x.cummax(1).indices.float(),
    "log-sum-exps": lambda x: (x / 9).logcumsumexp(1),
}


def gradient(fn: Callable[[Any], Any], x: Any) -> Any:
    x = x.clone().requires_grad_()
    return tg.autograd.grad(fn(x).sum(), x)[0]


@pytest.mark.one_host("wgpu")
def test_threads_of_a_scan(device: str) -> None:
    """Any number of them, in one span and in several, joined by a tree or by subgroups."""
    rng = np.random.default_rng(5)
    x = rng.integers(-4, 5, (2, 5003)).astype(np.float32)
    taken = set()
    for number in range(8):
        with forced(device, Forced(number)) as backend:
            on, here = tg.tensor(x, device=device), tg.tensor(x, device="cpu")
            for what, fn in every_other(SCANS, number):
                for part in (slice(0, 301), slice(None)):
                    tg.testing.assert_close(
                        fn(on[:, part]).cpu(), fn(here[:, part]), rtol=1e-4, atol=1e-3,
                        msg=f"{number}: {what}, {part}",
                    )  # fmt: skip
            asked = [q for s in backend.plans.values() for q in s.plan.asked.items()]
            taken |= {a.taken for q, a in asked if q.startswith("threads of a scan")}
    assert taken == {f"{n}{how}" for n in (32, 64, 128, 256) for how in ("", " subgroups")}


HEADS = (
    # batch, L, S, E, D
    (2, 19, 21, 6, 5),
    (1, 70, 130, 64, 64),
    (3, 33, 70, 100, 12),
    (1, 40, 257, 4, 128),
)


@pytest.mark.one_host("wgpu")
def test_tiles_of_attention(device: str) -> None:
    attention = REGISTRY["attention"]
    rng = np.random.default_rng(7)
    asked: dict[str, Any] = {}
    taken = set()
    for number in range(len(FORMS)):
        with forced(device, Forced(number)) as backend:
            for at, (b, rows, length, depth, width) in enumerate(HEADS):
                shapes = ((rows, depth), (length, depth), (length, width), (rows, length))
                made = [rng.normal(size=(b, *s)).astype(np.float32) for s in shapes]
                causal, masks = bool((number + at) % 2), (number + at) % 3 > 0
                given = made if masks else made[:3]
                got = attention.bind(
                    *(tg.tensor(x, device=device) for x in given), causal=causal, scale=0.3
                )
                want = attention.fn(*(x.astype(float) for x in given), causal=causal, scale=0.3)
                np.testing.assert_allclose(
                    got.numpy(), want, rtol=1e-4, atol=1e-4, err_msg=str(number)
                )
            asked |= {q: a for s in backend.plans.values() for q, a in s.plan.asked.items()}
            taken |= {a.taken for q, a in asked.items() if q.startswith("attention")}
    assert {" ".join(q.split()[7:]) for q in asked} >= {"", "causal", "masked", "causal masked"}
    assert {str(Tile(each, threads // each, keys)) for each, threads, keys in FORMS} == taken


@pytest.mark.one_host("wgpu")
def test_tiles_of_attentions_gradient(device: str) -> None:
    op = REGISTRY["attention_gradient"]
    rng = np.random.default_rng(8)
    asked: dict[str, Any] = {}
    for number in range(len(GRADIENT_FORMS)):
        with forced(device, Forced(number)) as backend:
            b, rows, length, depth, width = HEADS[2 if number == 6 else 0]
            shapes = (
                (rows, width),
                (rows, depth),
                (length, depth),
                (length, width),
                (rows, length),
            )
            made = [rng.normal(size=(b, *s)).astype(np.float32) for s in shapes]
            how: Any = {"causal": bool(number % 2), "scale": 0.3}
            given = made if number % 4 > 1 else made[:4]
            got = op.bind(*(tg.tensor(x, device=device) for x in given), **how)
            for one, want in zip(got, op.fn(*(x.astype(float) for x in given), **how), strict=True):
                np.testing.assert_allclose(
                    one.numpy(), want, rtol=1e-4, atol=1e-4, err_msg=str(number)
                )
            asked |= {q: a for s in backend.plans.values() for q, a in s.plan.asked.items()}
    assert {" ".join(q.split()[8:]) for q in asked} >= {"", "causal", "masked", "causal masked"}


LENGTHS = {"float32": 300, "int16": 5003, "bool": 5003, "int32": 2500}


@pytest.mark.one_host("wgpu")
def test_sorts(device: str) -> None:
    """Networks and radix sorts of any shape; equal elements keep their order."""
    rng = np.random.default_rng(9)
    whole = rng.integers(-50, 50, (3, 5003))
    taken = set()
    for number in range(9):
        with forced(device, Forced(number)) as backend:
            for kind, length in every_other(LENGTHS, number):
                x = whole[:, :length].astype(np.float32)
                if kind == "float32":
                    x[0, 7] = x[0, 250] = np.nan
                for down in (False, True):
                    on = tg.tensor(x, device=device).to(getattr(tg, kind))
                    got = on.argsort(1, descending=down, stable=True).numpy()
                    want = on.cpu().argsort(1, descending=down, stable=True).numpy()
                    np.testing.assert_array_equal(got, want, err_msg=f"{number} {kind} {down}")
            asked = [q for s in backend.plans.values() for q in s.plan.asked.items()]
            taken |= {a.taken for q, a in asked if q.startswith("sort ")}
    assert {how.split("x")[0] for how in taken} == {
        "network 128", "network 256", "network 512", "digits of 8 bits 8",
        *(f"digits of 4 bits {threads}" for threads in (64, 128, 256)),
    }  # fmt: skip


def test_subgroups_are_never_the_fixed_choice() -> None:
    """Adapters differ in the size of subgroups, so sums that they make may differ too."""
    where = recorder.device(features=("subgroups",))
    backend: Any = where.backend  # type: ignore[attr-defined]
    backend.limits.software = False
    x = tg.rand(500, 700, device=where)
    backend.flush()
    tg.backends.webgpu.benchmark = True
    question = "threads of a row reduce_sum 512 1024"
    try:
        for answer, found in (("", False), ("128 subgroups", True)):
            backend.known = Choices({question: answer})
            plan = tg.compiler.explain(x.sum(1))
            assert ("subgroupAdd" in plan.kernels[0].source) == found
            assert plan.choices == {
                question: "128 subgroups (measured)" if found else "256 (fixed)"
            }
    finally:
        tg.backends.webgpu.benchmark = None


def test_columns_that_fill_a_gpu_take_a_thread_each() -> None:
    where = recorder.device()
    where.backend.limits.software = False  # type: ignore[attr-defined]
    wide, tall = tg.rand(1000, 4000, device=where), tg.rand(4000, 200, device=where)
    where.backend.flush()  # type: ignore[attr-defined]
    for x, axis, threads in ((wide, 0, 64), (wide, 1, 256), (tall, 0, 256)):
        (kernel,) = tg.compiler.explain(x.sum(axis)).kernels
        assert f"@workgroup_size({threads})" in kernel.source
        assert ("var<workgroup>" in kernel.source) == (threads > 64)


def test_an_answer_says_into_how_many_parts_a_product_is_split() -> None:
    where = recorder.device()
    backend: Any = where.backend  # type: ignore[attr-defined]
    x, y = tg.rand(20, 1024, device=where), tg.rand(1024, 12, device=where)
    backend.flush()
    question = "parts of a product 1 32 16 1024"
    tg.backends.webgpu.benchmark = True
    try:
        for answer, parts in (("", 1), ("4", 4), ("8", 8), ("1", 1), ("7", 1)):
            backend.known = Choices({question: answer})
            plan = tg.compiler.explain(x @ y + 1)
            assert plan.choices[question].split()[0] == str(parts)
            assert plan.dispatches == 1 + (parts > 1)
            text = plan.kernels[0].source
            assert f"const BATCH = {parts}u;" in text
            assert f"const K = {1024 // parts}u;" in text
    finally:
        tg.backends.webgpu.benchmark = None


def test_tiles_fit_the_shape() -> None:
    for (b, m, n), rows, columns in (
        ((1, 1024, 1024), 128, 128),
        ((1, 64, 64), 32, 32),
        ((1, 8192, 16), 128, 16),
        ((1, 16, 8192), 16, 128),
    ):
        best, *rest = candidates(b, m, n)
        assert (best.rows, best.columns) == (rows, columns)
        assert rest
        assert best not in rest
        assert len(rest) < 8
        assert all(t.nbytes <= 16384 and t.threads <= 256 for t in (best, *rest))
    assert all(t.pairs for t in candidates(1, 100, 100, True))


def test_operands_in_float16_have_tiles_in_float16_too() -> None:
    """Their products are added up in float32 all the same."""
    where = recorder.device(features=("shader-f16",))
    backend: Any = where.backend  # type: ignore[attr-defined]
    backend.limits.software = False
    x = tg.rand(64, 64, device=where)
    half = x.half()
    backend.compute_all([x.value.id, half.value.id])  # type: ignore[attr-defined]
    tg.backends.webgpu.benchmark = True
    try:
        for y, dtype in ((x, "float32"), (half, "float16")):
            question = f"product {dtype} 1 64 64 64 ia"
            backend.known = Choices({question: "32x32x16 4x4 half"})
            plan = tg.compiler.explain(y @ y)
            taken = plan.choices[question] == "32x32x16 4x4 half (measured)"
            assert taken == (dtype == "float16")
            assert ("array<vec4<f16>, 128>" in plan.kernels[0].source) == taken
            assert "alias elem = f32;" in plan.kernels[0].source
    finally:
        tg.backends.webgpu.benchmark = None


LONG_ROWS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda x: x.sum(1),
    "columns": lambda x: x.mT.amax(0),
    "all": lambda x: (x > -9).all(),
    "two axes": lambda x: x.reshape(3, 40, 150).sum((1, 2)),
}


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("software", [False, True])
def test_parts_of_a_reduction(device: str, software: bool) -> None:
    """One step, or two with any number of parts."""
    x = np.random.default_rng(11).integers(-9, 10, (3, 6000)).astype(np.float32)
    taken = set()
    for number in range(5):
        with forced(device, Forced(number), software) as backend:
            on = tg.tensor(x, device=device)
            for what, fn in LONG_ROWS.items():
                got, want = fn(on).numpy(), fn(on.cpu()).numpy()
                np.testing.assert_array_equal(got, want, err_msg=f"{number} {what}")
            asked = [q for s in backend.plans.values() for q in s.plan.asked.items()]
            taken |= {a.taken for q, a in asked if q.startswith("parts of a reduce_sum")}
    assert taken == {"75", "1", "16", "30", "60"}


def test_an_answer_is_taken_and_an_unknown_one_is_not() -> None:
    choices = Choices({"a": "2", "b": "9"})
    assert choices.pick("a", 5, lambda: (1, 2, 3), lambda: 1) == 2
    assert choices.pick("b", 6, lambda: (1, 2, 3), lambda: 3) == 3
    assert choices.pick("c", 7, lambda: (1, 2, 3), lambda: 1) == 1
    assert [(q, a.origin, a.taken) for q, a in choices.asked.items()] == [
        ("a", 5, "2"), ("b", 6, "3"), ("c", 7, "1")
    ]  # fmt: skip
    assert choices.asked["a"].names() == ["1", "2", "3"]
