"""Products with bias and activation as one call of cuBLASLt: when, with what, and what it computes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import HostError
from tabgrad.hosts.device import DeviceBackend
from tabgrad.hosts.devices import Device
from tabgrad_native import cublaslt, cupy_routines
from tabgrad_native.cupy_host import CupyHost
from tests.grouped import grouped
from tests.hosts.cublaslt_double import SIGNATURES, CublasLt, Epilogue
from tests.hosts.cupy_double import Cublas, Cupy
from tests.lower import recorder

F = tg.nn.functional
ROUTINES = ("matmul", cublaslt.NAME)
F32, F16 = (cupy_routines.DTYPES.index(name) for name in ("float32", "float16"))


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    yield
    tg.set_float32_matmul_precision("highest")


def randoms(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def tanh_gelu(x: Any) -> Any:
    return F.gelu(x, approximate="tanh")


# -- which products ------------------------------------------------------------------------------

SHAPES = [(80, 96), (64, 96), (64,)]
FUNCTION = Callable[..., Any]
CALLED = cublaslt.NAME
WHICH: dict[str, tuple[FUNCTION, Any, list[str], int | None]] = {
    "bias": (F.linear, SHAPES, [CALLED], 0),
    "bias and relu": (lambda x, w, b: tg.relu(F.linear(x, w, b)), SHAPES, [CALLED], 1),
    "the bias first": (lambda x, w, b: tg.relu(b + x @ w.mT), SHAPES, [CALLED], 1),
    "rows of a batch": (lambda x, w, b: tg.relu(F.linear(x, w, b)), [(5, 16, 96), *SHAPES[1:]], [CALLED], 1),
    "what follows is a kernel": (lambda x, w, b: tg.exp(F.linear(x, w, b)), SHAPES, [CALLED, "exp"], 0),
    "gelu needs a lower precision": (
        lambda x, w, b: tanh_gelu(F.linear(x, w, b)), SHAPES, [CALLED, "gelu_tanh"], 0,
    ),
    "gelu by erf": (lambda x, w, b: F.gelu(F.linear(x, w, b)), SHAPES, [CALLED, "gelu_erf"], 0),
    "a bias of rows": (lambda x, w, b: x @ w.mT + b[:, None], [*SHAPES[:2], (80,)], ["matmul", "add"], None),
    "a sum of matrices": (lambda x, w, b: x @ w.mT + b, [*SHAPES[:2], (80, 64)], ["matmul", "add"], None),
    "a part of a vector": (lambda x, w, b: x @ w.mT + b[8:72], [*SHAPES[:2], (80,)], ["matmul", "add"], None),
    "sizes that are not aligned": (F.linear, [(81, 96), *SHAPES[1:]], ["matmul", "add"], None),
    "the product is read as well": (
        lambda x, w, b: (lambda p: (p, p + b))(x @ w.mT), SHAPES, ["matmul", "add"], None,
    ),
    "the sum is read as well": (
        lambda x, w, b: (lambda h: (h, tg.relu(h)))(F.linear(x, w, b)), SHAPES, [CALLED, "relu"], 0,
    ),
    "two layers": (
        lambda x, w, b: tg.relu(F.linear(tg.relu(F.linear(x, w, b)), w, b)), [(80, 96), (96, 96), (96,)],
        [CALLED, CALLED], 1,
    ),
    "small ones are printed": (lambda x, w, b: F.linear(x, w, b), [(8, 8), (8, 8), (8,)], ["matmul+add"], None),
    "batches of matrices": (
        lambda x, w, b: x @ w + b, [(2, 64, 96), (2, 96, 64), (64,)], ["matmul", "add"], None,
    ),
}  # fmt: skip


@grouped("name", WHICH)
def test_which_products_are_joined(name: str) -> None:
    function, shapes, labels, epilogue = WHICH[name]
    where = recorder.device("cuda", routines=ROUTINES)
    kept = function(*(tg.tensor(randoms(*shape), device=where) for shape in shapes))
    where.backend.flush()
    kernels = recorder.last_plan(where).kernels
    assert kept is not None
    assert [k.label for k in kernels] == labels
    assert [k.words[-1] for k in kernels if k.routine == CALLED][:1] == (
        [] if epilogue is None else [epilogue]
    )


def gradient(x: Any, w: Any, b: Any) -> Any:
    """Return the gradients of a layer, whose bias has that of its weights beside it."""
    y = tg.relu(F.linear(x, w.requires_grad_(), b.requires_grad_()))
    return tg.autograd.grad(y, [w, b], y.detach())


GRADIENTS: dict[str, tuple[FUNCTION, Any, list[str]]] = {
    "a layer": (gradient, SHAPES, [CALLED, "where", CALLED]),
    "many rows": (gradient, [(4096, 128), (256, 128), (256,)], [CALLED, "where", CALLED]),
    "sums of the left operand": (
        lambda x, g, b: (g.mT @ x, g.sum(0)), [(80, 96), (80, 64), (64,)], ["reduce_sum", "matmul"],
    ),
    "sums of rows": (lambda x, g, b: (x @ g, g.sum(1)), [(80, 96), (96, 64), (64,)], ["reduce_sum", "matmul"]),
    "two products, one of which has the sums": (
        lambda x, g, b: (x @ g, x.flip(0) @ g, g.sum(0)), [(80, 96), (96, 64), (64,)],
        [CALLED, "copy", "matmul"],
    ),
    "the product needs the sums": (
        lambda x, g, b: (x + g.sum(0)) @ g, [(80, 96), (96, 96), (64,)], ["reduce_sum", "add", "matmul"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", [tg.float32, tg.float16], ids=str)
@grouped("name", GRADIENTS)
def test_which_sums_are_beside_a_product(name: str, kind: Any) -> None:
    function, shapes, labels = GRADIENTS[name]
    where = recorder.device("cuda", routines=ROUTINES)
    kept = function(*(tg.tensor(randoms(*shape)).to(kind).to(where) for shape in shapes))
    where.backend.flush()
    assert kept is not None
    kernels = recorder.last_plan(where).kernels
    assert sorted(k.label.removesuffix("+cast") for k in kernels) == sorted(labels)
    called = [k.words[-1] for k in kernels if k.routine == CALLED]
    assert called.count(3) == (CALLED in labels)


def test_the_words_of_a_call() -> None:
    where = recorder.device("cuda", features=("tensor-cores",), routines=ROUTINES)
    x, w, b = (tg.tensor(randoms(*shape), device=where) for shape in SHAPES)
    kept = tg.relu(F.linear(x, w, b))
    where.backend.flush()
    (kernel,) = recorder.last_plan(where).kernels
    assert kept.shape == (80, 64)
    assert (kernel.words, kernel.ops) == ((F32, 80, 64, 96, 2, 1), ("matmul", "add", "relu"))
    tg.set_float32_matmul_precision("high")
    kept = tanh_gelu(F.linear(x, w, b))
    where.backend.flush()
    (kernel,) = recorder.last_plan(where).kernels
    assert kept.shape == (80, 64)
    assert kernel.words == (F32, 80, 64, 96, 6, 2)


def test_without_the_routine_what_follows_is_a_kernel() -> None:
    where = recorder.device("cuda", routines=("matmul",))
    kept = F.linear(*(tg.tensor(randoms(*shape), device=where) for shape in SHAPES))
    where.backend.flush()
    assert kept.shape == (80, 64)
    assert [k.label for k in recorder.last_plan(where).kernels] == ["matmul", "add"]


# -- what the host does --------------------------------------------------------------------------


@pytest.fixture
def cupy() -> Any:
    return Cupy()


@pytest.fixture
def lt(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the double of cuBLASLt, which is what the host imports."""
    for name in ("", ".cuda", ".cuda.libs", ".cuda.libs.cublas"):
        monkeypatch.setitem(sys.modules, "cupy_backends" + name, Cublas("cublas"))
    made = CublasLt(cupy)
    for name in ("nvmath", "nvmath.bindings", "nvmath.bindings.cublasLt"):
        monkeypatch.setitem(sys.modules, name, made)
    return made


