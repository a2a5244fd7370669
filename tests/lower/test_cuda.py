"""CUDA C: every kernel that the registry's cases print compiles with NVRTC, for every dtype."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.several import Several
from tabgrad.lower import library
from tests.hosts.nvrtc import compile_cuda
from tests.lower import recorder
from tests.ops import cases, replay

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "uint8", "int8", "uint32", "int16")
COMPLEX = ("complex64", "complex128")
MOVING = ("cat", "gather", "scatter", "scatter_add", "cumsum", "linear_scan", "logcumsumexp")
"""Ops of the kernel family that take complex numbers."""
FLOATS_ONLY = {"attention", "logcumsumexp"}
PARTS = 4
"""Translation units for each dtype."""


def retyped(value: Any, old: str, new: str) -> Any:
    """Return a case with another dtype, and numbers that fit any integer."""
    if isinstance(value, list):
        return [retyped(v, old, new) for v in value]
    if not isinstance(value, dict):
        return value
    out = {k: retyped(v, old, new) for k, v in value.items()}
    if value.get("dtype") == old:
        out["dtype"] = new
        if new in INTEGERS and "data" in out:
            out["data"] = [abs(int(v)) % 100 for v in out["data"]]
    return out


def of_kind(op: Op, case: Any, kind: str) -> Any:
    """Return a case with operands of dtype `kind`; None where the op has none."""
    names = {r["dtype"] for r in case["inputs"]}
    if "pairs" in case and kind not in ("float32", "float64"):
        return None
    if kind in COMPLEX and "c" not in getattr(op, "kinds", "c" if op.name in MOVING else ""):
        return None
    if kind in (*FLOATS, *COMPLEX):
        return retyped(case, "float32", kind) if "float32" in names else None
    if "float32" not in names:
        return retyped(case, "int32", kind) if "int32" in names else None
    moves = op.family in ("view", "kernel", "bilinear") and op.name not in FLOATS_ONLY
    return retyped(case, "float32", kind) if moves and case["check"] == "forward" else None


REFUSED = (
    "attention_gradient", "cholesky", "eig", "eigh", "geqrf", "ldl", "ldl_solve", "lu", "qr", "svd",
    "triangular_solve",
)  # fmt: skip
"""Decompositions, and attention's gradient in one op, which have no CUDA kernels and raise."""


def kernels(kind: str) -> Iterator[tuple[str, str]]:
    """Yield (case, text) of every kernel that the cases print with floats or integers of dtype `kind`."""
    device = recorder.device("cuda")
    backend = device.backend
    for op in REGISTRY:
        for case in () if op.lowering in REFUSED else cases.unexpected(op):
            case = of_kind(op, case, kind) if case["check"] in ("forward", "reverse") else None
            if case is None:
                continue
            known = set(backend.host.pipelines)
            results = replay.run(case, device)
            backend.flush()
            assert results
            for number in backend.host.pipelines.keys() - known:
                yield case["id"], backend.host.pipelines[number].source


def units(kernels: list[tuple[str, str]]) -> Iterator[tuple[list[str], str]]:
    """Yield translation units that hold many kernels each, and whose they are."""
    plain, prelude = library.prelude("cuda"), library.prelude("cuda", complex_too=True)
    for i in range(PARTS):
        part = kernels[i::PARTS]
        texts = []
        for k, (_, source) in enumerate(part):
            assert source.startswith(plain)
            body = source.removeprefix(prelude).removeprefix(plain)
            assert body.count("main_kernel(") == 1
            texts.append(body.replace("main_kernel(", f"main_kernel_{k}("))
        together = "".join(texts)
        mixed = "c64" in together or "c128" in together
        yield [name for name, _ in part], (prelude if mixed else plain) + together


def of_parts(kind: str) -> Iterator[tuple[str, str]]:
    """Yield (program, text) of the kernels between complex numbers and their parts, with their gradients."""
    device = recorder.device("cuda")
    backend = device.backend
    real = {"complex64": tg.float32, "complex128": tg.float64}[kind]
    for name, program in PARTS_OF.items():
        known = set(backend.host.pipelines)
        x = tg.rand(3, 4, 2, dtype=real, device=device).requires_grad_()
        y = program(tg.view_as_complex(x))
        results = [y, *tg.autograd.grad(y, x, tg.ones_like(y))]
        backend.flush()
        assert len(results) == 2
        for number in backend.host.pipelines.keys() - known:
            yield name, backend.host.pipelines[number].source


PARTS_OF: dict[str, Any] = {
    "a pair": lambda z: tg.complex(z.imag, z.real),
    "a size": lambda z: z.abs(),
    "pairs": lambda z: tg.view_as_real(z * (1 + 2j)).flip(2),
    "an angle": lambda z: z.angle() + z.norm(),
    "from real": lambda z: z.real * 2j + z,
    "to another": lambda z: z.to(tg.complex128 if z.dtype is tg.complex64 else tg.complex64).exp(),
    "a choice": lambda z: tg.where(z.bool(), z, 1j) + z[:, 1:2].sgn(),
    "a product": lambda z: (z @ z.mH).real,
    "of many": lambda z: z.var(0) + z.prod(0).abs(),
    "a running product": lambda z: z.cumprod(1),
}


@pytest.mark.nvrtc
@pytest.mark.parametrize("kind", COMPLEX)
def test_kernels_of_complex_programs_compile(kind: str) -> None:
    found = list(dict((text, name) for name, text in of_parts(kind)).items())
    assert len(found) > 10
    for _, text in units([(name, source) for source, name in found]):
        assert compile_cuda(text, {"WX": 64})


@pytest.mark.nvrtc
@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS, *COMPLEX])
def test_every_kernel_of_every_op_compiles(kind: str) -> None:
    found = list(dict((text, name) for name, text in kernels(kind)).items())
    assert len(found) > 100
    for names, text in units([(name, source) for source, name in found]):
        ptx = compile_cuda(text, {"WX": 64})
        assert all(f".entry main_kernel_{i}(".encode() in ptx for i in range(len(names)))


def test_what_has_no_cuda_kernels_is_refused() -> None:
    # the cases of `eig` are in tests/linalg
    for name in sorted({*REFUSED} - {"eig"}):
        op: Any = REGISTRY[name]
        part = op.parts[0] if isinstance(op, Several) else op
        case = next(c for c in cases.unexpected(part) if c["check"] == "forward")
        device = recorder.device("cuda")
        with pytest.raises(DeviceError, match=f"^{name}: is not on this device yet"):
            replay.run(case, device)
