"""Complex numbers: what moves, what adds up, and what is refused, the same on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg

Z = np.array([[1 + 2j, 3 - 1j], [0.5j, -2.0]])


def z(grad: bool = False) -> tg.Tensor:
    x = tg.tensor(Z, dtype=tg.complex128, device="cpu")
    return x.requires_grad_(grad)


@pytest.mark.every_host
@pytest.mark.parametrize("dtype", [tg.float32, tg.int32, tg.bool])
def test_real_tensors_are_their_conjugates(dtype: tg.DType, device: str) -> None:
    x = tg.ones(3, dtype=dtype, device=device)
    assert x.conj() is x
    assert tg.conj(x) is x


def test_conjugates() -> None:
    np.testing.assert_array_equal(z().conj().numpy(), Z.conj())
    np.testing.assert_array_equal(tg.conj(z()).numpy(), Z.conj())
    for conjugated in (z().H, z().mH, z().adjoint(), tg.adjoint(z())):
        np.testing.assert_array_equal(conjugated.numpy(), Z.conj().T)
    np.testing.assert_array_equal(z().mT.numpy(), Z.T)
    x = tg.ones(2, 3, device="cpu")
    assert x.H.shape == x.mH.shape == (3, 2)


def test_the_gradient_of_a_conjugate_is_conjugated() -> None:
    x = z(True)
    ct = tg.tensor(Z * (2 - 1j), dtype=tg.complex128, device="cpu")
    (g,) = tg.autograd.grad(x.conj(), x, ct)
    np.testing.assert_allclose(g.numpy(), (Z * (2 - 1j)).conj())
    _, t = tg.func.jvp(tg.conj, (z(),), (ct,))
    np.testing.assert_allclose(t.numpy(), (Z * (2 - 1j)).conj())
    np.testing.assert_array_equal(tg.func.vmap(tg.conj)(z()).numpy(), Z.conj())


# -- every device beside NumPy in complex128 -------------------------------------------------------


def numbers(*shape: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


A, B, C, V = numbers(3, 4), numbers(3, 4, seed=1), numbers(4, 5, seed=2), numbers(4, seed=3)
MASK = A.real > 0
INDEX = np.array([[0, 0, 1, 2]] * 3)


def assigned(x: Any) -> Any:
    x = x.clone() if isinstance(x, tg.Tensor) else x.copy()
    x[1] = 2 - 1j
    x[:, 2] = 5j
    return x


def added(x: Any, at: Any) -> Any:
    if isinstance(x, tg.Tensor):
        return tg.zeros(3, 4, dtype=x.dtype, device=x.device).scatter_add(1, at, x)
    out = np.zeros((3, 4), complex)
    np.add.at(out, (np.arange(3)[:, None], at), x)
    return out


MOVES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = {
    "uploaded": (lambda x: x, lambda x: x, (A,)),
    "of three axes": (lambda x: x[None].expand(2, 3, 4).clone(), lambda x: np.stack([x, x]), (A,)),
    "transposed": (lambda x: x.T.contiguous(), lambda x: x.T, (A,)),
    "sliced": (lambda x: x[1:, ::2], lambda x: x[1:, ::2], (A,)),
    "by index": (lambda x, i: x.gather(1, i), lambda x, i: np.take_along_axis(x, i, 1), (A, INDEX)),
    "stacked": (lambda x, y: tg.stack([x, y]), lambda x, y: np.stack([x, y]), (A, B)),
    "joined": (lambda x: tg.cat([x] * 7), lambda x: np.concatenate([x] * 7), (A,)),
    "flipped": (lambda x: x.flip(0), lambda x: x[::-1], (A,)),
    "rolled": (lambda x: x.roll(1, 0), lambda x: np.roll(x, 1, 0), (A,)),
    "padded": (
        lambda x: tg.nn.functional.pad(x, (1, 2), value=1 + 2j),  # type: ignore[arg-type]
        lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=1 + 2j),
        (A,),
    ),
    "chosen": (tg.where, np.where, (MASK, A, B)),
    "chosen beside a number": (lambda m, x: tg.where(m, x, 2j), lambda m, x: np.where(m, x, 2j), (MASK, A)),
    "assigned": (assigned, assigned, (A,)),
    "added by index": (added, added, (A, INDEX)),
    "from real": (lambda x: x.to(tg.complex64), lambda x: x.astype(complex), (A.real,)),
    "to real": (lambda x: x.float(), lambda x: x.real, (A,)),
    "to integers": (lambda x: (9 * x).int(), lambda x: np.trunc((9 * x).real), (A,)),
    "to bool": (lambda x: (x * tg.tensor([0, 1j, 1, -0.0])).bool(), lambda x: x * [0, 1j, 1, 0] != 0, (A,)),
    "filled": (lambda x: tg.full_like(x, 1 - 2j), lambda x: np.full_like(x, 1 - 2j), (A,)),
    "equal": (lambda x: x == x.clone(), lambda x: x == x, (A,)),
    "unequal": (lambda x, y: x != y, lambda x, y: x != y, (A, np.where(MASK, A, B))),
    "added": (lambda x, y: x + y, lambda x, y: x + y, (A, B)),
    "beside real": (lambda x, y: x - y, lambda x, y: x - y, (A, B.real)),
    "beside numbers": (lambda x: x * (1 + 2j) - 3, lambda x: x * (1 + 2j) - 3, (A,)),
    "real beside a number": (lambda x: x * 2j, lambda x: x * 2j, (A.real,)),
    "divided": (lambda x, y: x / y, lambda x, y: x / y, (A, B)),
    "summed": (lambda x: x.sum(0), lambda x: x.sum(0), (A,)),
    "summed up": (lambda x: x.mean(), lambda x: x.mean(), (numbers(3, 5000),)),
    "multiplied up": (lambda x: x.prod(1), lambda x: x.prod(1), (A,)),
    "running sum": (lambda x: x.cumsum(1), lambda x: x.cumsum(1), (A,)),
    "long running sum": (lambda x: x.cumsum(0), lambda x: x.cumsum(0), (numbers(40_000),)),
    "running product": (lambda x: x.cumprod(1), lambda x: x.cumprod(1), (A,)),
    "product": (lambda x, y: x @ y, lambda x, y: x @ y, (A, C)),
    "product with a vector": (lambda x, y: x @ y, lambda x, y: x @ y, (A, V)),
    "batch of products": (lambda x, y: x @ y, lambda x, y: x @ y, (numbers(2, 3, 4), C)),
    "large product": (lambda x, y: x @ y, lambda x, y: x @ y, (numbers(70, 33), numbers(33, 50))),
    "of many axes": (
        lambda x, y: tg.einsum("ij,kj->ik", x, y), lambda x, y: x @ y.T, (A, B),
    ),
    "not a number": (
        lambda x: x.isnan(), np.isnan, (np.array([1, complex(0, np.nan), complex(np.nan, 1)]),),
    ),
    "infinite": (
        lambda x: x.isinf(), np.isinf, (np.array([1, complex(0, np.inf), complex(-np.inf, 1)]),),
    ),
}  # fmt: skip


def wide(x: Any) -> Any:
    return x.astype(complex) if x.dtype.kind == "c" else x


def agree(name: str, got: tg.Tensor, want: Any) -> None:
    want = np.asarray(want)
    if want.dtype.kind == "c":
        assert got.dtype is tg.complex64, (name, got.dtype)
    scale = 3e-6 * max(1.0, float(np.abs(want).max(initial=0)))
    np.testing.assert_allclose(got.cpu().numpy(), want, rtol=1e-5, atol=scale, err_msg=name)


@pytest.mark.every_host
def test_numbers_move_and_add_up(device: str) -> None:
    for name, (ours, theirs, arrays) in MOVES.items():
        given = [a.astype(np.complex64) if a.dtype.kind == "c" else a for a in arrays]
        y = ours(*[tg.tensor(a, device=device) for a in given])
        agree(name, y, theirs(*map(wide, given)))


@pytest.mark.every_host
def test_they_are_read_and_printed(device: str) -> None:
    x = tg.tensor([1 + 2j, -0.5j], device=device)
    assert x.tolist() == [1 + 2j, -0.5j]
    assert x[1].item() == complex(x[1]) == -0.5j
    assert repr(x) == "tensor([1.+2.0000j, -0.-0.5000j])"
    assert tg.zeros(0, 3, dtype=tg.complex64, device=device).sum(0).tolist() == [0j, 0j, 0j]
    assert tg.tensor(2j, device=device).dtype is tg.complex64


@pytest.mark.one_host("wgpu")
def test_products_through_workgroup_memory(device: str) -> None:
    """The tile of a GPU, which a software adapter does not take by itself."""
    limits = tg.device(device).backend.limits  # type: ignore[attr-defined]
    kept = limits.software
    limits.software = False
    try:
        for b, m, n, k in ((1, 3, 4, 5), (2, 33, 70, 19), (1, 129, 66, 40)):
            x, y = numbers(b, m, k), numbers(b, k, n, seed=1)
            made = tg.tensor(x, device=device) @ tg.tensor(y, device=device)
            agree(f"{b} {m} {n} {k}", made, wide(x) @ wide(y))
        x = numbers(3, 4000)
        agree("a row of many", tg.tensor(x, device=device).sum(1), wide(x).sum(1))
        agree("a long scan", tg.tensor(x, device=device).cumsum(1), wide(x).cumsum(1))
    finally:
        limits.software = kept


REFUSED: dict[str, Callable[[tg.Tensor], Any]] = {
    "sort": lambda x: x.sort(),
    "topk": lambda x: x.topk(1),
    "argmax": lambda x: x.argmax(),
    "max": lambda x: x.max(),
    "median": lambda x: x.median(),
    "cummax": lambda x: x.cummax(0),
    "gt": lambda x: x > x,
    "floor": lambda x: x.floor(),
    "clamp": lambda x: x.clamp(0, 1),
    "remainder": lambda x: x % 2,
    "sign": lambda x: x.sign(),
    "erf": lambda x: x.erf(),
    "the largest of one": lambda x: x[0].max(0),
    "the median of one": lambda x: x[0].median(),
    "infinities of a sign": lambda x: x.isposinf(),
    "hypot": lambda x: tg.hypot(x, x),
    "logaddexp2": lambda x: tg.logaddexp2(x, x),
    "mse_loss": lambda x: tg.nn.functional.mse_loss(x, x),
    "kl_div": lambda x: tg.nn.functional.kl_div(x, x),
    "cosine_similarity": lambda x: tg.nn.functional.cosine_similarity(x, x, 0),
    "layer_norm": lambda x: tg.nn.functional.layer_norm(x, (4,)),
    "group_norm": lambda x: tg.nn.functional.group_norm(x[None], 2),
    "batch_norm": lambda x: tg.nn.functional.batch_norm(x[None], None, None, training=True),
}


@pytest.mark.every_host
def test_what_needs_an_order_is_refused_before_it_runs(device: str) -> None:
    x = tg.tensor(V, device=device)
    for f in REFUSED.values():
        with pytest.raises(tg.DTypeError, match="ComplexFloat"):
            f(x)


# -- parts -----------------------------------------------------------------------------------------


@pytest.mark.every_host
def test_parts_are_views(device: str) -> None:
    x = tg.tensor([[1 + 2j, 3 - 4j], [0j, -1j]], device=device)
    x.real[0] = 9
    x.imag.mul_(2)
    x.real[:, 1].add_(tg.tensor([1.0, 2.0], device=device))
    assert x.tolist() == [[9 + 4j, 10 - 8j], [0j, 2 - 2j]]
    pairs = tg.view_as_real(x)
    pairs[..., 0] = 7
    assert x.tolist() == [[7 + 4j, 7 - 8j], [7 + 0j, 7 - 2j]]
    assert (pairs.shape, pairs.stride()) == ((2, 2, 2), (4, 2, 1))
    assert (x.real.stride(), x.imag.storage_offset(), x.T.imag.stride()) == ((4, 2), 1, (2, 4))
    x.real = tg.tensor(3.0, device=device)
    x.imag = 1
    assert x.tolist() == [[3 + 1j] * 2] * 2
    w = tg.arange(8.0, device=device).reshape(2, 2, 2).clone()
    c = tg.view_as_complex(w)
    c[0, 1] = 5j
    c *= 2
    assert w.tolist() == [[[0, 2], [0, 10]], [[8, 10], [12, 14]]]
    assert c.stride() == (2, 1)
    part = tg.view_as_complex(w[:, 1]).real
    part.zero_()
    assert w[:, 1].tolist() == [[0, 10], [0, 14]]


@pytest.mark.every_host
def test_made_of_parts_and_taken_apart(device: str) -> None:
    a, b = (tg.tensor(n, device=device) for n in ([3.0, 0.0, -5.0], [4.0, 0.0, 12.0]))
    z = tg.complex(a, b)
    assert z.tolist() == [3 + 4j, 0j, -5 + 12j]
    assert tg.real(z).tolist() == a.tolist()
    assert tg.imag(z).tolist() == b.tolist()
    assert z.abs().tolist() == pytest.approx([5, 0, 13])
    assert tg.view_as_complex(tg.view_as_real(z)).tolist() == z.tolist()
    agree("angle", z.angle(), np.angle(z.cpu().numpy()))
    agree("sgn", z.sgn(), [0.6 + 0.8j, 0, -5 / 13 + 12j / 13])
    agree("polar", tg.polar(z.abs(), z.angle()), z.cpu().numpy())
    assert tg.angle(a).tolist() == pytest.approx([0, 0, np.pi])
    assert tg.angle(tg.tensor([-1, 2], device=device)).tolist() == pytest.approx([np.pi, 0])
    assert a.real is a
    assert z.conj_physical().tolist() == [3 - 4j, 0j, -5 - 12j]
    assert z.resolve_conj() is z
    assert z.resolve_neg() is z
    assert z.clone().conj_physical_().tolist() == [3 - 4j, 0j, -5 - 12j]
    assert tg.isreal(z).tolist() == [False, True, False]
    assert tg.complex(a, b[:1, None]).shape == (1, 3)
    big = tg.tensor([3e38 + 3e38j, 3e-30 + 4e-30j, complex(np.nan, np.inf)], device=device)
    assert big.abs()[0].item() == np.inf
    assert big.abs()[1].item() == pytest.approx(5e-30)
    assert big.abs()[2].item() == np.inf
    empty = tg.zeros(0, 3, dtype=tg.complex64, device=device)
    assert empty.abs().shape == empty.imag.shape == (0, 3)
    assert tg.view_as_real(empty).shape == (0, 3, 2)


def test_what_has_no_parts_is_refused() -> None:
    w = tg.arange(8.0, device="cpu").reshape(2, 2, 2)
    z = tg.view_as_complex(w)
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: tg.view_as_complex(w.transpose(0, 2)), tg.ShapeError, "a last dimension with stride 1"),
        (lambda: tg.view_as_complex(w[..., :1]), tg.ShapeError, "a last dimension of size 2"),
        (lambda: tg.view_as_complex(w[0, 0, 0]), tg.ShapeError, "one or more dimensions"),
        (lambda: tg.view_as_complex(tg.arange(9.0)[1:].reshape(4, 2)), tg.ShapeError, "divisible by 2"),
        (lambda: tg.view_as_complex(w.int()), tg.DTypeError, "scalar type: Int"),
        (lambda: tg.view_as_complex(w.half()), tg.DTypeError, "scalar type: Half"),
        (lambda: tg.view_as_real(w), tg.DTypeError, "only supported for complex tensors"),
        (lambda: w.imag, tg.DTypeError, "not implemented for tensors with non-complex dtypes"),
        (lambda: tg.complex(w, w.double()), tg.DTypeError, "Float but got scalar type Double"),
        (lambda: tg.complex(w.int(), w), tg.DTypeError, "but got Int and Float"),
        (lambda: tg.complex(w.half(), w.half()), tg.DTypeError, "half precision"),
        (lambda: tg.polar(w, w.long()), tg.DTypeError, "but got Float and Long"),
        (lambda: z.abs_(), RuntimeError, "In-place abs is not supported for complex"),
        (lambda: z.chalf(), tg.DTypeError, "half precision"),
        (lambda: z.expand(2, 2, 2).real.zero_(), tg.ShapeError, "single memory location"),
    ]  # fmt: skip
    for f, kind, words in wrong:
        with pytest.raises(kind, match=words):
            f()


@pytest.mark.every_host
def test_compiled_steps_take_other_numbers(device: str) -> None:
    """A complex number of Python is no part of a plan, nor is the sign of a zero in it."""

    def f(x: tg.Tensor, by: complex) -> tg.Tensor:
        return (x * by + 1).abs().sum() - (x.exp() / by).imag.sum()

    step = tg.compile(f)
    x = tg.tensor(V, device=device)
    for by in (1 + 2j, 0.5 - 1j, complex(1.0, -0.0), complex(1.0, 0.0), 3j):
        agree(f"{by}", step(x, by), f(x, by).cpu().numpy())
    squared = tg.compile(lambda z: (z @ z.mH).real.diagonal(), dynamic=True)
    for n in (3, 5, 9):
        z = numbers(n, n)
        agree(f"{n} rows", squared(tg.tensor(z, device=device)), (np.abs(wide(z)) ** 2).sum(1))


@pytest.mark.every_host
def test_saved_and_loaded(device: str, tmp_path: Any) -> None:
    tg.save({"z": tg.tensor(A, device=device)}, tmp_path / "z.pt")
    back = tg.load(tmp_path / "z.pt", map_location=device)["z"]
    assert back.dtype is tg.complex64
    assert back.tolist() == A.tolist()


@pytest.mark.every_host
def test_an_imaginary_number_is_not_zero(device: str) -> None:
    x = tg.tensor([1j, 0, 2, -0.0, complex(0, np.nan)], device=device)
    assert x.bool().tolist() == [True, False, True, False, True]
    assert tg.nonzero(x).flatten().tolist() == [0, 2, 4]
    assert x.any().item()
    assert not x.all().item()
    assert tg.count_nonzero(x).item() == 3
    odd = tg.tensor([complex(np.nan, np.inf), complex(-np.inf, 1)], device=device)
    most = 3.4028234663852886e38
    assert tg.nan_to_num(odd).tolist() == [complex(0, most), complex(-most, 1)]
    assert tg.nan_to_num(odd, 1, 2, 3).tolist() == [1 + 2j, 3 + 1j]


def test_what_is_for_real_functions_refuses_others() -> None:
    z = tg.tensor([1 + 2j, 3j], device="cpu")
    x = tg.tensor([1.0, 2.0], device="cpu")
    functional = tg.autograd.functional
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: tg.func.jacrev(tg.abs)(z), "jacrev: Expected all inputs to be real"),
        (lambda: tg.func.jacfwd(tg.abs)(z), "jacfwd: Expected all inputs to be real"),
        (lambda: tg.func.hessian(lambda z: z.abs().sum())(z), "Expected all inputs to be real"),
        (lambda: tg.func.jacrev(lambda x: x * 1j)(x), "jacrev: Expected all outputs to be real"),
        (lambda: tg.func.jacfwd(lambda x: x * 1j)(x), "jacfwd: Expected all outputs to be real"),
        (
            lambda: functional.jacobian(lambda z: z * z, z),
            "jacobian: Expected all outputs to be real",
        ),
        (lambda: tg.func.grad(lambda z: (z * z).sum())(z), "only for real scalar outputs"),
        (lambda: (z.requires_grad_() * 2).sum().backward(), "only for real outputs"),
    ]
    for f, words in wrong:
        with pytest.raises(tg.GradientError, match=words):
            f()


def test_optimizers_take_complex_parameters_or_refuse_them() -> None:
    z = tg.tensor([1 + 2j, 3j], device="cpu", requires_grad=True)
    step = tg.optim.SGD([z], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    pairs = tg.view_as_real(z.detach()).clone().requires_grad_()
    other = tg.optim.SGD([pairs], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    for _ in range(3):
        for p, optimizer in ((z, step), (tg.view_as_complex(pairs), other)):
            optimizer.zero_grad()
            (p * (2 + 1j)).abs().pow(3).sum().backward()
            optimizer.step()
    np.testing.assert_allclose(
        z.detach().numpy(), tg.view_as_complex(pairs.detach()).numpy(), rtol=1e-6
    )
    for kind in (tg.optim.Adam, tg.optim.RMSprop, tg.optim.Adagrad, tg.optim.LBFGS, tg.optim.Rprop):
        with pytest.raises(tg.DTypeError, match="does not support complex parameters"):
            kind([z])


@pytest.mark.every_host
def test_viewed_as_real_numbers_and_back(device: str) -> None:
    z = tg.tensor([[1 + 2j, 3 - 4j]], device=device)
    flat = z.view(tg.float32)
    assert flat.tolist() == [[1, 2, 3, -4]]
    flat[0, 1] = 7
    assert z.tolist() == [[1 + 7j, 3 - 4j]]
    back = tg.arange(8.0, device=device).reshape(2, 4).view(tg.complex64)
    assert back.tolist() == [[1j, 2 + 3j], [4 + 5j, 6 + 7j]]
    with pytest.raises(tg.ShapeError, match="must be divisible by 2"):
        tg.ones(3, device=device).view(tg.complex64)
    assert not z.clone().requires_grad_().view(tg.float32).requires_grad


def test_what_reads_the_memory_behind_conjugates(tmp_path: Any) -> None:
    """An array, a file and a stride go by memory, which has the numbers and not their conjugates."""
    z = tg.tensor([1 + 2j, 3 - 4j], device="cpu")
    c = z.conj()
    array = c.numpy()
    assert array.tolist() == c.tolist() == [1 - 2j, 3 + 4j]
    z.numpy()[0] = 5j
    assert c.tolist() == [-5j, 3 + 4j]
    assert array.tolist() == [1 - 2j, 3 + 4j]
    assert c.imag.numpy().tolist() == [-5, 4]
    assert c.real.numpy().tolist() == [0, 3]
    tg.save({"z": z, "c": c, "n": c.imag}, tmp_path / "file.pt")
    found = tg.load(tmp_path / "file.pt")
    assert found["c"].tolist() == c.tolist()
    assert found["n"].tolist() == c.imag.tolist()
    assert c.as_strided((1,), (1,), 1).tolist() == [3 + 4j]
    with pytest.raises(
        tg.ShapeError, match="as_strided: the memory has not the parts of conjugates"
    ):
        c.imag.as_strided((1,), (1,), 0)


@pytest.mark.every_host
def test_writes_to_conjugates_inside_transforms_and_compiled_functions(device: str) -> None:
    def changed(x: Any) -> Any:
        z = tg.complex(x, 2 * x)
        z.conj()[..., 0] = 1j
        z.conj().imag.mul_(3)
        return tg.view_as_real(z)

    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    wanted = [[[0.0, -3.0], [2.0, 12.0]], [[0.0, -3.0], [4.0, 24.0]]]
    assert changed(x).tolist() == wanted
    assert tg.func.vmap(changed)(x).tolist() == wanted
    _, tangent = tg.func.jvp(changed, (x,), (tg.ones_like(x),))
    assert tangent.tolist() == [[[0, 0], [1, 6]]] * 2
    compiled = tg.compile(changed)
    for _ in range(3):
        assert compiled(x).tolist() == wanted
    shared = tg.compile(lambda z: z.conj().mul_(2j))
    for _ in range(3):
        z = tg.complex(x, x)
        shared(z)
        assert tg.view_as_real(z).tolist() == [[[2, -2], [4, -4]], [[6, -6], [8, -8]]]