def device(cupy: Any) -> Any:
    where = Device("cuda", 901)
    where._backend = DeviceBackend(CupyHost(cupy), where)
    return where


ACTS: dict[str, tuple[FUNCTION, Epilogue]] = {
    "bias": (lambda x: x, Epilogue.BIAS),
    "relu": (tg.relu, Epilogue.RELU_BIAS),
    "gelu": (tanh_gelu, Epilogue.GELU_BIAS),
}


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("name", ACTS)
def test_it_computes_what_the_ops_compute(name: str, kind: str, lt: Any, cupy: Any) -> None:
    tg.set_float32_matmul_precision("high")
    act, epilogue = ACTS[name]
    where, layouts = (
        device(cupy),
        [lambda x, w: x @ w, lambda x, w: x.mT @ w, lambda x, w: x @ w.mT],
    )
    shapes = [[(80, 96), (96, 64)], [(96, 80), (96, 64)], [(80, 96), (64, 96)]]
    for product, pair in zip(layouts, shapes, strict=True):
        arrays = [randoms(*shape) / 8 for shape in (*pair, (64,))]
        x, w, b = (tg.tensor(a).to(getattr(tg, kind)).to(where) for a in arrays)
        want = act(product(*(tg.tensor(a) for a in arrays[:2])) + tg.tensor(arrays[2])).numpy()
        for _ in range(3):
            got = act(product(x, w) + b).numpy().astype(np.float32)
            np.testing.assert_allclose(got, want, rtol=4e-3, atol=4e-3)
    assert {e for e, _ in lt.calls} == {epilogue}
    assert lt.preferences == 0


