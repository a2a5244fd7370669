"""Fourier transforms beside NumPy's in float64: lengths, norms, dims, derivatives, what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.ops import fourier
from tests.hosts.nvrtc import compile_cuda
from tests.lower import recorder
from tests.lower.test_fusion import kernels

NORMS = (None, "backward", "forward", "ortho")
ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
REAL = ("rfft", "ihfft", "rfft2", "ihfft2", "rfftn", "ihfftn")
PAIRS = (tg.float64, tg.complex128)


def values(name: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Return random numbers of the kind that a function takes."""
    rng = np.random.default_rng((seed, *shape))
    x = rng.normal(size=shape)
    return x if name in REAL else x + 1j * rng.normal(size=shape)


def function(name: str, **more: Any) -> Callable[[Any], Any]:
    return lambda x: getattr(tg.fft, name)(x, **more)


def error(found: Any, wanted: Any) -> float:
    """Return the error relative to the largest element."""
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    return float(np.abs(found - wanted).max() / np.abs(wanted).max()) if wanted.size else 0.0


def bound(device: str) -> float:
    """Return the relative error allowed: cpu has float64, the other devices may have only float32."""
    return 1e-13 if device == "cpu" else 1e-6


def test_every_length_in_double_precision() -> None:
    for n, name in itertools.product((*range(1, 71), 1000, 1001), ONE):
        x = values(name, (2, n))
        for given in (None, n, n + 3, max(1, n - 3)):
            if given is None and name in ("irfft", "hfft") and n == 1:
                continue
            found = function(name, n=given)(tg.tensor(x, device="cpu"))
            wanted = getattr(np.fft, name)(x, given)
            assert found.dtype in PAIRS
            assert error(found.numpy(), wanted) < 1e-13, (name, n, given)


@pytest.mark.every_host
def test_each_kind_of_length(device: str) -> None:
    """Lengths of one pass and several, with small factors and others; lines along the first and last dims."""
    for name in ONE:
        for shape, dim in (
            ((3, 1), 1),
            ((2, 2), 1),
            ((15, 2), 0),
            ((2, 17, 3), 1),
            ((70, 64), 1),
            ((64, 12), 0),
        ):
            x = values(name, shape)
            points = 1 if shape[dim] == 1 else None
            found = function(name, n=points, dim=dim, norm="ortho")(tg.tensor(x, device=device))
            wanted = getattr(np.fft, name)(x, points, dim, "ortho")
            assert error(found.cpu().numpy(), wanted) < bound(device), (name, shape)
    for name, shape, dim in (
("fft", (4096,), 0), ("rfft", (3, 5000), 1), ("irfft", (4099, 2), 0), ("rfft", (4418,), 0),
    ):  # fmt: skip
        x = values(name, shape)
        found = function(name, dim=dim)(tg.tensor(x, device=device)).cpu().numpy()
        assert error(found, getattr(np.fft, name)(x, axis=dim)) < bound(device), (name, shape)


def test_norms_dims_and_kinds() -> None:
    for norm, dim, name in itertools.product(NORMS, (0, 1, 2, -3), ONE):
        x = values(name, (3, 4, 5))
        found = function(name, dim=dim, norm=norm)(tg.tensor(x, device="cpu"))
        assert error(found.numpy(), getattr(np.fft, name)(x, axis=dim, norm=norm)) < 1e-14
        seen = tg.tensor(x, device="cpu").permute(2, 0, 1)[::2]
        wanted = getattr(np.fft, name)(x.transpose(2, 0, 1)[::2], axis=dim, norm=norm)
        assert error(function(name, dim=dim, norm=norm)(seen).numpy(), wanted) < 1e-14
    for dtype in (tg.int32, tg.bool, tg.uint8):
        x = tg.tensor([[0, 1, 1]], dtype=dtype, device="cpu")
        assert tg.fft.fft(x).tolist() == tg.fft.fft(x.float()).tolist()
        assert tg.fft.fft(x).dtype is tg.fft.rfft(x).dtype is tg.complex64


