"""Routines: which products, sorts and sums become calls, and with which buffers and words."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.op import REGISTRY
from tabgrad.hosts.commands import Dispatch, Routine
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.devices import Device
from tabgrad.lower import routines
from tabgrad.lower.record import RECORDS
from tabgrad_native import cupy_routines
from tabgrad_native.cupy_host import CupyHost
from tests.hosts.cupy_double import Cublas, Cupy
from tests.lower import recorder

F32, F64, I64, C64 = (
    routines.DTYPES.index(name) for name in ("float32", "float64", "int64", "complex64")
)


class Flat:
    """What the routines of Fourier transforms use of CuPy, over buffers in place of pointers."""

    fft = np.fft

    def ndarray(self, shape: tuple[int, ...], dtype: str, memptr: bytearray) -> Any:
        return np.frombuffer(memptr, dtype)[: math.prod(shape)].reshape(shape)


def number(x: float) -> tuple[int, int]:
    """Return the two words of a float64."""
    low, high = struct.unpack("<II", struct.pack("<d", x))
    return low, high


def carry_out(command: Dispatch | Routine, buffers: Sequence[bytearray]) -> None:
    """Do what a routine does, with NumPy."""
    assert isinstance(command, Routine)
    kind, *words = command.parameters
    x = np.frombuffer(buffers[0], routines.DTYPES[kind])
    if cupy_routines.NAMES[command.routine] == "matmul":
        batch, m, n, k, flags, left, right = words
        y, out = (np.frombuffer(b, x.dtype) for b in buffers[1:])
        for b in range(batch):
            a, c = x[b * left :][: m * k], y[b * right :][: k * n]
            a = a.reshape(k, m).T if flags & 1 else a.reshape(m, k)
            c = c.reshape(n, k).T if flags & 2 else c.reshape(k, n)
            out[b * m * n :][: m * n] = (a @ c).reshape(-1)
    elif cupy_routines.NAMES[command.routine] == "argsort":
        rows, n, down, out_kind = words
        lines = x[: rows * n].reshape(rows, n)
        order = np.argsort(-lines if down else lines, axis=-1, kind="stable")
        np.frombuffer(buffers[1], routines.DTYPES[out_kind])[: rows * n] = order.reshape(-1)
    elif cupy_routines.NAMES[command.routine] in ("fft", "rfft", "irfft"):
        cupy_routines.Routines(Flat()).run(command.routine, buffers, command.parameters)
    else:
        sums = np.cumsum(x[: np.prod(words)].reshape(words), axis=1)
        np.frombuffer(buffers[1], x.dtype)[: sums.size] = sums.reshape(-1)


@pytest.fixture
def device() -> Any:
    """Return a device on which routines, and no kernels, are carried out."""
    return recorder.device("cuda", routines=cupy_routines.NAMES, run=carry_out)


@pytest.fixture
def printer() -> Any:
    """Return a device on which nothing is carried out."""
    return recorder.device("cuda", routines=cupy_routines.NAMES)


def randoms(*shape: int, kind: str = "float32") -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(kind)


def steps(device: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Return (label, words of the routine) of the steps of the last plan."""
    return [(k.label, k.words if k.routine else ()) for k in recorder.last_plan(device).kernels]


ALONE: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "product": (lambda a, b: a @ b, [(80, 90), (90, 70)], ("matmul", (F32, 1, 80, 70, 90, 0, 0, 0))),
    "left transposed": (lambda a, b: a.T @ b, [(90, 80), (90, 70)], ("matmul", (F32, 1, 80, 70, 90, 1, 0, 0))),
    "right transposed": (lambda a, b: a @ b.T, [(80, 90), (70, 90)], ("matmul", (F32, 1, 80, 70, 90, 2, 0, 0))),
    "batches": (
        lambda a, b: a.mT @ b.mT, [(4, 90, 80), (4, 70, 90)], ("matmul", (F32, 4, 80, 70, 90, 3, 7200, 6300)),
    ),
    "one left matrix for all": (
        lambda a, b: a.expand(4, 80, 90) @ b, [(80, 90), (4, 90, 70)],
        ("matmul", (F32, 4, 80, 70, 90, 0, 0, 6300)),
    ),
    "one right matrix for all": (
        lambda a, b: a @ b.expand(4, 90, 70), [(4, 80, 90), (90, 70)],
        ("matmul", (F32, 1, 320, 70, 90, 0, 0, 0)),
    ),
    "sort": (lambda x: x.argsort(-1), [(3, 300)], ("argsort", (F32, 3, 300, 0, I64))),
    "sort down": (lambda x: x.argsort(-1, descending=True), [(3, 300)], ("argsort", (F32, 3, 300, 1, I64))),
    "sort of a reshape": (
        lambda x: x.reshape(2, 600).argsort(1), [(300, 4)], ("argsort", (F32, 2, 600, 0, I64)),
    ),
    "running sum": (lambda x: x.cumsum(1), [(2, 300, 5)], ("cumsum", (F32, 2, 300, 5))),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_it_is_one_call_and_right(name: str, device: Any) -> None:
    function, shapes, step = ALONE[name]
    arrays = [randoms(*shape) for shape in shapes]
    got = function(*(tg.tensor(x, device=device) for x in arrays)).numpy()
    assert steps(device) == [step]
    want = function(*(tg.tensor(x, device="cpu") for x in arrays)).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


