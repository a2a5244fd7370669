"""Ops with several results on every device: differentiated, batched, fused, compiled and exported."""

from __future__ import annotations

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.op import REGISTRY
from tests.grouped import of_one_case
from tests.lower import toy_qr2
from tests.ops import cases, test_ops as suite

pytestmark = pytest.mark.every_host
GENERATED = [
    getattr(suite, name)
    for name in dir(suite)
    if name.startswith("test_") and ("agree" in name or "transpose" in name or "rule_says" in name)
]


@pytest.fixture(autouse=True, scope="module")
def declared():
    yield toy_qr2.declare()
    toy_qr2.forget()
    cases.cases.cache_clear()


def matrices(device, *lead, seed=0):
    rng = np.random.default_rng(seed)
    return tg.tensor(
        (rng.normal(size=(*lead, 2, 2)) + 2 * np.eye(2)).astype("float32"), device=device
    )


def qr(x):
    return REGISTRY["qr2"].bind(x)


def loss(x):
    """What both factors go into."""
    q, r = qr(x)
    return (q.sin() * r).sum() + (r * r).sum()


def test_the_factors_are_those_of_the_matrix(device) -> None:
    x = matrices(device, 5)
    q, r = qr(x)
    np.testing.assert_allclose((q @ r).numpy(), x.numpy(), atol=1e-5)
    np.testing.assert_allclose((q.mT @ q).numpy(), np.broadcast_to(np.eye(2), (5, 2, 2)), atol=1e-5)
    assert (r[..., 1, 0].numpy() == 0).all()


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_them_can_be_wanted_alone(device, which) -> None:
    x = matrices(device, 3)
    wanted = qr(matrices("cpu", 3))[which].numpy()
    np.testing.assert_allclose(qr(x * 1)[which].numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_both_are_one_kernel_that_reads_what_is_fused_into_it(device) -> None:
    x = matrices(device, 4)
    with tg.profiler.count() as counted:
        q, r = qr(x)
        (q + r).sum((-1, -2)).tolist()
    assert counted.dispatches == (0 if device == "cpu" else 2)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_the_gradient_agrees_with_differences(device, shape) -> None:
    x = (matrices(device, *shape) * 1).requires_grad_()
    loss(x * 1).backward()
    a = x.detach().numpy().astype("float64")
    t = np.random.default_rng(1).normal(size=a.shape)

    def at(b):
        return loss(tg.tensor(b, device="cpu")).item()

    wanted = (at(a + 1e-5 * t) - at(a - 1e-5 * t)) / 2e-5
    np.testing.assert_allclose((x.grad.numpy() * t).sum(), wanted, rtol=2e-3, atol=2e-3)


def test_a_gradient_through_one_factor_alone(device) -> None:
    x = matrices(device, 3).requires_grad_()
    q, _ = qr(x)
    weight = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    (found,) = tg.autograd.grad((q * weight).sum(), x)
    y = matrices("cpu", 3).double().requires_grad_()
    (wanted,) = tg.autograd.grad((qr(y)[0] * weight.cpu().double()).sum(), y)
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-3, atol=1e-4)


def test_both_results_come_from_one_node(device) -> None:
    q, r = qr(matrices(device, 1).requires_grad_())
    assert q.grad_fn is r.grad_fn
    assert (q.output_nr, r.output_nr) == (0, 1)
    assert q.grad_fn.name() == "Qr2Backward0"


def test_second_derivatives(device) -> None:
    x, v = matrices(device, 2), matrices(device, 2, seed=3)

    def product(x, v):
        return tg.func.grad(lambda x: (tg.func.grad(loss)(x) * v).sum())(x)

    found = product(x, v)
    wanted = product(x.cpu().double(), v.cpu().double())
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=2e-3, atol=2e-3)
    leaf = x.detach().requires_grad_()
    (first,) = tg.autograd.grad(loss(leaf), leaf, create_graph=True)
    (second,) = tg.autograd.grad((first * v).sum(), leaf)
    np.testing.assert_allclose(second.numpy(), wanted.numpy(), rtol=2e-3, atol=2e-3)