@pytest.mark.parametrize(
    "lacks", [set(), {Epilogue.BGRADA}], ids=["in one call", "by a product with ones"]
)
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_sums_beside_a_product(kind: str, lacks: Any, lt: Any, cupy: Any) -> None:
    lt.lacks = lacks
    x, g = randoms(96, 80) / 8, randoms(96, 64) / 8
    where = device(cupy)
    left, right = (tg.tensor(a).to(getattr(tg, kind)).to(where) for a in (x, g))
    for _ in range(4):
        product, sums = left.mT @ right, right.sum(0)
        np.testing.assert_allclose(product.numpy().astype("f4"), x.T @ g, rtol=4e-3, atol=4e-3)
        np.testing.assert_allclose(sums.numpy().astype("f4"), g.sum(0), rtol=4e-3, atol=4e-3)
    assert {e for e, _ in lt.calls} == ({Epilogue.DEFAULT} if lacks else {Epilogue.BGRADA})


def test_float32_is_rounded_to_tf32_only_if_that_is_allowed(lt: Any, cupy: Any) -> None:
    x, w, b = (
        np.full((80, 96), 1 + 2**-12, np.float32),
        np.eye(96, 64, dtype=np.float32),
        np.zeros(64, np.float32),
    )
    where = device(cupy)
    operands = [tg.tensor(a, device=where) for a in (x, w, b)]
    for precision, want in (("highest", 1 + 2**-12), ("high", 1), ("highest", 1 + 2**-12)):
        tg.set_float32_matmul_precision(precision)
        got = operands[0] @ operands[1] + operands[2]
        np.testing.assert_array_equal(got.numpy(), np.full((80, 64), want, np.float32))
    assert len(lt.calls) == 5


def layer(where: Any) -> np.ndarray:
    """Return relu of a product with NaN in one row."""
    x, w, b = (randoms(*shape) for shape in SHAPES)
    x[3, 5] = np.nan
    found: np.ndarray = tg.relu(F.linear(*(tg.tensor(a, device=where) for a in (x, w, b)))).numpy()
    want = np.maximum(x @ w.T + b, 0)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)
    assert np.isnan(found[3]).all()
    return found


def test_an_algorithm_that_drops_nan_or_is_refused_is_not_taken(lt: Any, cupy: Any) -> None:
    lt.drops, lt.refuses = {0}, {1}
    layer(device(cupy))
    assert lt.calls == [(Epilogue.RELU_BIAS, 0), (Epilogue.RELU_BIAS, 2), (Epilogue.RELU_BIAS, 2)]


def test_relu_is_a_second_kernel_where_no_algorithm_keeps_nan(lt: Any, cupy: Any) -> None:
    lt.drops = {0, 1, 2}
    layer(device(cupy))
    assert [e for e, _ in lt.calls][-2:] == [Epilogue.BIAS, Epilogue.BIAS]


def test_gelu_is_refused_where_no_algorithm_keeps_nan(lt: Any, cupy: Any) -> None:
    tg.set_float32_matmul_precision("high")
    lt.drops = {0, 1, 2}
    where = device(cupy)
    y = tanh_gelu(F.linear(*(tg.tensor(randoms(*shape), device=where) for shape in SHAPES)))
    with pytest.raises(HostError, match="without nvmath-python"):
        y.numpy()


def test_a_step_with_calls_is_recorded_as_a_graph(lt: Any, cupy: Any) -> None:
    where = device(cupy)
    x, w, b = (tg.tensor(randoms(*shape), device=where) for shape in ((96, 96), (96, 96), (96,)))
    step = tg.compile(lambda x: F.linear(tg.relu(F.linear(x, w, b)), w, b))
    want = step(x).numpy()
    for _ in range(5):
        np.testing.assert_array_equal(step(x).numpy(), want)
    assert cupy.graphs


def test_an_older_device_or_none_of_nvmath_means_no_routine(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nvmath", None)
    assert CupyHost(cupy).hello.routines == cupy_routines.NAMES
    assert cublaslt.load(cupy) is None


def test_an_installed_one_that_does_not_work_is_told_of(
    lt: Any, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CupyHost(cupy).hello.routines == cupy_routines.EPILOGUES

    def broken() -> int:
        raise RuntimeError("no libcublasLt.so")

    monkeypatch.setattr(lt, "get_version", broken)
    with pytest.warns(RuntimeWarning, match=r"no libcublasLt\.so"):
        assert CupyHost(cupy).hello.routines == cupy_routines.NAMES


def test_the_double_has_the_parameters_of_nvmath() -> None:
    for name, parameters in SIGNATURES.items():
        own = list(inspect.signature(getattr(CublasLt, name)).parameters)[1:]
        assert ", ".join(own) == parameters
