"""Products on tensor cores: the PTX of their kernels, run lane by lane in NumPy, and what NVRTC makes of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.lower import tensor_cores
from tests.grouped import grouped
from tests.hosts.nvrtc import compile_cuda, machine_code
from tests.hosts.ptx_device import device
from tests.lower import recorder

KINDS = {"float16": tg.float16, "bfloat16": tg.bfloat16, "tf32": tg.float32}
FUNCTION = Callable[..., Any]


@pytest.fixture(autouse=True)
def tf32() -> Iterator[None]:
    """Allow tf32, and what was set before afterwards."""
    tg.set_float32_matmul_precision("high")
    yield
    tg.set_float32_matmul_precision("highest")


def whole(*shape: int) -> Any:
    """Return small whole numbers, whose products and sums of few are exact."""
    return np.random.default_rng(sum(shape)).integers(-3, 4, shape).astype(np.float32)


def labels(where: Any) -> list[str]:
    return [k.label for k in recorder.last_plan(where).kernels if "tensor_product<" in k.source]


# what lies side by side, and whether 16 bytes of it are read at once
LAYOUTS: dict[str, tuple[FUNCTION, Any]] = {
    "rows, wide": (lambda a, b: a @ b, [(70, 48), (48, 72)]),
    "columns of both, wide": (lambda a, b: a.mT @ b.mT, [(40, 72), (24, 40)]),
    "by steps on the right, wide": (lambda a, b: a @ b.mT, [(18, 56), (66, 56)]),
    "odd sizes": (lambda a, b: a @ b, [(67, 35), (35, 69)]),
    "odd sizes, turned": (lambda a, b: a.mT @ b.mT, [(35, 67), (19, 35)]),
    "two batches": (lambda a, b: a @ b, [(2, 17, 24), (2, 24, 16)]),
    "heads beside each other": (
        lambda a, b: a.permute(0, 2, 1, 3) @ b.permute(0, 2, 3, 1), [(2, 16, 2, 24), (2, 24, 2, 24)],
    ),
    "one matrix for all, turned": (lambda a, b: a @ b.mT.expand(2, 20, 16), [(2, 16, 20), (16, 20)]),
    "a part of each row": (lambda a, b: a[:, 8:40] @ b[3:35], [(20, 48), (40, 16)]),
    "a part that is not aligned": (lambda a, b: a[:, 3:35] @ b[:, 5:21], [(20, 48), (32, 24)]),
    "the other way round": (lambda a, b: a.flip(1) @ b.flip(0), [(20, 32), (32, 24)]),
}  # fmt: skip


def in_half(function: FUNCTION, arrays: Any, kind: Any) -> Any:
    """Compute in float32, and round the result."""
    return function(*(tg.tensor(x) for x in arrays)).to(kind).float().numpy()


@pytest.mark.nvrtc
@pytest.mark.parametrize("kind", KINDS)
@grouped("name", LAYOUTS)
def test_each_layout_of_operands_gives_the_product(name: str, kind: str) -> None:
    function, shapes = LAYOUTS[name]
    arrays = [whole(*shape) for shape in shapes]
    # the warps of a block take turns, so what is read too early is seen one way or the other
    where = device(backwards=len(name) % 2 == 0)
    got = function(*(tg.tensor(x).to(KINDS[kind]).to(where) for x in arrays))
    np.testing.assert_array_equal(got.float().numpy(), in_half(function, arrays, KINDS[kind]))
    assert len(labels(where)) == 1


AROUND: dict[str, tuple[FUNCTION, Any]] = {
    "operands are cast": (lambda a, b: a.half() @ b.half().mT, [(20, 24), (32, 24)]),
    "bias, activation and a sum": (
        lambda a, b, c, r: tg.relu(a.half() @ b.half() + c.half()) + r,
        [(20, 24), (24, 32), (32,), (20, 32)],
    ),
    "rows are padded": (
        lambda a, b: tg.nn.functional.pad(a, (1, 2, 3, 0)).half() @ b.half(), [(17, 21), (24, 32)],
    ),
}  # fmt: skip


@pytest.mark.nvrtc
@grouped("name", AROUND)
def test_what_stands_around_a_product_is_in_its_kernel(name: str) -> None:
    function, shapes = AROUND[name]
    arrays = [whole(*shape) for shape in shapes]
    where = device()
    got = function(*(tg.tensor(x, device=where) for x in arrays)).numpy()
    np.testing.assert_array_equal(got, function(*(tg.tensor(x) for x in arrays)).numpy())
    assert len(recorder.last_plan(where).kernels) == len(labels(where)) == 1


@pytest.mark.nvrtc
def test_large_tiles_give_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_cores, "MANY", 1)
    a, b, where = whole(130, 40), whole(40, 24), device()
    got = (tg.tensor(a).half().to(where) @ tg.tensor(b).half().to(where)).float().numpy()
    np.testing.assert_array_equal(got, a @ b)
    (kernel,) = recorder.last_plan(where).kernels
    assert kernel.overrides == (("WX", 256.0),)


@pytest.mark.nvrtc
def test_tf32_rounds_operands_and_adds_in_float32() -> None:
    x = np.full((16, 16), 1 + 2**-12, np.float32)
    where = device()
    one = np.eye(16, dtype=np.float32)
    got = tg.tensor(x, device=where) @ tg.tensor(one, device=where)
    np.testing.assert_array_equal(got.numpy(), np.ones((16, 16)))
    tg.set_float32_matmul_precision("highest")
    exact = tg.tensor(x, device=where) @ tg.tensor(one, device=where)
    np.testing.assert_array_equal(exact.numpy(), x)


@pytest.mark.nvrtc
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_compiles_to_tensor_instructions_without_local_memory(
    kind: str, architecture: str
) -> None:
    for shapes in ([(4096, 1024), (1024, 4096)], [(67, 35), (35, 69)]):
        where = recorder.device("cuda", features=("tensor-cores",))
        a, b = (
            tg.tensor(np.zeros(shape, np.float32)).to(KINDS[kind]).to(where) for shape in shapes
        )
        kept = tg.relu(a @ b)
        where.backend.flush()
        assert kept.shape == (shapes[0][0], shapes[1][1])
        (kernel,) = recorder.last_plan(where).kernels
        ptx = compile_cuda(kernel.source, kernel.overrides, architecture.replace("sm", "compute"))
        assert ptx.count(b"mma.sync.aligned." + INSTRUCTIONS[kind]) >= 16
        assert (b"ldmatrix.sync" in ptx) == (kind != "tf32")
        assert (b"cp.async.cg" in ptx) == (shapes[0][0] == 4096)
        assert b".local" not in ptx
        code = machine_code(kernel.source, kernel.overrides, architecture)
        registers, stack = attribute(code, REGISTERS), attribute(code, STACK)
        assert stack == 0
        assert registers * kernel.overrides[0][1] <= 65536


INSTRUCTIONS = {
    "float16": b"m16n8k16.row.col.f32.f16.f16.f32",
    "bfloat16": b"m16n8k16.row.col.f32.bf16.bf16.f32",
    "tf32": b"m16n8k8.row.col.f32.tf32.tf32.f32",
}
REGISTERS, STACK = 0x2F, 0x12
"""Attributes in the section .nv.info of machine code: registers of a thread, bytes of its stack."""


def attribute(code: bytes, number: int) -> int:
    """Find the value of an attribute of the only kernel."""
    at = code.find(struct.pack("<BBH", 4, number, 8))
    assert at >= 0
    return int(struct.unpack_from("<I", code, at + 8)[0])


# -- when they are taken ---------------------------------------------------------------------------

ROUTINES = ("matmul",)


def steps(
    kind: Any,
    function: FUNCTION,
    shapes: Any,
    routines: Any = ROUTINES,
    features: Any = ("tensor-cores",),
) -> str:
    """Say of each step of a plan what carries it out."""
    where = recorder.device("cuda", features=features, routines=routines)
    kept = function(*(tg.tensor(whole(*shape)).to(kind).to(where) for shape in shapes))
    where.backend.flush()
    assert kept is not None
    return " ".join(
        k.routine or ("tensor cores" if "tensor_product<" in k.source else "kernel")
        for k in recorder.last_plan(where).kernels
    )


PLAIN = lambda a, b: a @ b  # noqa: E731
FUSED = lambda a, b: tg.relu(a @ b)  # noqa: E731
HEADS = lambda a, b: a.permute(0, 2, 1, 3) @ b.permute(0, 2, 3, 1)  # noqa: E731
WHEN: dict[str, tuple[Any, FUNCTION, Any, str]] = {
    "small": (tg.float16, PLAIN, [(32, 32), (32, 32)], "tensor cores"),
    "below a tile's least size": (tg.float16, PLAIN, [(32, 8), (8, 32)], "kernel"),
    "large and alone": (tg.float16, PLAIN, [(80, 96), (96, 80)], "matmul"),
    "few steps and followed": (tg.bfloat16, FUSED, [(80, 96), (96, 80)], "tensor cores"),
    "many steps and followed": (tg.bfloat16, FUSED, [(80, 160), (160, 80)], "matmul kernel"),
    "heads, read where they lie": (tg.float16, HEADS, [(2, 70, 3, 40)] * 2, "tensor cores"),
    "float32, allowed": (tg.float32, FUSED, [(80, 96), (96, 80)], "tensor cores"),
    "float64": (tg.float64, FUSED, [(80, 96), (96, 80)], "matmul kernel"),
    "what would grow": (
        tg.float16, lambda x, w: tg.nn.functional.conv2d(x, w), [(4, 8, 18, 18), (16, 8, 3, 3)],
        "tensor cores",
    ),
}  # fmt: skip


@grouped("name", WHEN)
def test_when_they_are_taken(name: str) -> None:
    kind, function, shapes, want = WHEN[name]
    assert steps(kind, function, shapes) == want


def test_an_older_device_has_none() -> None:
    assert steps(tg.float16, PLAIN, [(32, 32), (32, 32)], features=()) == "kernel"


def test_float32_is_rounded_only_if_that_is_allowed() -> None:
    shapes = [(80, 96), (96, 80)]
    tg.backends.cuda.matmul.allow_tf32 = False
    assert steps(tg.float32, FUSED, shapes) == "matmul kernel"
    assert steps(tg.float32, FUSED, shapes, routines=()) == "kernel"
    tg.backends.cuda.matmul.allow_tf32 = True
    assert steps(tg.float32, FUSED, shapes, routines=()) == "tensor cores"


def flags(where: Any) -> list[int]:
    return [k.words[5] for k in recorder.last_plan(where).kernels if k.routine]


def test_a_plan_is_lowered_again_when_the_precision_changes() -> None:
    where = recorder.device("cuda", features=("tensor-cores",), routines=ROUTINES)
    a = tg.tensor(whole(200, 200), device=where)
    compiled = tg.compile(lambda x: x @ x)

    def both() -> list[list[int]]:
        kept = a @ a
        where.backend.flush()
        found = [flags(where)]
        kept = compiled(a)
        where.backend.flush()
        assert kept.shape == (200, 200)
        return [*found, flags(where)]

    assert both() == both() == [[4], [4]]
    tg.set_float32_matmul_precision("highest")
    assert both() == [[0], [0]]
    tg.set_float32_matmul_precision("medium")
    assert both() == [[4], [4]]


def test_what_was_recorded_before_is_computed_as_it_was_asked_for() -> None:
    seen: list[Any] = []
    run = lambda command, _: seen.append(command.parameters[5])  # noqa: E731
    where = recorder.device("cuda", features=("tensor-cores",), routines=ROUTINES, run=run)
    kept = tg.tensor(whole(200, 200), device=where) @ tg.tensor(whole(200, 200), device=where)
    tg.set_float32_matmul_precision("highest")
    assert kept.shape == (200, 200)
    assert seen == [4]