def test_forward_mode_is_the_transpose_of_reverse(device) -> None:
    x, t = matrices(device, 2), matrices(device, 2, seed=4)
    _, (dq, dr) = tg.func.jvp(qr, (x,), (t,))
    a, b = matrices(device, 2, seed=5), matrices(device, 2, seed=6)
    _, pull = tg.func.vjp(qr, x)
    (back,) = pull((a, b))
    left, right = (dq * a).sum() + (dr * b).sum(), (back * t).sum()
    np.testing.assert_allclose(left.item(), right.item(), rtol=1e-3)


def test_reverse_over_forward(device) -> None:
    x, t = matrices(device, 2), matrices(device, 2, seed=4)

    def directional(x):
        return tg.func.jvp(loss, (x,), (t,))[1]

    found = tg.func.grad(directional)(x)
    wanted = tg.func.jvp(tg.func.grad(loss), (x,), (t,))[1]
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=2e-3, atol=2e-3)
    with tg.autograd.forward_ad.dual_level():
        leaf = x.detach().requires_grad_()
        dual = tg.autograd.forward_ad.make_dual(leaf, t)
        tangent = tg.autograd.forward_ad.unpack_dual(loss(dual)).tangent
        (again,) = tg.autograd.grad(tangent, leaf)
    np.testing.assert_allclose(again.numpy(), wanted.numpy(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_batching_is_a_loop(device, dim) -> None:
    x = matrices(device, 3).movedim(0, dim)
    q, r = tg.func.vmap(qr, in_dims=dim)(x)
    for i in range(3):
        a, b = qr(x.select(dim, i))
        np.testing.assert_allclose(q[i].numpy(), a.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(r[i].numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    grads = tg.func.vmap(tg.func.grad(loss), in_dims=dim)(x)
    np.testing.assert_allclose(
        grads[1].numpy(), tg.func.grad(loss)(x.select(dim, 1)).numpy(), rtol=1e-3, atol=1e-4
    )


def test_a_compiled_step_replays_it(device) -> None:
    w = matrices(device, 2).requires_grad_()
    opt = tg.optim.SGD([w], lr=0.01)

    def step(x):
        opt.zero_grad()
        y = loss(w @ x)
        y.backward()
        opt.step()
        return y

    fast = tg.compile(step)
    plain, x = [], matrices(device, 2, seed=7)
    start = w.detach().clone()
    for _ in range(4):
        plain.append(step(x).item())
    with tg.no_grad():
        w.copy_(start)
    np.testing.assert_allclose([fast(x).item() for _ in range(4)], plain, rtol=1e-4)


def test_an_exported_program_has_it_as_parts(device, tmp_path) -> None:
    program = tg.export(lambda x: loss(x * 2), (tg.export.TensorSpec((None, 2, 2)),))
    tg.export.save(program, tmp_path / "qr2")
    again = tg.export.load(tmp_path / "qr2")
    for n in (2, 3):
        x = matrices(device, n, seed=9)
        np.testing.assert_allclose(again(x).item(), loss(x * 2).item(), rtol=1e-4)


def test_two_applications_stay_apart(device) -> None:
    x, y = matrices(device, 2), matrices(device, 2, seed=8)
    found = [t.numpy() for pair in (qr(x), qr(y)) for t in pair]
    wanted = [t.numpy() for m in (x, y) for t in qr(m.cpu())]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_empty_and_half(device) -> None:
    q, r = qr(tg.ones(0, 2, 2, device=device))
    assert q.shape == r.shape == (0, 2, 2)
    if tg.device(device).canonical(tg.float16) is tg.float16:
        h = matrices(device, 2).half()
        q, r = qr(h)
        np.testing.assert_allclose((q @ r).float().numpy(), h.float().numpy(), rtol=1e-2, atol=1e-2)


@pytest.mark.one_host("reference")
@pytest.mark.parametrize("part", ["qr2.0", "qr2.1"])
def test_the_tests_of_all_ops_take_the_parts(part) -> None:
    ran = 0
    for test in map(of_one_case, GENERATED):
        if test.__code__.co_varnames[: test.__code__.co_argcount] == ("op",):
            test(REGISTRY[part])
            ran += 1
    assert ran >= 8
