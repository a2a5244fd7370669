"""Loops on the device: small bodies are one op, with the values and derivatives of plain Python."""

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.func import fori_loop, grad, jvp, scan, vmap

pytestmark = pytest.mark.every_host


def arrays(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape).astype(np.float32)


def cell(w, b):
    def body(h, x):
        after = (w @ h + x * b).tanh()
        return after, (after * after).sum() + h[0]

    return body


def plain(w, b, h, xs, reverse=False):
    ys = []
    for x in list(xs)[:: -1 if reverse else 1]:
        h, y = cell(w, b)(h, x)
        ys.append(y)
    return h, tg.stack(ys[:: -1 if reverse else 1])


INPUTS = (0.5 * arrays(4, 4), arrays(4, seed=1), arrays(4, seed=2), arrays(9, 4, seed=3))


def compare(found, expected, tolerance=2e-5):
    leaves = tg.core.tree.leaves
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


WAYS = {
    "values": lambda f, w, b, h, xs: f(w, b, h, xs),
    "gradient": lambda f, *args: grad(lambda *a: f(*a)[0].sum() + f(*a)[1].sum(), (0, 1, 2, 3))(
        *args
    ),
    "tangent": lambda f, *args: jvp(f, args, args),
    "batch": lambda f, w, b, h, xs: vmap(f, (None, None, 0, None))(
        w, b, tg.stack([h, 2.0 * h]), xs
    ),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_scan_is_the_loop_it_stands_for(device, way, reverse):
    def looped(w, b, h, xs):
        return scan(cell(w, b), h, xs, reverse=reverse)

    args = [tg.tensor(a.tolist(), device=device) for a in INPUTS]
    unrolled = [tg.tensor(a.tolist(), device="cpu") for a in INPUTS]
    compare(WAYS[way](looped, *args), WAYS[way](lambda *a: plain(*a, reverse), *unrolled))


def test_carries_of_several_shapes_and_products(device):
    def body(carry, x):
        m, v = carry
        return (m @ m * 0.5 + x, v + m.sum(1)), (m[0], v)

    m, v, xs = arrays(3, 3) * 0.3, arrays(3, seed=1), arrays(5, 3, 3, seed=2) * 0.3

    def run(where):
        m_, v_, xs_ = (tg.tensor(a.tolist(), device=where) for a in (m, v, xs))
        return scan(body, (m_, v_), xs_)

    carry, ys = (tg.tensor(m.tolist(), device="cpu"), tg.tensor(v.tolist(), device="cpu")), []
    for x in xs:
        carry, y = body(carry, tg.tensor(x.tolist(), device="cpu"))
        ys.append(y)
    compare(run(device), (carry, tuple(tg.stack(list(y)) for y in zip(*ys, strict=True))))


def test_gathers_comparisons_and_integer_rows(device):
    table = arrays(6, 3)

    def run(where):
        t = tg.tensor(table.tolist(), device=where)
        steps = tg.tensor([0, 5, 2, 2], device=where)
        return scan(lambda c, i: (tg.where(c > 0, c, -c) + t[i], c.max()), t[1], steps)

    carry, ys = table[1], []
    for i in (0, 5, 2, 2):
        ys.append(carry.max())
        carry = np.where(carry > 0, carry, -carry) + table[i]
    found = run(device)
    np.testing.assert_allclose(found[0].numpy(), carry, rtol=1e-5)
    np.testing.assert_allclose(found[1].numpy(), ys, rtol=1e-5)


def test_a_long_loop_takes_few_dispatches(device):
    h, w = arrays(16), arrays(16, 16, seed=1) * 0.2

    def run(where, length):
        a, m = tg.tensor(h.tolist(), device=where), tg.tensor(w.tolist(), device=where)
        return fori_loop(0, length, lambda i, v: (m @ v).tanh() + 0.01, a)

    run(device, 10_000).tolist()
    with tg.profiler.count() as counted:
        found = run(device, 10_000).numpy()
    assert counted.dispatches <= 6
    np.testing.assert_allclose(found, run("cpu", 10_000).numpy(), rtol=1e-4, atol=1e-5)


def test_changed_numbers_make_no_new_pipeline(device):
    def run(rate, start):
        a = tg.tensor([start, 1.0], device=device)
        return scan(lambda c, x: (c * rate + x, None), a, tg.ones(7, 2, device=device))[0].tolist()

    run(0.5, 1.0)
    with tg.profiler.count() as counted:
        found = run(0.25, 3.0)
    assert counted.pipelines == 0
    value = 3.0
    for _ in range(7):
        value = value * 0.25 + 1.0
    assert found[0] == pytest.approx(value, rel=1e-6)


def test_large_bodies_are_repeated_step_by_step(device):
    x = tg.ones(200, 200, device=device) * 0.01
    found = scan(lambda c, _: (c @ x, None), x, None, length=3)[0]
    np.testing.assert_allclose(found.numpy(), np.linalg.matrix_power(x.numpy(), 4), rtol=1e-4)


def test_the_last_carry_between_dispatches(device, monkeypatch):
    from tabgrad.lower.kernels import loop

    monkeypatch.setattr(loop, "TURNS", 64 + 40)
    monkeypatch.setattr(loop, "LONG", 40)
    args = [tg.tensor(a.tolist(), device=device) for a in INPUTS]
    unrolled = [tg.tensor(a.tolist(), device="cpu") for a in INPUTS]
    backend = tg.device(device).backend
    getattr(backend, "plans", {}).clear()
    with tg.profiler.count() as counted:
        compare(scan(cell(*args[:2]), args[2], args[3][:8]), plain(*unrolled[:3], unrolled[3][:8]))
    assert device == "cpu" or counted.dispatches > 2
    getattr(backend, "plans", {}).clear()


def test_state_too_big_for_workgroup_memory(device, monkeypatch):
    from tabgrad.lower.kernels import loop

    monkeypatch.setattr(loop, "SHARED", 16)
    getattr(tg.device(device).backend, "plans", {}).clear()
    args = [tg.tensor(a.tolist(), device=device) for a in INPUTS]
    unrolled = [tg.tensor(a.tolist(), device="cpu") for a in INPUTS]
    compare(scan(cell(*args[:2]), args[2], args[3]), plain(*unrolled))
    getattr(tg.device(device).backend, "plans", {}).clear()