TRANSFORMS: dict[str, tuple[Callable[[Any], Any], Any, str, tuple[int, ...]]] = {
    "fft": (lambda x: tg.fft.fft(x, norm="ortho"), (2, 49), "complex64", (C64, 2, 49, 1, 0, *number(1 / 7))),
    "fft backwards": (
        lambda x: tg.fft.ifft(x, dim=1), (3, 64, 2), "complex64", (C64, 3, 64, 2, 1, *number(1 / 64)),
    ),
    "rfft": (lambda x: tg.fft.rfft(x, dim=0), (49, 5), "float32", (F32, 1, 49, 5, 0, *number(1))),
    "irfft": (
        lambda x: tg.fft.irfft(x, norm="forward"), (2, 33), "complex64", (F32, 2, 64, 1, 0, *number(1)),
    ),
    "irfft of an odd number": (
        lambda x: tg.fft.irfft(x, 63), (2, 32), "complex128", (F64, 2, 63, 1, 0, *number(1 / 63)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_is_one_call_and_right(name: str, device: Any) -> None:
    function, shape, kind, words = TRANSFORMS[name]
    x = randoms(*shape)
    x = (x if kind == "float32" else x + 1j * x[::-1]).astype(kind)
    got = function(tg.tensor(x, device=device)).numpy()
    assert steps(device) == [(name.split()[0], words)]
    want = function(tg.tensor(x, device="cpu")).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_gradients_of_transforms_are_calls(device: Any) -> None:
    x = randoms(3, 64)
    ct = randoms(3, 33) + 1j * randoms(33, 3).T

    def gradients(where: Any) -> list[Any]:
        leaf = tg.tensor(x, device=where, requires_grad=True)
        spectra = tg.tensor(ct.astype("complex64"), device=where, requires_grad=True)
        (one,) = tg.autograd.grad(tg.fft.rfft(leaf), leaf, spectra.detach())
        (other,) = tg.autograd.grad(tg.fft.irfft(spectra), spectra, leaf.detach())
        return [one.numpy(), other.numpy()]

    for got, want in zip(gradients(device), gradients("cpu"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert steps(device) == [
        ("irfft", (F32, 3, 64, 1, 1, *number(1))),
        ("rfft", (F32, 3, 64, 1, 1, *number(1 / 64))),
    ]


def test_short_transforms_are_kernels(printer: Any) -> None:
    short = tg.fft.rfft(tg.ones(3, 16, device=printer) * 2)
    printer.backend.flush()
    assert short.shape == (3, 9)
    assert steps(printer) == [("rfft", ())]


def test_operands_in_float64(device: Any) -> None:
    x, y = randoms(80, 90, kind="float64"), randoms(90, 70, kind="float64")
    np.testing.assert_allclose(
        (tg.tensor(x, device=device) @ tg.tensor(y, device=device)).numpy(), x @ y
    )
    assert steps(device) == [("matmul", (F64, 1, 80, 70, 90, 0, 0, 0))]


AMONG: dict[str, tuple[Callable[..., Any], Any, list[str]]] = {
    "the epilogue follows": (lambda a, b: tg.relu(a @ b + 1), [(80, 90), (90, 70)], ["matmul", "relu"]),
    "what is computed comes first": (lambda a, b: tg.exp(a) @ b, [(80, 90), (90, 70)], ["exp", "matmul"]),
    "heads are copied": (
        lambda a, b: a.permute(0, 2, 1, 3) @ b.permute(0, 2, 3, 1), [(2, 70, 3, 40)] * 2,
        ["copy", "copy", "matmul"],
    ),
    "what would grow is read in place": (
        lambda x, w: tg.nn.functional.conv2d(x, w), [(4, 8, 18, 18), (16, 8, 3, 3)], ["matmul+copy"],
    ),
    "small ones are printed": (lambda a, b: tg.relu(a @ b), [(8, 9), (9, 7)], ["matmul+relu"]),
    "short rows are ranked": (lambda x: x.argsort(1), [(300, 8)], ["argsort"]),
    "another axis is copied": (lambda x: x.argsort(0), [(300, 8)], ["copy", "argsort", "copy"]),
    "from the end": (lambda x: x.flip(0).cumsum(0).flip(0), [(300, 8)], ["copy", "cumsum"]),
    "its own piece of a cat": (
        lambda a, b: tg.cat([a @ b, a, a, a, a]), [(70, 70), (70, 70)],
        ["matmul", "copy+copy+copy+copy+copy"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AMONG)
def test_what_stands_around_a_call(name: str, printer: Any) -> None:
    function, shapes, labels = AMONG[name]
    kept = function(*(tg.tensor(randoms(*shape), device=printer) for shape in shapes))
    printer.backend.flush()
    assert kept is not None
    assert [label for label, _ in steps(printer)] == labels


def test_the_gradient_of_a_running_sum_runs_from_the_end(printer: Any) -> None:
    x = tg.tensor(randoms(300), device=printer, requires_grad=True)
    (grad,) = tg.autograd.grad(x.cumsum(0), x, tg.ones(300, device=printer))
    printer.backend.flush()
    assert grad.shape == (300,)
    assert "cumsum" in [label for label, words in steps(printer) if words]


def test_routines_are_named_by_their_place_in_what_the_host_offers() -> None:
    seen = []
    device = recorder.device("cuda", routines=("cumsum", "matmul"), run=lambda c, _: seen.append(c))
    y = tg.tensor(randoms(80, 90), device=device) @ tg.tensor(randoms(90, 70), device=device)
    z = tg.tensor(randoms(2, 300), device=device).argsort(-1)
    device.backend.flush()
    assert y.shape == (80, 70)
    assert z.shape == (2, 300)
    assert [c.routine if isinstance(c, Routine) else "kernel" for c in seen] == [1, "kernel"]


def test_a_host_without_routines_gets_kernels() -> None:
    device = recorder.device("cuda")
    y = tg.tensor(randoms(80, 90), device=device) @ tg.tensor(randoms(90, 70), device=device)
    device.backend.flush()
    assert y.shape == (80, 70)
    assert [k.routine for k in recorder.last_plan(device).kernels] == [""]


def test_slices_that_move_are_copied_to_where_the_call_finds_them(printer: Any) -> None:
    x, w = tg.tensor(randoms(200, 90), device=printer), tg.tensor(randoms(90, 70), device=printer)
    for start in (0, 50, 100):
        y = x[start : start + 80] @ w
        printer.backend.flush()
        assert y.shape == (80, 70)
    assert [label for label, _ in steps(printer)] == ["copy", "matmul"]
    assert printer.backend.counters.plans == 2


def test_the_core_counts_dtypes_and_routines_as_the_host_does() -> None:
    assert cupy_routines.DTYPES == routines.DTYPES
    # each of the rooms that are imported late is asked for one op
    assert {REGISTRY[name].lowering for name in ("fft", "cholesky")} <= set(RECORDS)
    assert {op for op, r in RECORDS.items() if r.routine} == set(cupy_routines.NAMES)


def test_the_cuda_host_carries_out_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", ".cuda", ".cuda.libs", ".cuda.libs.cublas"):
        monkeypatch.setitem(sys.modules, "cupy_backends" + name, Cublas("cublas"))
    where = Device("cuda", 900)
    where._backend = DeviceBackend(CupyHost(Cupy()), where)
    x, y = randoms(4, 90, 80), randoms(4, 70, 90)
    a, b = tg.tensor(x, device=where), tg.tensor(y, device=where)
    for _ in range(3):
        np.testing.assert_allclose(
            (a.mT @ b.mT).numpy(), x.swapaxes(1, 2) @ y.swapaxes(1, 2), rtol=1e-4, atol=1e-4
        )
    long = randoms(2, 300)
    np.testing.assert_array_equal(
        tg.tensor(long, device=where).argsort(-1).numpy(), long.argsort(-1, kind="stable")
    )
    np.testing.assert_allclose(
        tg.tensor(long, device=where).cumsum(-1).numpy(), long.cumsum(-1), rtol=1e-4
    )
    spectra = tg.fft.rfft(tg.tensor(long, device=where))
    np.testing.assert_allclose(spectra.numpy(), np.fft.rfft(long), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tg.fft.irfft(spectra).numpy(), long, rtol=1e-4, atol=1e-5)
    back = tg.fft.ifft(tg.fft.fft(spectra, norm="ortho"), norm="ortho")
    np.testing.assert_allclose(back.numpy(), spectra.numpy(), rtol=1e-4, atol=1e-4)