def test_several_dims() -> None:
    for name, (s, dim) in itertools.product(
        ("fft", "ifft", "rfft", "irfft"),
        ((None, None), ((4, 3), None), ((6, 2, 5), (2, 0, 1)), (None, (0, 2)), ((3,), (1,))),
    ):
        for norm in NORMS:
            x = values(name, (3, 4, 5))
            found = function(f"{name}n", s=s, dim=dim, norm=norm)(tg.tensor(x, device="cpu"))
            over = range(-len(s), 0) if s is not None and dim is None else dim
            wanted = getattr(np.fft, f"{name}n")(x, s, over, norm)
            assert error(found.numpy(), wanted) < 1e-14
    for name in ("fft2", "ifft2", "rfft2", "irfft2"):
        x = values(name, (3, 4, 5))
        found = function(name)(tg.tensor(x, device="cpu"))
        assert error(found.numpy(), getattr(np.fft, name)(x)) < 1e-14
    # a Hermitian transform along several dims is a real one of conjugates
    x = values("hfft2", (3, 4, 5))
    given = tg.tensor(x, device="cpu")
    for norm, other in (("backward", "forward"), ("forward", "backward"), ("ortho", "ortho")):
        wanted = np.fft.irfftn(x.conj(), axes=(1, 2), norm=other)
        assert error(tg.fft.hfft2(given, norm=norm).numpy(), wanted) < 1e-14
        assert error(tg.fft.hfftn(given, dim=(1, 2), norm=norm).numpy(), wanted) < 1e-14
        back = tg.fft.ihfft2(tg.tensor(wanted, device="cpu"), norm=norm)
        assert error(back.numpy(), np.fft.rfftn(wanted, axes=(1, 2), norm=other).conj()) < 1e-14
        assert tg.equal(tg.fft.ihfftn(tg.tensor(wanted, device="cpu"), dim=(1, 2), norm=norm), back)


def product(x: Any, y: Any) -> float:
    """Return the inner product of two arrays as vectors of real numbers."""
    return float((np.conj(x) * y).sum().real)


@pytest.mark.every_host
def test_gradients_are_transposes(device: str) -> None:
    """Also of gradients: <ct, f(v)> = <gradient, v>, the gradient being linear in ct, and f in v."""
    near: Any = {"rtol": 1e-12, "atol": 1e-12} if device == "cpu" else {"rtol": 1e-5, "atol": 1e-5}
    for name, n in itertools.product(ONE, (1, 2, 5, 6) if device == "cpu" else (5, 6)):
        if name in ("irfft", "hfft") and n == 1:
            continue
        f = function(name, norm="forward", dim=0)
        x, v = values(name, (n, 3)), values(name, (n, 3), 1)
        leaf = tg.tensor(x, device=device, requires_grad=True)
        y = f(leaf * 2)
        u = values("fft" if y.dtype.is_complex else "rfft", tuple(y.shape), 2)
        ct = tg.tensor(u, device=device, requires_grad=True)
        (g,) = tg.autograd.grad(y, leaf, ct, create_graph=True)
        fv = f(tg.tensor(v, device=device)).cpu().numpy()
        left, right = product(u, fv) * 2, product(g.detach().cpu().numpy(), v)
        assert left == pytest.approx(right, rel=near["rtol"], abs=near["atol"]), (name, n)
        (second,) = tg.autograd.grad(g, ct, tg.tensor(v, device=device), create_graph=True)
        np.testing.assert_allclose(second.detach().cpu().numpy(), 2 * fv, **near)
        _, tangent = tg.func.jvp(f, (leaf.detach(),), (tg.tensor(v, device=device),))
        np.testing.assert_allclose(tangent.cpu().numpy(), fv, **near)


def test_second_order_through_squares() -> None:
    """The derivative of the gradient of <ct, f(x * x)> along v, beside differences of that gradient."""
    for name in ("fft2", "ifftn", "rfft2", "irfft2", "hfft2", "ihfft2"):
        x, v = values(name, (3, 4)), values(name, (3, 4), 1)
        f = function(name, norm="ortho")
        y = f(tg.tensor(x, device="cpu"))
        kind = "rfft" if y.dtype is tg.float64 else "fft"
        ct = tg.tensor(values(kind, tuple(y.shape), 2), device="cpu")

        def gradient(x: Any, f: Any = f, ct: Any = ct) -> tuple[Any, Any]:
            leaf = tg.tensor(x, device="cpu", requires_grad=True)
            return leaf, tg.autograd.grad(f(leaf * leaf), leaf, ct, create_graph=True)[0]

        leaf, g = gradient(x)
        (found,) = tg.autograd.grad(g, leaf, tg.tensor(v, device="cpu"))
        high, low = gradient(x + 1e-6 * v)[1], gradient(x - 1e-6 * v)[1]
        wanted = (high - low).detach().numpy() / 2e-6
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-7, atol=1e-7, err_msg=name)


@pytest.mark.every_host
def test_batches(device: str) -> None:
    for name, at in itertools.product((*ONE, "fftn", "rfftn", "irfftn"), (0, 1, 2)):
        x = values(name, (3, 4, 5))
        given = tg.tensor(x, device=device)
        found = tg.func.vmap(function(name), in_dims=at)(given).cpu().numpy()
        for i in range(x.shape[at] if device == "cpu" else 1):
            one = function(name)(tg.tensor(x.take(i, at), device=device)).cpu().numpy()
            np.testing.assert_allclose(
                found[i], one, rtol=1e-6, atol=1e-13 if device == "cpu" else 2e-6
            )


