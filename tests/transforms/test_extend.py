"""Ops of the user's own: element-wise from one line, and whole kernels, under every transform."""

import math

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import extend
from tabgrad.core.errors import DeviceError, RegistryError
from tabgrad.core.op import REGISTRY
from tabgrad.func import grad, hessian, jvp, vmap
from tests.lower import recorder

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def no_op_stays():
    """What a test declares is gone after it: other tests walk over all ops."""
    before = {op.name: op for op in REGISTRY}
    yield
    REGISTRY.ops.clear()
    REGISTRY.ops.update(before)


@extend.elementwise(
    wgsl="({x} * tanh_f32({y}))", cuda="({x} * tanh_f32({y}))",
    derivative=(lambda _x, y, _z: tg.tanh(y), lambda x, y, _z: x * (1 - tg.tanh(y) ** 2)),
)  # fmt: skip
def own_gate(x, y):
    return x * np.tanh(y)


MODULE = """
override N: u32;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= N) { return; }
  let left = select(x[id.x - 1u], x[N - 1u], id.x == 0u);
  y[id.x] = w[0] * left + w[1] * x[id.x];
}
"""


@extend.kernel(
    wgsl=MODULE,
    shape=lambda x, w: x,
    workgroups=lambda x, w: (math.ceil(x[0] / 64),),
    constants=lambda x, w: {"N": x[0]},
    derivative=lambda p, t, y: ring_tangent(p, t),
    transpose=lambda ct, needs, inputs, y: (
        inputs[1][0] * tg.roll(ct, -1) + inputs[1][1] * ct if needs[0] else None,
        tg.stack([(ct * tg.roll(inputs[0], 1)).sum(), (ct * inputs[0]).sum()])
        if needs[1]
        else None,
    ),
)
def own_ring(x, w):
    """A stencil on a ring of two neighbours."""
    return w[0] * np.roll(x, 1) + w[1] * x


def ring_tangent(primals, tangents):
    (x, w), (dx, dw) = primals, tangents
    total = None if dx is None else own_ring(dx, w)
    by_w = None if dw is None else dw[0] * tg.roll(x, 1) + dw[1] * x
    return by_w if total is None else total if by_w is None else total + by_w


def ring(x, w):
    return w[0] * tg.roll(x, 1) + w[1] * x


def tensors(device):
    x = tg.tensor([0.5, -1.0, 2.0, 0.25], device=device)
    return x, tg.tensor([0.3, -0.7], device=device)


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(
        a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance
    )


def test_elementwise_is_promoted_broadcast_and_fused(device):
    x, w = tensors(device)
    gate = lambda x, y: x * tg.tanh(y)  # noqa: E731
    close(own_gate(x, 2.0), x * math.tanh(2.0))
    close(own_gate(x[:, None], w), gate(x[:, None], w))
    close(
        own_gate(tg.tensor([1, 2], device=device), w), gate(tg.tensor([1.0, 2.0], device=device), w)
    )
    (own_gate(x + 1.0, x) * 2.0).tolist()
    with tg.profiler.count() as counted:
        (own_gate(x + 1.0, x) * 2.0).tolist()
    assert device == "cpu" or counted.dispatches == 1


def test_elementwise_under_transforms(device):
    x, w = tensors(device)
    plain = lambda x, y: (x * tg.tanh(y)).sum()  # noqa: E731
    mine = lambda x, y: own_gate(x, y).sum()  # noqa: E731
    y = x * 0.5
    for way in (
        lambda f: grad(f, 0)(x, y), lambda f: grad(f, 1)(x, y), lambda f: jvp(f, (x, y), (y, x))[1],
        lambda f: hessian(f, 1)(x, y), lambda f: vmap(f, (0, None))(tg.stack([x, y]), w[0]),
    ):  # fmt: skip
        close(way(mine), way(plain))
    leaf = y.clone().requires_grad_()
    mine(x, leaf).backward()
    close(leaf.grad, grad(plain, 1)(x, y))


def test_kernel_of_ones_own(device):
    x, w = tensors(device)
    close(own_ring(x, w), ring(x, w))
    big = tg.arange(1000.0, device=device)
    close(own_ring(big, w), ring(big, w), 1e-4)


