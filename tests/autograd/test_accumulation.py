"""Micro-batches, and clipping by parameter and by unit."""

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError
from tests.transforms.support import array, close

pytestmark = pytest.mark.every_host


def model(device):
    tg.manual_seed(0)
    net = tg.nn.Linear(3, 2, device=device)
    return net, tg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def data(device, n=8):
    tg.manual_seed(1)
    return tg.randn(n, 3, device=device), tg.randn(n, 2, device=device)


def losses(net):
    return lambda x, y: ((net(x) - y) ** 2).mean()


def reference(device, batches):
    net, optimizer = model(device)
    for x, y in batches:
        optimizer.zero_grad()
        losses(net)(x, y).backward()
        optimizer.step()
    return [p.detach() for p in net.parameters()]


def same(net, expected):
    for p, q in zip(net.parameters(), expected, strict=True):
        np.testing.assert_allclose(array(p), array(q), rtol=1e-5, atol=1e-6)


def test_micro_batches_are_the_whole_batch(device):
    x, y = data(device)
    expected = reference(device, [(x, y)] * 2)
    net, optimizer = model(device)
    accumulator = tg.utils.GradientAccumulator(optimizer, steps=4)
    stepped = [
        accumulator.backward(losses(net)(a, b))
        for _ in range(2)
        for a, b in zip(x.chunk(4), y.chunk(4), strict=True)
    ]
    assert stepped == [False, False, False, True] * 2
    same(net, expected)


def test_sums_and_incomplete_sets(device):
    x, y = data(device)
    expected = reference(device, [(x[:6], y[:6])])
    net, optimizer = model(device)
    accumulator = tg.utils.GradientAccumulator(optimizer, steps=4)
    for a, b in zip(x[:6].chunk(3), y[:6].chunk(3), strict=True):
        assert not accumulator.backward(losses(net)(a, b))
    assert accumulator.state_dict() == {"count": 3}
    assert accumulator.flush()
    assert not accumulator.flush()
    same(net, expected)
    net, optimizer = model(device)
    added = tg.utils.GradientAccumulator(optimizer, steps=4, average=False)
    for a, b in zip(x.chunk(4), y.chunk(4), strict=True):
        added.backward(losses(net)(a, b) / 4)
    same(net, reference(device, [(x, y)]))


def test_compiled_micro_batches(device):
    x, y = data(device)
    expected = reference(device, [(x, y)] * 3)
    net, optimizer = model(device)
    accumulator = tg.utils.GradientAccumulator(optimizer, steps=2)
    step = tg.compile(lambda x, y: accumulator.run(losses(net), x, y))
    for _ in range(3):
        loss = step(x, y)
    assert np.isfinite(loss.item())
    same(net, expected)


def test_clipping_and_scaling_come_before_the_step():
    x, y = data("cpu")
    net, optimizer = model("cpu")
    scaler = tg.amp.GradScaler("cpu", init_scale=1024.0)
    accumulator = tg.utils.GradientAccumulator(optimizer, steps=2, scaler=scaler)
    seen = []
    accumulator.before_step.append(
        lambda: seen.append(tg.nn.utils.clip_grad_norm_(net.parameters(), 0.1).item())
    )
    before = [array(p) for p in net.parameters()]
    accumulator.run(losses(net), x, y)
    change = np.sqrt(
        sum(((array(p) - b) ** 2).sum() for p, b in zip(net.parameters(), before, strict=True))
    )
    assert change == pytest.approx(0.1 * 0.1, rel=1e-3)
    plain, _ = model("cpu")
    losses(plain)(x, y).backward()
    assert seen[0] == pytest.approx(
        tg.nn.utils.get_total_norm([p.grad for p in plain.parameters()]).item(), rel=1e-4
    )


def test_errors():
    net, optimizer = model("cpu")
    with pytest.raises(ValueError, match="at least 1"):
        tg.utils.GradientAccumulator(optimizer, steps=0)
    accumulator = tg.utils.GradientAccumulator(optimizer, steps=3)
    x, y = data("cpu")
    with pytest.raises(ValueError, match="multiples of steps=3"):
        accumulator.run(losses(net), x, y)
    accumulator.backward(losses(net)(x, y))
    with pytest.raises(GradientError, match="flush"):
        accumulator.run(losses(net), x, y)


def test_clipping_each_parameter_and_each_unit():
    v = tg.tensor([[3.0, 4.0], [0.3, 0.4]], device="cpu", requires_grad=True)
    b = tg.tensor([0.0, 0.0], device="cpu", requires_grad=True)
    (v * tg.tensor([[30.0, 40.0], [0.0, 1e-4]], device="cpu")).sum().backward()
    (b * tg.tensor([6.0, 8.0], device="cpu")).sum().backward()
    grads = array(v.grad)
    norms = tg.nn.utils.clip_each_grad_norm_([v, b], 5.0)
    close(norms[0], 50.0, 1e-5)
    close(norms[1], 10.0, 1e-5)
    close(v.grad, grads / 10, 1e-5)
    close(b.grad, [3.0, 4.0], 1e-5)
    tg.nn.utils.adaptive_clip_grad_([v, b], clip_factor=0.1, eps=1e-2)
    # the first row to a tenth of its weights' 5, the second is small enough, the vector to a tenth of eps
    close(v.grad[0], [0.3, 0.4], 1e-5)
    close(v.grad[1], grads[1] / 10, 1e-5)
    close(b.grad, [6e-4, 8e-4], 1e-5)