@pytest.mark.every_host
def test_odd_values(device: str) -> None:
    empty = tg.zeros(0, 4, device=device)
    assert tg.fft.fft(empty).shape == (0, 4)
    assert tg.fft.rfft(empty).shape == tg.fft.irfft(empty, 5)[:, :3].shape == (0, 3)
    assert tg.fft.fftn(tg.tensor(2.0, device=device)).cpu().item() == 2
    x = tg.tensor([[1.0, float("nan"), 2.0], [1.0, 2.0, 3.0]], device=device)
    y = tg.fft.fft(x, norm="ortho").cpu().numpy()
    assert np.isnan(y[0]).all()
    assert not np.isnan(y[1]).any()
    inf = float("inf")
    y = tg.fft.ifft(tg.tensor([inf], device=device), norm="ortho").cpu()
    assert y.item().real == inf
    # what lies beside a Hermitian spectrum has no say
    z = tg.tensor([1 + 5j, 2 + 1j, 3 + 7j], device=device)
    assert tg.fft.irfft(z).cpu().tolist() == pytest.approx([2.0, -1.0, 0.0, 0.0], abs=1e-6)


@pytest.mark.every_host
def test_compiled_for_many_sizes(device: str) -> None:
    step = tg.compile(lambda x: tg.fft.ifft(tg.fft.fft(x * 2, dim=0), dim=0), dynamic=True)
    for shape in ((4, 3), (4, 5), (4, 300), (8, 5), (5, 7)):
        x = values("fft", shape).astype("complex64")
        found = step(tg.tensor(x, device=device)).cpu().numpy()
        assert error(found, 2 * x) < 1e-6, shape


def test_dispatches() -> None:
    """Views, casts and what is computed of each element are part of the kernel that loads it."""
    device = recorder.device()
    x = tg.ones(64, 1024, dtype=tg.complex64, device=device) * 2
    r = tg.ones(64, 1024, device=device) * 2
    line = tg.ones(1 << 18, dtype=tg.complex64, device=device) * 2
    window = tg.hann_window(256, device=device)
    leaf = x.clone().requires_grad_()
    device.backend.flush()

    def gradient() -> Any:
        return tg.autograd.grad(tg.view_as_real(tg.fft.fft(leaf)).sum(), leaf)

    programs: dict[str, tuple[int, Callable[[], Any]]] = {
        "fft": (1, lambda: tg.fft.fft(x)), "fft along dim 0": (1, lambda: tg.fft.fft(x, dim=0)),
        "fft2": (2, lambda: tg.fft.fft2(x)), "rfft": (1, lambda: tg.fft.rfft(r[:, ::2] * 3)),
        "irfft": (1, lambda: tg.fft.irfft(x[:, :513])), "hfft": (1, lambda: tg.fft.hfft(x, 512)),
        "fft of real numbers": (1, lambda: tg.fft.fft(r, 2048)), "gradient": (1, gradient),
        "2 ** 18": (2, lambda: tg.fft.fft(line)), "a prime": (3, lambda: tg.fft.fft(x[:, :1021])),
        "stft": (1, lambda: tg.stft(r, 256, window=window, return_complex=True)),
    }  # fmt: skip
    for name, (count, program) in programs.items():
        assert kernels(device, program) == count, (name, recorder.last_plan(device))


@pytest.mark.nvrtc
def test_sums_compile_as_cuda() -> None:
    device = recorder.device("cuda")
    for real, pair in ((tg.float32, tg.complex64), (tg.float64, tg.complex128)):
        for name in (*ONE, "fft2"):
            x = tg.ones(3, 6, dtype=real if name in REAL else pair, device=device)
            y = function(name)(x * x)
            device.backend.flush()
            assert y.shape[0] == 3
    texts = [p.source for p in device.backend.host.pipelines.values()]
    assert sum("sin_f32(" in t.split("main_kernel")[1] for t in texts) >= len(ONE)
    for text in texts:
        assert compile_cuda(text, {"WX": 64})