def test_kernel_under_transforms(device):
    x, w = tensors(device)
    loss = lambda f: lambda x, w: (f(x, w) ** 3).sum()  # noqa: E731
    for way in (
        lambda f: grad(f, 0)(x, w), lambda f: grad(f, 1)(x, w), lambda f: jvp(f, (x, w), (x, w))[1],
        lambda f: hessian(f, 0)(x, w), lambda f: vmap(f, (0, None))(tg.stack([x, 2.0 * x]), w),
        lambda f: vmap(grad(f, 1), (0, None))(tg.stack([x, 2.0 * x]), w),
    ):  # fmt: skip
        close(way(loss(own_ring)), way(loss(ring)), 1e-4)


def test_kernel_reads_computed_views_constants_and_pieces(device):
    x, w = tensors(device)
    pieces = [x, x * 2.0, x * 3.0, x * 4.0, x * 5.0, x * 6.0]
    joined = tg.cat(pieces)
    close(own_ring(pieces[3], w), ring(pieces[3], w))
    close(own_ring(joined[2:9], w.flip(0)), ring(joined[2:9], w.flip(0)))
    close(own_ring(tg.ones(4, device=device), w), ring(tg.ones(4, device=device), w))
    parts = [own_ring(p, w) for p in pieces]
    close(tg.cat(parts), tg.cat([ring(p, w) for p in pieces]))


def test_in_a_compiled_step(device):
    x, w = tensors(device)
    step = tg.compile(lambda x, w: (own_ring(own_gate(x, x), w) ** 2).sum())
    for scale in (1.0, 2.0, 3.0):
        expected = (ring((x * scale) * tg.tanh(x * scale), w) ** 2).sum()
        close(step(x * scale, w), expected, 1e-4)


def test_a_file_and_declaring_again(device, tmp_path):
    path = tmp_path / "ring.wgsl"
    path.write_text(MODULE)
    facts = {
        "shape": lambda x, w: x, "workgroups": lambda x, w: (math.ceil(x[0] / 64),),
        "constants": lambda x, w: {"N": x[0]}, "derivative": None,
    }  # fmt: skip
    for source in (path, str(path)):

        @extend.kernel(wgsl=source, **facts)
        def own_from_file(x, w):
            return w[0] * np.roll(x, 1) + w[1] * x

        x, w = tensors(device)
        close(own_from_file(x, w), ring(x, w))
    assert not own_from_file(x.requires_grad_(), w).requires_grad
    assert REGISTRY["own_from_file"] is own_from_file


def test_what_a_device_has_no_code_for(device):
    x, _ = tensors(device)

    @extend.elementwise(derivative=None)
    def own_numpy_only(x):
        return x + 1

    @extend.elementwise(wgsl="({x} + 1.0)", cuda="({x} + 1.0)", derivative=None)
    def own_gpu_only(x): ...

    lacking = own_gpu_only if device == "cpu" else own_numpy_only
    having = own_numpy_only if device == "cpu" else own_gpu_only
    with pytest.raises(DeviceError, match="has code for"):
        lacking(x)
    close(having(x), x + 1.0)


def test_bad_declarations():
    with pytest.raises(RegistryError, match="derivative=None"):

        @extend.elementwise(wgsl="{x}")
        def own_unsaid(x):
            return x

    with pytest.raises(RegistryError, match=r"names 'z'"):

        @extend.elementwise(wgsl="{z}", derivative=None)
        def own_misnamed(x):
            return x

    with pytest.raises(RegistryError, match="tabgrad has an op"):

        @extend.elementwise(wgsl="{x}", derivative=None)
        def sin(x):
            return x

    with pytest.raises(RegistryError, match="2 operands"):

        @extend.elementwise(wgsl="{x}", derivative=(None,))
        def own_short(x, y):
            return x

    with pytest.raises(TypeError, match="float"):
        own_ring(1.0, 2.0)
    for name in ("own_unsaid", "own_misnamed", "own_short"):
        assert name not in REGISTRY


def test_float64_gets_the_functions_in_its_precision():
    device = recorder.device("cuda")
    for dtype, name in ((tg.float64, "f64"), (tg.float32, "f32"), (tg.float16, "f32")):
        x = tg.zeros(3, dtype=dtype, device=device)
        own_gate(x, tg.exp(x)).tolist()
        source = recorder.last_plan(device).kernels[-1].source
        body = source[source.index("main_kernel") :]
        assert f"tanh_{name}(" in body, body
        assert f"exp_{name}(" in body, body