MISTAKES: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("fft", {"n": 0}, RuntimeError, r"Invalid number of data points \(0\) specified"),
    ("fft", {"n": 2.0}, TypeError, "argument 'n' must be int, not float"),
    ("fft", {"dim": 2}, IndexError, "Dimension out of range"),
    ("fft", {"dim": (0,)}, TypeError, "argument 'dim' must be int, not tuple"),
    ("fft", {"norm": "other"}, RuntimeError, 'Invalid normalization mode: "other"'),
    ("fft", {"norm": 1}, TypeError, "argument 'norm' must be str, not int"),
    ("irfft", {"n": -2}, RuntimeError, r"Invalid number of data points \(-2\)"),
    ("fftn", {"s": (1, 1, 1)}, RuntimeError, "Got shape with 3 values but input tensor only has 2"),
    ("fftn", {"s": (1,), "dim": (0, 1)}, RuntimeError, "arguments must have the same length"),
    ("fftn", {"dim": (0, -2)}, RuntimeError, "FFT dims must be unique"),
    ("fftn", {"s": (3, 0)}, RuntimeError, r"Invalid number of data points \(0\)"),
    ("rfftn", {"dim": ()}, RuntimeError, "rfftn must transform at least one axis"),
    ("fftshift", {"dim": ()}, RuntimeError, "`shifts` required"),
    ("ifftshift", {"dim": 4}, IndexError, "Dimension out of range"),
]  # fmt: skip


def test_mistakes_are_refused() -> None:
    x = tg.ones(3, 4, device="cpu")
    for name, more, kind, message in MISTAKES:
        with pytest.raises(kind, match=message):
            function(name, **more)(x)
    for name in ("rfft", "ihfft", "rfft2", "ihfftn"):
        with pytest.raises(
            RuntimeError, match=f"{name} expects a real input tensor, but got Compl"
        ):
            function(name)(tg.fft.fft(x))
    for dtype in (tg.float16, tg.bfloat16):
        with pytest.raises(RuntimeError, match=f"Unsupported dtype {'B' * (dtype is tg.bfloat16)}"):
            tg.fft.fft(x.to(dtype))
    with pytest.raises(IndexError, match="Dimension specified as -1 but tensor has no dimensions"):
        tg.fft.fft(x.sum())
    with pytest.raises(RuntimeError, match=r"Invalid number of data points \(0\)"):
        tg.fft.irfft(x[:, :1])
    with pytest.raises(RuntimeError, match="requires a floating point"):
        tg.fft.fftfreq(3, dtype=tg.int32, device="cpu")
    with pytest.raises(RuntimeError, match="negative dimension -1"):
        tg.fft.rfftfreq(-1, device="cpu")


@pytest.mark.every_host
def test_frequencies(device: str) -> None:
    for n, d in ((1, 1.0), (4, 0.5), (5, 2.0), (1000, 0.1)):
        np.testing.assert_allclose(
            tg.fft.fftfreq(n, d, device=device).cpu(), np.fft.fftfreq(n, d), 1e-6
        )
        np.testing.assert_allclose(
            tg.fft.rfftfreq(n, d, device=device).cpu(), np.fft.rfftfreq(n, d), 1e-6
        )
    assert tg.fft.fftfreq(4, dtype=tg.float16, device="cpu").dtype is tg.float16
    assert tg.fft.fftfreq(2, 0.0, device=device).cpu().tolist()[1] == float("-inf")
    w = tg.fft.fftfreq(3, device=device, requires_grad=True)
    assert w.is_leaf
    assert w.requires_grad
    out = tg.empty(4, device=device)
    assert tg.fft.fftfreq(4, out=out) is out
    assert out.cpu().tolist() == [0.0, 0.25, -0.5, -0.25]


@pytest.mark.every_host
def test_shifts_move_zero_to_the_middle(device: str) -> None:
    x = np.arange(30.0, dtype="float32").reshape(2, 3, 5)
    given = tg.tensor(x, device=device)
    for dim in (None, 0, (1, 2), [-1]):
        for name in ("fftshift", "ifftshift"):
            wanted = getattr(np.fft, name)(x, dim)
            assert (function(name, dim=dim)(given).cpu().numpy() == wanted).all()
    assert tg.equal(tg.fft.ifftshift(tg.fft.fftshift(given)), given)


def test_results_go_to_out() -> None:
    x = tg.tensor(values("fft", (2, 3)), device="cpu")
    out = tg.empty(2, 3, dtype=tg.complex128, device="cpu")
    assert tg.fft.fft(x, out=out) is out
    assert tg.equal(out, tg.fft.fft(x))
    with pytest.raises(RuntimeError, match="can't be cast"):
        tg.fft.fft(x, out=tg.empty(2, 3, device="cpu"))


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("dim", [0, 1])
def test_many_elements(name: str, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = values(name, (200, 201))
    assert x.size >= fourier.WORTH
    wanted = getattr(np.fft, name)(x, axis=dim)
    near = 1e-5 * np.abs(wanted).max()
    kind = np.complex64 if x.dtype.kind == "c" else np.float32
    given = tg.tensor(x.astype(kind), device="cpu")
    for way in (fourier._of_scipy, lambda: np.fft):
        monkeypatch.setattr(fourier, "_of_scipy", way)
        found = function(name, dim=dim)(given)
        assert found.dtype in (tg.complex64, tg.float32)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=near)
